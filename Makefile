# Needs Python >= 3.11 and make; everything else is set up in .venv from uv.lock.
PYTHON ?= python3
UV_VERSION := 0.13.8
BIN := .venv/bin
READY := .venv/.ready
# The tools of check-deploy, docs and sbom have an environment of their own: none of our code imports them.
TOOLS := .tools/bin
TOOLS_READY := .tools/.ready
# Worlds that the simulation plays, and the share of crash points and of each test's parameter sets that are tried;
# another TURN tries another share.
SEEDS ?= 200
EVERY ?= 100
KINDS ?= 1
SHARE ?= 1
# Of what an hour on every platform has as many sessions as this, in percent.
LOAD ?= 100
DEFECTS ?= 1
TURN ?= 0
# What is random in a turn can be played again: its seed is one of a thousand.
SEED_OF_TURN := $(filter-out 0,$(shell expr $(TURN) % 1000))
# Three test processes keep two cores busy: many tests wait for processes or servers. More do no harm.
JOBS ?= 3
# Families of tests: each test file is in one (tests/families.py), and `-m` selects them.
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

# Python keeps what it has compiled, and buffers its output, as it does by itself; the tests start many processes.
export PYTHONDONTWRITEBYTECODE :=
export PYTHONUNBUFFERED :=

.DEFAULT_GOAL := help
.PHONY: help setup demo quick test test-slow test-pooler test-web test-money test-long test-rest one-slot mutations chaos simulation crash-points fuzz-messages fuzz-settings proof \
	bench bench-quick soak bench-audit bench-history test-history audit-deps check check-format check-types check-layers check-rules check-deploy docs sbom format lock clean

help:  ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(READY)  ## a virtual environment with the locked dependencies

$(READY): uv.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; $(PYTHON) is `$(PYTHON) --version`. Name another: make PYTHON=python3.12 ..." >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@$(BIN)/uv --version 2>/dev/null | grep -q ' $(UV_VERSION)' || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv sync --frozen --quiet --active
	@touch $@

$(TOOLS_READY): $(READY)
	@UV_PROJECT_ENVIRONMENT=$(CURDIR)/.tools $(BIN)/uv sync --frozen --quiet --only-group tools --python $(BIN)/python
	@touch $@

demo: $(READY)  ## the whole platform on this machine, playing every kind of ending in a minute
	@$(BIN)/orchestrator demo $(ARGS)

quick: check  ## make check, and the tests of what changed since main: under five minutes
	@$(BIN)/python -m tests.quick -n $(JOBS) --dist worksteal $(ARGS)

test: $(READY)  ## the suite, on real servers, in four minutes
	@$(PYTEST) -m quick $(ARGS)

test-slow: $(READY)  ## what takes longer: the contract of every driver, stories on every platform, whole processes
	@$(PYTEST) -m slow $(ARGS)
	@$(MAKE) --no-print-directory test-pooler

test-pooler: $(READY)  ## through a real PgBouncer (Debian: apt-get install pgbouncer): the store, migrations, workers
	@ORCHESTRATOR_TEST_POOLER=1 $(PYTEST) -m pooled -k "not sqlite and not password" $(ARGS)

test-web: $(READY)  ## the console in a real browser (Debian: apt-get install chromium chromium-driver): every page and action
	@$(BIN)/python -m pytest -m web $(ARGS)

test-money: $(READY)  ## stories of quota and money, what they write, and races of real processes
	@$(PYTEST) -m money $(ARGS)

test-long: $(READY)  ## an hour of faults on every platform, SIGKILL at every kind of point, any life of quota and money
	@$(PYTEST) -m long $(ARGS)

one-slot: $(READY)  ## a real server with one slot, busy with an answer of SECONDS=120, keeps its session; killed, it loses it
	@ONE_SLOT_SECONDS=$(or $(SECONDS),120) $(BIN)/python -m pytest -q tests/platforms/test_one_slot_server.py $(ARGS)

test-rest: $(READY)  ## the three above in one run, which begins with what takes longest
	@LOAD=$(LOAD) ORCHESTRATOR_TEST_SEED=$(or $(SEED_OF_TURN),$(ORCHESTRATOR_TEST_SEED)) $(PYTEST) -m "long or slow or money" \
		--share $(SHARE) --turn $(TURN) $(SEED_OF_TURN:%=--hypothesis-seed=%) $(ARGS)
	@$(MAKE) --no-print-directory test-pooler

mutations: $(READY)  ## deliberate defects, each in a copy of the tree: is each found? DEFECTS=2: of every two one, in turns
	@$(BIN)/python -m tests.mutations --jobs $(JOBS) --every $(DEFECTS) --turn $(TURN) $(ARGS)

chaos: $(READY)  ## break real servers and processes for SECONDS=150 under load, then check every invariant; SEED=… again
	@SECONDS=$(or $(SECONDS),150) SEED=$(SEED) $(BIN)/python -m pytest -m chaos -q -p no:cacheprovider -s $(ARGS)

