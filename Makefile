# Everything a contributor runs. `make` alone explains itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
BENCH_INSTALLED := $(VENV)/bench-installed

.DEFAULT_GOAL := help
.PHONY: help run demo test test-run test-alerts test-platforms test-loop test-rest test-mcp test-clients test-storm lint proto reference check-proto bench bench-check bench-due bench-publish lock clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

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

# What methods do, whichever wire they are called by; and at the end, what the whole run has said.
BEHAVIOUR := tests/rpc/test_cases.py tests/rpc/test_scope.py tests/accounts tests/posts
LEAKS := tests/repository/test_leaks.py
# What has a target of its own.
APART := $(addprefix --ignore tests/,clients storms run alerts platforms publish mcp web/rest)

test: $(INSTALLED) ## Run the tests, all but those that have a target of their own
	$(BIN)/python -m pytest $(APART)

test-run: $(INSTALLED) ## Run the tests that start, kill and upgrade whole servers, and those of the commands
	$(BIN)/python -m pytest tests/run $(LEAKS)

test-alerts: $(INSTALLED) ## Cause each alert at a real server, and ask a real Prometheus for each panel
	$(BIN)/python -m pytest tests/alerts $(LEAKS)

test-platforms: $(INSTALLED) ## Run the tests of platforms: connecting to each, and publishing
	$(BIN)/python -m pytest tests/platforms tests/publish $(LEAKS)

test-loop: $(INSTALLED) ## Run the tests of calls on gRPC's own loop (HITCHPOST_CALL_LOOP=grpc)
	TEST_CALL_LOOP=grpc $(BIN)/python -m pytest tests/rpc tests/accounts tests/posts tests/projects

test-rest: $(INSTALLED) ## Run the tests of REST, and those of what methods do over it
	TEST_WIRE=rest $(BIN)/python -m pytest tests/web/rest $(BEHAVIOUR) $(LEAKS)

test-mcp: $(INSTALLED) ## Run the tests of MCP, and those of what methods do as its tools
	TEST_WIRE=mcp $(BIN)/python -m pytest tests/mcp $(BEHAVIOUR) $(LEAKS)

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
	$(BIN)/python -m tools.gen_openapi

reference: $(INSTALLED) ## Regenerate docs/reference.md from commands and settings
	$(BIN)/python -m tools.gen_reference

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

bench-due: $(BENCH_INSTALLED) ## Measure due work beside two job queues, and fail if a figure is not reached
	$(BIN)/python -m benchmarks.due_work

bench-publish: $(INSTALLED) ## Measure how late posts are sent, and fail if a figure is not reached
	$(BIN)/python -m benchmarks.publishing

lock: ## Renew the lock files from pyproject.toml
	$(PYTHON) tools/lock.py

clean: ## Remove the environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
