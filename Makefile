# Needs Python >= 3.11 and make; everything else is set up in .venv from uv.lock.
PYTHON ?= python3
UV_VERSION := 0.13.8
BIN := .venv/bin
READY := .venv/.ready
# Worlds that the simulation plays, and the share of crash points and of each test's parameter sets that are tried;
# another TURN tries another share.
SEEDS ?= 200
EVERY ?= 100
KINDS ?= 1
SHARE ?= 1
# Of what an hour on every platform has as many sessions as this, in percent.
CROWD ?= 100
DEFECTS ?= 1
TURN ?= 0
# Three test processes keep two cores busy: many tests wait for processes or servers. More do no harm.
JOBS ?= 3
SLOW := tests/simulation tests/platforms tests/providers tests/processes tests/cli/test_demo.py tests/cli/test_closed_pipes.py tests/cli/test_doctor.py \
	tests/audit tests/security \
	tests/flows/test_failover.py tests/flows/test_events_and_views.py tests/flows/test_clock_jumps.py tests/flows/test_wild_jobs.py \
	tests/flows/test_busy.py tests/flows/test_delete_ended.py tests/flows/test_many_stops.py tests/flows/test_large_accounts.py \
	tests/store/test_old_workers.py tests/store/test_migrations.py \
	tests/pooler tests/store/test_failover.py tests/history tests/flows/test_archive.py tests/flows/test_brake.py \
	tests/flows/test_any_queue.py tests/flows/test_freeing_keys.py tests/flows/test_freed_places.py tests/flows/test_failed_opens.py \
	tests/flows/test_own_faults.py tests/flows/test_ended_by_the_node.py tests/flows/test_by_hand.py tests/flows/test_closes.py \
	tests/flows/test_late_reports.py tests/flows/test_bad_rows.py tests/flows/test_crowded.py tests/flows/test_leaving.py \
	tests/store/test_brakes.py tests/cli/test_planted_escapes.py tests/cli/test_process.py tests/cli/test_private_valkey.py
# What runs once more with PgBouncer in front of PostgreSQL: transactions, locks, claims, jobs, and whole processes.
POOLED := tests/store/test_database.py tests/store/test_pings.py tests/store/test_placements.py tests/store/test_messages.py \
	tests/store/test_migrations.py tests/processes/test_quota.py
# What takes longest: an hour on every platform, SIGKILL at every kind of point, any life that money can have.
LONG := tests/platforms/test_an_hour.py tests/processes/test_every_point.py tests/money/test_any_life.py tests/money/test_downtime.py
MONEY := tests/money tests/flows/test_terms.py tests/flows/test_waiting.py tests/flows/test_money.py tests/flows/test_quota.py
CHAOS := tests/chaos

# Python keeps what it has compiled, and buffers its output, as it does by itself; the tests start many processes.
export PYTHONDONTWRITEBYTECODE :=
export PYTHONUNBUFFERED :=

.DEFAULT_GOAL := help
.PHONY: help setup demo quick test test-slow test-pooler test-money test-long test-rest one-slot mutations chaos simulation crash-points fuzz-messages proof \
	bench-audit bench-history test-history audit-deps check check-format check-types check-layers check-rules format lock clean

help:  ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(READY)  ## a virtual environment with the locked dependencies

$(READY): uv.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; $(PYTHON) is `$(PYTHON) --version`. Name another: make PYTHON=python3.12 ..." >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/uv --version 2>/dev/null | grep -q ' $(UV_VERSION)' || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv sync --frozen --quiet --active
	@touch $@

demo: $(READY)  ## the whole platform on this machine, playing every kind of ending in a minute
	@$(BIN)/orchestrator demo $(ARGS)

quick: check  ## make check, and the tests of what changed since main: under five minutes
	@$(BIN)/python -m tests.quick -n $(JOBS) --dist worksteal $(ARGS) --slow $(SLOW) $(MONEY) $(LONG) $(CHAOS)

test: $(READY)  ## the suite, on real servers, in four minutes
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(patsubst %,--ignore=%,$(SLOW) $(MONEY) $(LONG) $(CHAOS)) $(ARGS)

test-slow: $(READY)  ## what takes longer: the contract of every driver, stories on every platform, whole processes
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(SLOW) $(LONG:%=--ignore=%) $(ARGS)
	@$(MAKE) --no-print-directory test-pooler

test-pooler: $(READY)  ## through a real PgBouncer (Debian: apt-get install pgbouncer): the store, migrations, workers
	@ORCHESTRATOR_TEST_POOLER=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(POOLED) -k "not sqlite and not password" $(ARGS)

test-money: $(READY)  ## stories of quota and money, what they write, and races of real processes
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(MONEY) $(LONG:%=--ignore=%) $(ARGS)

test-long: $(READY)  ## an hour of faults on every platform, SIGKILL at every kind of point, any life of quota and money
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(LONG) $(ARGS)

one-slot: $(READY)  ## a real server with one slot, busy with an answer of SECONDS=120, keeps its session; killed, it loses it
	@ONE_SLOT_SECONDS=$(or $(SECONDS),120) $(BIN)/python -m pytest -q tests/platforms/test_one_slot_server.py $(ARGS)

test-rest: $(READY)  ## the three above in one run, which begins with what takes longest
	@CROWD=$(CROWD) $(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(LONG) $(SLOW) $(MONEY) --share $(SHARE) --turn $(TURN) $(ARGS)
	@$(MAKE) --no-print-directory test-pooler

mutations: $(READY)  ## deliberate defects, each in a copy of the tree: is each found? DEFECTS=2: of every two one, in turns
	@$(BIN)/python -m tests.mutations --jobs $(JOBS) --every $(DEFECTS) --turn $(TURN) $(ARGS)

chaos: $(READY)  ## break real servers and processes for SECONDS=150 under load, then check every invariant; SEED=… again
	@SECONDS=$(or $(SECONDS),150) SEED=$(SEED) $(BIN)/python -m pytest $(CHAOS) -q -p no:cacheprovider -s $(ARGS)

simulation: $(READY)  ## SEEDS=200 days of random jobs and faults under one clock, checked against the invariants
	@$(BIN)/python -m tests.simulation seeds --seeds $(SEEDS) --turn $(TURN) --jobs $(JOBS) $(ARGS)

crash-points: $(READY)  ## kill the process before and after each kind of commit and call to a provider; EVERY=1: at every single one
	@$(BIN)/python -m tests.simulation crash-points --every $(EVERY) --kinds $(KINDS) --turn $(TURN) --jobs $(JOBS) $(ARGS)

fuzz-messages: $(READY)  ## COUNT=20000 generated raw messages on each queue of a real worker: none ends it; SEED=… again
	@FUZZED_MESSAGES=$(or $(COUNT),20000) SEED=$(SEED) $(BIN)/python -m pytest -q tests/processes/test_messages.py -k generated $(ARGS)

bench-audit: $(READY)  ## what a run of the audit takes at 10,000 and at 1,000,000 rows
	@$(BIN)/python -m tests.benchmarks.audit $(ARGS)

bench-history: $(READY)  ## what a create, a look and a full audit take beside 0, 200,000 and 1,000,000 sessions that are over
	@$(BIN)/python -m tests.benchmarks.history $(ARGS)

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

format: $(READY)  ## format, and fix what ruff can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(READY)  ## bring uv.lock up to date with pyproject.toml
	$(BIN)/uv lock

clean:  ## remove what was made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage dist
