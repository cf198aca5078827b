#!/usr/bin/env bash
# Prints the figures of the README's table. Each ratio is taken in one run on this machine.
set -euo pipefail
KILN_TEST_BENCH=1 go test -count=1 -timeout 30m -run 'TestBench' -v ./e2e/... | grep -vE '^(=== |--- |PASS|ok)' | sed -E 's/^ *[a-z_]+_test.go:[0-9]+: //'
go test -run '^$' -bench . -benchtime 1s ./executor/... ./server/sigv4/... ./telemetry/... ./store/... | grep -E '^(Benchmark|pkg:)'
