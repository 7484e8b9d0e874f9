#!/usr/bin/env bash
# Make sure that what this machine needs is there: `tools/provision.sh setup|test|bench`.
# What is missing is installed with apt-get where that can be done (as root, on Debian or a system like it);
# otherwise it is named, and the exit code is 1. Nothing missing: takes a few milliseconds.
set -euo pipefail

PYTHON=${PYTHON:-python3}

# The one list: group | the command that works once it is there | the Debian packages that bring it
NEEDS="
setup | $PYTHON -c 'import ensurepip, venv'   | python3-venv
test  | curl --version                        | curl
test  | ls /usr/lib/postgresql/*/bin/initdb   | postgresql
test  | command -v openssl                    | openssl
test  | command -v caddy                      | caddy
test  | command -v systemd-analyze            | systemd
test  | redis-server --version                | redis-server
test  | PATH=$PATH:/usr/sbin nginx -v         | nginx-light
test  | chromium --version                    | chromium
test  | git --version                         | git
test  | node --version                        | nodejs
test  | npm --version                         | npm
test  | php --rf curl_init                    | php-cli php-curl
test  | php --rf apcu_add                     | php-apcu
test  | go version                            | golang-go
test  | javac --version                       | default-jdk-headless
bench | ls /usr/lib/postgresql/*/bin/initdb   | postgresql
bench | command -v wrk                        | wrk
bench | node --version                        | nodejs
bench | npm --version                         | npm
bench | command -v openssl                    | openssl
bench | PATH=$PATH:/usr/sbin command -v nginx | nginx-light
"

missing_packages() {  # missing_packages GROUP: one package a line
  local group command packages
  while IFS='|' read -r group command packages; do
    [ "$(echo "$group" | xargs)" = "$1" ] || continue
    bash -c "$command" >/dev/null 2>&1 || echo "$packages" | xargs -n 1
  done <<<"$NEEDS"
}

group=${1:?which group: setup, test or bench}
mapfile -t packages < <(missing_packages "$group" | sort -u)
[ "${#packages[@]}" -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "Missing for 'make $group': ${packages[*]} (names of Debian packages)." >&2
  echo "Install them, as root on Debian: apt-get install ${packages[*]}" >&2
  exit 1
fi

echo "Installing with apt-get: ${packages[*]}"
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1  # no service is started: tests start their own
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null

mapfile -t packages < <(missing_packages "$group" | sort -u)
[ "${#packages[@]}" -eq 0 ] || { echo "Still missing after apt-get: ${packages[*]}" >&2; exit 1; }
