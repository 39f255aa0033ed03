#!/usr/bin/env bash
# Compiles internal/look/css/look.css, with the classes that templates name, to
# internal/look/assets/look.css, which is committed. Needs npm; building Licet
# does not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../internal/look/css"

if ! command -v npm >/dev/null 2>&1; then
  echo "npm is missing: install Node 20 or newer to compile the stylesheet." >&2
  exit 1
fi
if ! cmp -s package-lock.json node_modules/.installed; then
  # Not "npm ci": it refuses a lock file without the packages of every other
  # system, some of which cannot be had everywhere.
  npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error </dev/null
  cp package-lock.json node_modules/.installed
fi
node_modules/.bin/tailwindcss -i look.css -o ../assets/look.css --minify
