#!/usr/bin/env bash
# The long forms: the race detector over every package, each fuzz target for FUZZ_SECONDS, and the kill and load tests at full length.
set -euo pipefail
seconds=${FUZZ_SECONDS:-30}
echo "== race detector"
go tool gotestsum --format pkgname --hide-summary=skipped -- -race -count=1 -timeout 40m -p 1 ./...
echo "== fuzzing, $seconds s each"
grep -rlE '^func Fuzz' --include='*_test.go' . | grep -v node_modules | while read -r file; do
  grep -oE '^func Fuzz[A-Za-z0-9_]+' "$file" | awk '{print $2}' | while read -r target; do
    echo "-- $target in $(dirname "$file")"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "${seconds}s" "$(dirname "$file")" </dev/null | tail -n 1
  done
done
echo "== full kill and load tests"
KILN_TEST_SOAK=1 go tool gotestsum --format pkgname-and-test-fails --hide-summary=skipped -- -count=1 -timeout 90m -p 1 ./...
