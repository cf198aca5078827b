#!/usr/bin/env bash
# Prints the figures of the README's table. Each ratio is taken in one run on this machine.
set -euo pipefail
KILN_TEST_BENCH=1 go test -count=1 -timeout 30m -run 'TestBench' -v ./e2e/... | grep -vE '^(=== |--- |PASS|ok)' | sed -E 's/^ *[a-z_]+_test.go:[0-9]+: //'
# What a person sees: print to painted line, 100,000 lines, one long line; click to result, keystroke to safe draft, deploy to serving.
go test -count=1 -timeout 10m -run 'SoonPainted|Hundred|OneLong' -v ./server/console | grep -E '_test.go:' | sed -E 's/^ *[a-z_]+_test.go:[0-9]+: //'
go test -count=1 -timeout 10m -run 'Figures|TestJourney$' -v ./e2e | grep -E '_test.go:' | sed -E 's/^ *[a-z_]+_test.go:[0-9]+: //'
go test -run '^$' -bench . -benchtime 1s ./executor/... ./server/sigv4/... ./telemetry/... ./store/... | grep -E '^(Benchmark|pkg:)'
