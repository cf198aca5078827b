#!/usr/bin/env bash
# Generates everything anew and compares it with what is committed.
set -euo pipefail
before=$(git status --porcelain)
packaging/generate.sh
after=$(git status --porcelain)
if [ "$before" != "$after" ]; then
  echo "generated files are out of date; run make generate and commit:"
  diff <(echo "$before") <(echo "$after") || true
  exit 1
fi
echo "verify: ok"
