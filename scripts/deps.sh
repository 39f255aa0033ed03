#!/usr/bin/env bash
# Brings what the tests need besides Go: the PostgreSQL server programs, for the
# race detector a C compiler, to look at pages a browser with Node and two npm
# packages, Python and Node for the libraries in their languages, ip to make
# networks of its own, and SoftHSM in the place of a hardware token. Asks nothing. Where it cannot install, it says exactly what
# is missing and exits 1.
set -euo pipefail

postgres_bin() {
  local dir
  for dir in /usr/lib/postgresql/*/bin "$(dirname "$(command -v initdb || echo /none/initdb)")"; do
    if [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ]; then
      return 0
    fi
  done
  return 1
}

c_compiler() {
  command -v "${CC:-gcc}" >/dev/null 2>&1 || command -v cc >/dev/null 2>&1 || command -v clang >/dev/null 2>&1
}

browser() {
  [ -n "${LICET_CHROMIUM:-}" ] || headless_shell || command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1
}

# Chromium without a window to draw takes half the time.
headless_shell() {
  command -v chromium-headless-shell >/dev/null 2>&1
}

apt_has() {
  [ "$(id -u)" -eq 0 ] && command -v apt-cache >/dev/null 2>&1 && apt-cache show "$1" >/dev/null 2>&1
}

# The npm packages, exactly as the lock file has them.
npm_packages() {
  local dir="$1"
  if ! cmp -s "$dir/package-lock.json" "$dir/node_modules/.installed"; then
    echo "installing: npm packages of ${dir#"$PWD"/}"
    (cd "$dir" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error </dev/null >&2)
    cp "$dir/package-lock.json" "$dir/node_modules/.installed"
  fi
}

all_npm_packages() {
  npm_packages internal/browser
  npm_packages bindings/node
  npm_packages internal/vendorapi/client
}

cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! command -v go >/dev/null 2>&1; then
  echo "Go is missing: install Go 1.26 or newer, see https://go.dev/dl/" >&2
  exit 1
fi

softhsm() {
  command -v softhsm2-util >/dev/null 2>&1
}

want=()
postgres_bin || want+=(postgresql)
c_compiler || want+=(gcc libc6-dev)
if ! browser || { [ -z "${LICET_CHROMIUM:-}" ] && ! headless_shell && apt_has chromium-headless-shell; }; then
  want+=(chromium)
fi
command -v node >/dev/null 2>&1 || want+=(nodejs)
command -v npm >/dev/null 2>&1 || want+=(npm)
command -v python3 >/dev/null 2>&1 || want+=(python3)
command -v ip >/dev/null 2>&1 || [ -x /usr/sbin/ip ] || [ "$(uname)" != Linux ] || want+=(iproute2)
softhsm || want+=(softhsm2)
if [ "${#want[@]}" -eq 0 ]; then
  all_npm_packages
  exit 0
fi

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  {
    echo "The tests need these, which are not here: ${want[*]}"
    echo "  Debian, Ubuntu:  sudo apt-get install -y ${want[*]}"
    echo "  Fedora:          sudo dnf install -y postgresql-server gcc chromium nodejs npm python3 softhsm"
    echo "  others:          any PostgreSQL with initdb and postgres in one folder of PATH,"
    echo "                   a C compiler, Chromium (LICET_CHROMIUM names it), Node 20 or newer, npm, Python 3 and SoftHSM 2"
    echo "No database has to be set up or running: the tests start their own in a temporary folder."
  } >&2
  exit 1
fi

echo "installing: ${want[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq </dev/null
if [[ " ${want[*]} " == *" postgresql "* ]]; then
  # The tests start servers of their own; the package need not make one.
  mkdir -p /etc/postgresql-common/createcluster.d
  echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.d/no-main-cluster.conf
fi
for n in "${!want[@]}"; do
  if [ "${want[n]}" = chromium ] && apt_has chromium-headless-shell; then
    want[n]=chromium-headless-shell
  fi
done
apt-get install -y -qq --no-install-recommends "${want[@]}" </dev/null

if ! postgres_bin; then
  echo "PostgreSQL was installed, but initdb and postgres are not under /usr/lib/postgresql/*/bin: put them on PATH." >&2
  exit 1
fi

all_npm_packages
