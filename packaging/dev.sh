#!/usr/bin/env bash
# Builds and starts bin/kiln; when a source changes, builds again and, if that worked, starts it anew.
set -u
stamp() { find . -path ./static/node_modules -prune -o \( -name '*.go' -o -name '*.templ' -o -name '*.ts' -o -name '*.css' -o -name '*.sql' \) -newer "$1" -print -quit; }
mark=$(mktemp); pid=
stop() { [ -z "$pid" ] || kill "$pid" 2>/dev/null; wait; rm -f "$mark"; exit 0; }
trap stop INT TERM
while :; do
  touch "$mark"
  go tool templ generate -path web -log-level error && { [ ! -d static/node_modules ] || go run ./static/build; } && go build -o bin/kiln . && {
    [ -z "$pid" ] || { kill "$pid"; wait "$pid"; }
    bin/kiln serve "$@" & pid=$!
  }
  touch "$mark"
  until [ -n "$(stamp "$mark")" ]; do sleep 0.5; done
done
