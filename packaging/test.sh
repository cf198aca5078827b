#!/usr/bin/env bash
# Runs every test in its short form. Two packages at a time: more only makes two cores slower.
set -euo pipefail
[ -d static/node_modules/axe-core ] || (cd static && npm ci --silent --ignore-scripts) # for the accessibility tests
# A test that fails is run again by itself, twice at most and only when few fail: the output names it, so that a flaky one is seen and mended.
exec go tool gotestsum --format pkgname-and-test-fails --hide-summary=skipped --rerun-fails=2 --rerun-fails-max-failures=6 --packages=./... -- -count=1 -timeout 9m -p 2
