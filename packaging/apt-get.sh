#!/usr/bin/env bash
# Installs what is missing from Debian's packages, as root or by sudo without a question; else says in one sentence what is missing.
set -u
missing=() ; packages=()
want() { missing+=("$1"); shift; packages+=("$@"); }
for what in "$@"; do
  case $what in
    postgres) [ -n "${DATABASE_URL:-}" ] || command -v pg_config >/dev/null && [ -x "$(pg_config --bindir 2>/dev/null)/initdb" ] || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || ls "${PGBIN:-/nowhere}/initdb" >/dev/null 2>&1 || want "PostgreSQL (Kiln's database)" postgresql ;;
    python) command -v python3 >/dev/null || want "Python 3 (to run Python functions)" python3 ;;
    chromium) command -v chromium >/dev/null || want "Chromium (for the browser tests)" chromium ;;
    npm) command -v npm >/dev/null || want "npm (for the browser bundles' sources)" npm ;;
    curl) command -v curl >/dev/null || want "curl (for the tests of custom runtimes)" curl ;;
  esac
done
[ ${#missing[@]} -gt 0 ] || exit 0
sudo=()
if [ "$(id -u)" != 0 ]; then
  if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo=(sudo -n); else
    printf 'kiln: missing: %s. Install it with: apt-get install %s\n' "$(IFS=,; echo "${missing[*]}")" "${packages[*]}" >&2
    exit 0
  fi
fi
if ! command -v apt-get >/dev/null; then
  printf 'kiln: missing: %s. Install it with your package manager.\n' "$(IFS=,; echo "${missing[*]}")" >&2
  exit 0
fi
printf 'installing %s\n' "$(IFS=,; echo "${missing[*]}")"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
"${sudo[@]}" apt-get -qq update >"$log" 2>&1
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "${packages[@]}" >>"$log" 2>&1 </dev/null || { tail -n 20 "$log" >&2; exit 1; }
