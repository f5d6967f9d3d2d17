# Everything a contributor runs. `make` alone explains itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
BENCH_INSTALLED := $(VENV)/bench-installed

.DEFAULT_GOAL := help
.PHONY: help run demo test test-clients test-storm lint proto check-proto bench bench-check lock clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Hitchpost needs Python 3.11 or newer: make PYTHON=python3.11 …"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

run: $(INSTALLED) ## Serve with an embedded PostgreSQL and the sandbox platform
	@exec $(BIN)/hitchpost serve

demo: $(INSTALLED) ## Play the story against the server that `make run` started
	@$(BIN)/python -m tools.demo

test: $(INSTALLED) ## Run the tests, all but the storms and the clients in other languages
	$(BIN)/python -m pytest --ignore tests/clients --ignore tests/storms

test-clients: $(INSTALLED) ## Play the story in every language this machine has
	$(BIN)/python -m pytest -s tests/clients

test-storm: $(INSTALLED) ## Run the floods, kills and restarts that take minutes
	$(BIN)/python -m pytest -s tests/storms

lint: $(INSTALLED) ## Check style, types and the contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code

proto: $(INSTALLED) ## Regenerate generated/ from protos/
	$(BIN)/python tools/gen_protos.py

check-proto: proto ## Fail if generated/ was stale, or the contract breaks its last state
	@test -z "$$(git status --porcelain generated)" \
		|| { git status --porcelain generated; echo "generated/ was stale: commit what make proto wrote"; exit 1; }
	@BUF=$(BIN)/buf sh tools/breaking.sh

$(BENCH_INSTALLED): $(INSTALLED) benchmarks/requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement benchmarks/requirements.lock
	@touch $@

bench: $(BENCH_INSTALLED) ## Measure, print, and renew docs/performance.md; needs h2load, pgbench and Go
	$(BIN)/python -m benchmarks --write

bench-check: $(BENCH_INSTALLED) ## Measure, and fail if a figure is not reached
	$(BIN)/python -m benchmarks --check

lock: ## Renew the lock files from pyproject.toml
	$(PYTHON) tools/lock.py

clean: ## Remove the environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
