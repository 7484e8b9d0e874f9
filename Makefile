# The targets of this file are the only commands one needs to know. `make` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# The requirements are locked for Python 3.11; the first of these that can makes .venv. The distribution's own comes
# first: built with profile-guided optimisation, it spends 28 % less on a token than one built without.
PYTHON ?= $(shell for each in /usr/bin/python3.11 python3.11 python3; do \
  $$each -c 'import ensurepip, venv' 2>/dev/null && command -v $$each && exit; done; command -v python3.11 || command -v python3)
BIN := .venv/bin
PORT ?= 8080

REQUIREMENTS := requirements/build.txt requirements/dev.txt
PY_FILES := src tests tools examples bench

.PHONY: help setup demo test bench bench-quick bench-postgresql bench-scan fuzz mutants lint fmt audit sbom requirements clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready ## make .venv with everything in it, .venv/bin/omnilab among it
	@:

.venv/.ready: $(REQUIREMENTS) pyproject.toml tools/provision.sh
	@PYTHON=$(PYTHON) tools/provision.sh setup
	@echo "Making .venv (about a minute the first time)"
	@[ "$$(readlink -f $(BIN)/python)" = "$$(readlink -f $(PYTHON))" ] || rm -rf .venv  # another interpreter's
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes $(addprefix -r ,$(REQUIREMENTS))
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## a development environment with real bookings, a ready-to-paste curl session, and a server (PORT=8080)
	@$(BIN)/omnilab demo --port $(PORT)

# Servers and Node.js packages are installed beside .venv and lint. Only apt-get has to be alone: the setup's goes first.
test: ## lint, advisories, every test, and the floor under branch coverage
	@PYTHON=$(PYTHON) tools/provision.sh setup
	@$(MAKE) --jobs 3 lint audit .cache/node.ready
	@rm -rf .cache/coverage && mkdir -p .cache/coverage
	$(BIN)/coverage run -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder
	@$(BIN)/coverage combine --quiet
	@$(BIN)/python tools/coverage_floor.py

# openid-client, as a Node.js integrator installs it; pyright; axe-core, which judges the help centre (MPL-2.0, in tests
# only). The lock file pins versions and hashes.
.cache/node.ready: tests/node/package.json tests/node/package-lock.json tools/provision.sh
	@PYTHON=$(PYTHON) tools/provision.sh test
	@cd tests/node && npm ci --silent --ignore-scripts --no-audit --no-fund
	@mkdir -p .cache && touch $@

bench: setup build/bench/.ready ## every figure of docs/performance.md, judged against its target (about 10 minutes)
	@PYTHONPATH=. $(BIN)/python -m bench.run

bench-quick: setup build/bench/.ready ## the same with two short rounds
	@PYTHONPATH=. $(BIN)/python -m bench.run --quick

build/bench/.ready: bench/peers/requirements.txt bench/peers/oidc-provider/package-lock.json tools/provision.sh
	@PYTHON=$(PYTHON) tools/provision.sh bench
	@$(PYTHON) -m venv build/bench/peers
	@build/bench/peers/bin/pip install --quiet --disable-pip-version-check --require-hashes -r bench/peers/requirements.txt
	@cp -r bench/peers/oidc-provider build/bench/
	@cd build/bench/oidc-provider && npm ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@

bench-postgresql: setup build/bench/.ready ## ten million records and five million bookings on PostgreSQL (10 minutes, 15 GB)
	@PYTHONPATH=. $(BIN)/python -m bench.run --only postgresql-large

bench-scan: setup ## a tree of 1 GB with planted secrets: all found, none invented, and the time it takes
	@PYTHONPATH=. $(BIN)/python -m bench.scan

fuzz: setup ## a million spoiled inputs over the readers of Basic, form, JSON and tokens (SEED=…, COUNT=…)
	@PYTHONPATH=. $(BIN)/python -m tests.fuzz.run

mutants: setup ## mutation testing of the rules that decide; fails below 85 % (about 10 minutes)
	@rm -rf mutants && $(BIN)/mutmut run --max-children 2 > /dev/null
	@$(BIN)/python tools/mutants.py

lint: setup ## ruff, mypy --strict, and the directions of imports
	@$(BIN)/ruff check $(PY_FILES)
	@$(BIN)/ruff format --quiet --check $(PY_FILES)
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

fmt: setup ## format the code and mend what ruff can mend
	@$(BIN)/ruff check --quiet --fix-only $(PY_FILES)
	@$(BIN)/ruff format $(PY_FILES)

audit: setup ## ask for known advisories against every pinned package
	@$(BIN)/python tools/audit.py

sbom: setup ## what a deployment is made of, as CycloneDX: build/sbom.cdx.json
	@mkdir -p build
	@$(BIN)/python -W ignore::UserWarning $(BIN)/cyclonedx-py requirements requirements/server.txt --pyproject pyproject.toml \
	  --mc-type application --output-reproducible --of JSON --sv 1.6 -o build/sbom.cdx.json

requirements: setup ## lock requirements/*.txt anew after a change in pyproject.toml (UPGRADE=--upgrade for newer versions)
	@tools/lock.sh $(UPGRADE)

clean: ## remove what the other targets made, the development database in .omnilab/ excepted
	@rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis tests/node/node_modules build/bench mutants
