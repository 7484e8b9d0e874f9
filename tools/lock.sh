#!/usr/bin/env bash
# Write requirements/*.txt anew: every package pinned to a version and to the hashes of its files, and no address
# of where it came from. Pass `--upgrade` to take newer versions; without it only what pyproject.toml asks for changes.
set -euo pipefail
cd "$(dirname "$0")/.."

compile() {  # compile OUTPUT [pip-compile arguments…]
  local output=$1
  shift
  CUSTOM_COMPILE_COMMAND="make requirements" .venv/bin/pip-compile --quiet --strip-extras --allow-unsafe \
    --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
    --output-file "requirements/$output" "$@"
}

# Everything one needs to work on the project. Runtime pins are taken from it, so both always agree.
compile dev.txt "${@}" --extra server --extra postgres --extra redis --extra otel --extra dev pyproject.toml
# What a deployment installs.
compile server.txt "${@}" --constraint requirements/dev.txt --extra server --extra postgres --extra redis --extra otel pyproject.toml
# The build backend, so that `pip install --no-deps --no-build-isolation -e .` downloads nothing by itself.
compile build.txt "${@}" --constraint requirements/dev.txt requirements/build.in