simulation: $(READY)  ## SEEDS=200 days of random jobs and faults under one clock, checked against the invariants
	@$(BIN)/python -m tests.simulation seeds --seeds $(SEEDS) --turn $(TURN) --jobs $(JOBS) $(ARGS)

crash-points: $(READY)  ## kill the process before and after each kind of commit and call to a provider; EVERY=1: at every single one
	@$(BIN)/python -m tests.simulation crash-points --every $(EVERY) --kinds $(KINDS) --turn $(TURN) --jobs $(JOBS) $(ARGS)

fuzz-messages: $(READY)  ## COUNT=20000 generated raw messages on each queue of a real worker: none ends it; SEED=… again
	@FUZZED_MESSAGES=$(or $(COUNT),20000) SEED=$(SEED) $(BIN)/python -m pytest -q tests/processes/test_messages.py -k generated $(ARGS)

fuzz-settings: $(READY)  ## COUNT=20000 generated configuration files: each is read, or refused with its faults
	@CONFIGURATIONS=$(or $(COUNT),20000) $(PYTEST) tests/settings/test_any_configuration.py $(ARGS)

bench: $(READY)  ## every figure of docs/benchmarks in half an hour, measured anew and kept there (Debian: apt-get install nginx-light)
	@$(BIN)/python -m tests.bench all --keep $(ARGS)

bench-quick: $(READY)  ## the same, smaller: fails where a ratio of CPU, statements or rows lost 30 % since the kept one
	@$(BIN)/python -m tests.bench all --quick --compare $(ARGS)

soak: $(READY)  ## 2,000 pings in flight for MINUTES=30: memory, descriptors, connections and dead rows stay flat
	@$(BIN)/python -m tests.bench.soak --minutes $(or $(MINUTES),30) $(ARGS)

bench-audit: $(READY)  ## what a run of the audit takes at 10,000 and at 1,000,000 rows
	@$(BIN)/python -m tests.bench.audit $(ARGS)

bench-history: $(READY)  ## what a create, a look and a full audit take beside 0, 200,000 and 1,000,000 sessions that are over
	@$(BIN)/python -m tests.bench.history $(ARGS)

test-history: $(READY)  ## every job, tick and look reads as much beside a million sessions that are over as beside ten
	@PAST=$(or $(PAST),1000000) $(BIN)/python -m pytest tests/history $(ARGS)

audit-deps: $(READY)  ## is a locked dependency known to be vulnerable? Needs pypi.org
	@.ci/audit-deps

proof: check test mutations  ## everything, for hours: every crash point, 1,000 days, half an hour of chaos
	@LIVES=200 $(MAKE) --no-print-directory test-rest
	@$(MAKE) --no-print-directory crash-points EVERY=1
	@$(MAKE) --no-print-directory simulation SEEDS=1000
	@$(MAKE) --no-print-directory chaos SECONDS=1800
	@$(MAKE) --no-print-directory fuzz-messages
	@$(MAKE) --no-print-directory fuzz-settings
	@$(MAKE) --no-print-directory test-history
	@$(MAKE) --no-print-directory test-web
	@$(MAKE) --no-print-directory one-slot

check: $(READY)  ## format, lint, types, layers, coverage of the rules: the one definition of clean
	@$(MAKE) --no-print-directory --jobs $(JOBS) check-types check-rules check-format check-layers

check-format: $(READY)
	$(BIN)/uv lock --check --quiet
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m tests.tools.prose

check-types: $(READY)
	$(BIN)/mypy

check-layers: $(READY)
	$(BIN)/lint-imports --no-logo
	$(BIN)/deptry .
	$(BIN)/vulture

check-rules: $(READY)
	$(BIN)/coverage run -m pytest -q -p no:cacheprovider tests/rules
	$(BIN)/coverage report

check-deploy: $(TOOLS_READY)  ## the units, Dockerfile, compose file and Kubernetes manifests of deploy/ (Debian: systemd)
	@$(BIN)/python -m tests.tools.deployment

docs: $(TOOLS_READY)  ## the pages as a site, in dist/docs/site, with llms.txt; fails on a dead link
	@$(BIN)/python -m tests.tools.site

sbom: $(TOOLS_READY)  ## dist/sbom.cdx.json: what an installation without extras consists of, with licenses (CycloneDX)
	@rm -rf dist/sbom && mkdir -p dist
	@UV_PROJECT_ENVIRONMENT=$(CURDIR)/dist/sbom $(BIN)/uv sync --frozen --quiet --no-dev --no-editable --python $(BIN)/python
	@$(TOOLS)/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --output-reproducible \
		--validate --output-file dist/sbom.cdx.json dist/sbom/bin/python
	@rm -rf dist/sbom

format: $(READY)  ## format, and fix what ruff can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(READY)  ## bring uv.lock up to date with pyproject.toml
	$(BIN)/uv lock

clean:  ## remove what was made
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage dist
