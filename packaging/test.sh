#!/usr/bin/env bash
# Runs every test in its short form. Two packages at a time: more only makes two cores slower.
set -euo pipefail
[ -d static/node_modules/axe-core ] || (cd static && npm ci --silent --ignore-scripts) # for the accessibility tests
exec go tool gotestsum --format pkgname-and-test-fails --hide-summary=skipped -- -count=1 -timeout 9m -p 2 ./...
