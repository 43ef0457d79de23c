.DEFAULT_GOAL := help
SHELL := /bin/bash

DATASET ?= digits
SEED ?= 0

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
PEERS := .venv-peers
PACKAGES := sieve core formats store api worker local

.PHONY: help
help: ## say what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-14s %s\n", $$1, $$2 }'

.PHONY: setup
setup: $(READY) ## make .venv and install everything into it (again only when the lock has changed)

$(READY): requirements.lock pyproject.toml deploy/setup.sh
	@deploy/setup.sh
	@touch $@

.PHONY: demo
demo: $(READY) ## the paper's study through a service of its own: make demo DATASET=digits SEED=0
	@$(BIN)/python -m local demo --dataset $(DATASET) --seed $(SEED)

.PHONY: up
up: $(READY) ## run the service on this machine: its own PostgreSQL and Redis, the API, a worker
	@$(BIN)/python -m local up

.PHONY: test
test: $(READY) ## the test suite, in three processes: many tests wait. Long files come first
	@$(BIN)/python -m pytest -m "not full and not browser" -n 3 --dist loadscope --no-loadscope-reorder

.PHONY: test-full
test-full: $(READY) ## the test suite with its long tests
	@$(BIN)/python -m pytest

.PHONY: browser
browser: $(READY) ## the page in a real browser (Debian's chromium): what researchers do with it, and accessibility
	@$(BIN)/python -m pytest tests/browser

.PHONY: screenshots
screenshots: $(READY) ## pictures of every page, light and dark, wide and narrow, in out/screens
	@$(BIN)/python -m tests.browser.screens $(ARGS)

.PHONY: check
check: $(READY) ## lint, format, types, and that the migrations match the tables
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m local check-migrations

.PHONY: bench
bench: $(READY) $(PEERS)/ready ## the benchmarks, peers beside us: make bench BENCH="attacks profile" IMAGES=folder
	@$(BIN)/python -m benchmarks $(BENCH) $(if $(IMAGES),--images $(IMAGES))

$(PEERS)/ready: benchmarks/peers/requirements.lock deploy/setup.sh
	@deploy/setup.sh $(PEERS) $<
	@touch $@

.PHONY: drills
drills: $(READY) ## every drill, hours; goes on where it was stopped. DRILLS="cancel drain" for some, ARGS as for tests.drills
	@$(BIN)/python -m tests.drills $(DRILLS) $(ARGS)

.PHONY: drills-short
drills-short: $(READY) ## every drill with few trials, within three minutes
	@$(BIN)/python -m tests.drills --short

.PHONY: fuzz
fuzz: $(READY) ## the API under at least 20,000 generated requests, as member and as admin, into out/fuzz.json
	@$(BIN)/python -m tests.fuzz $(ARGS)

.PHONY: fuzz-short
fuzz-short: $(READY) ## the same within a minute
	@$(BIN)/python -m tests.fuzz --short --out out/fuzz-short.json

.PHONY: audit
audit: $(READY) ## our code by bandit; and what we depend on by pip-audit, which asks an advisory service on the internet
	@$(BIN)/bandit --quiet --configfile pyproject.toml --recursive $(PACKAGES)
	@$(BIN)/pip-audit --requirement requirements.lock --require-hashes --disable-pip --progress-spinner off

.PHONY: compose-check
compose-check: $(READY) ## docker-compose.yml: valid, and its commands run on Debian's own PostgreSQL and Redis (needs root)
	@$(BIN)/python deploy/check_compose.py

.PHONY: lock
lock: $(READY) ## resolve pyproject.toml into requirements.lock (UPGRADE=--upgrade: the newest of everything)
	@UV=$$(command -v uv || echo $(BIN)/uv); $$UV pip compile pyproject.toml --universal --python-version 3.11 \
		--extra server --extra local --group dev --generate-hashes --no-emit-index-url --no-annotate --no-header \
		--quiet $(UPGRADE) --output-file requirements.lock
	@UV=$$(command -v uv || echo $(BIN)/uv); $$UV pip compile benchmarks/peers/requirements.in --universal \
		--python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
		--quiet $(UPGRADE) --output-file benchmarks/peers/requirements.lock

.PHONY: clean
clean: ## remove what make leaves behind, except environments and data
	@rm -rf out dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find $(PACKAGES) migrations tests -name __pycache__ -type d -prune -exec rm -rf {} +
