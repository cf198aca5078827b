#!/usr/bin/env bash
# Writes everything that is generated. The browser bundles need npm's packages (fetched by lock file); templ and the schema dump need only Go and Postgres.
set -euo pipefail
go tool templ generate -path web -log-level error
(cd static && npm ci --silent --ignore-scripts)
go run ./static/build
go test -count=1 ./store -run '^TestSchemaDumpIsKept$' -update >/dev/null
