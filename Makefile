# Ferrocart. `make` lists what there is.

SHELL := /bin/bash
.DEFAULT_GOAL := help
export PATH := $(HOME)/.cargo/bin:$(PATH)

FOLDER ?= .ferrocart/run
STACK = target/release/ferrocart-stack
SERVICES = gateway catalog search cart inventory order payment notification
BINARIES = stack psp-sandbox shopper cli $(SERVICES)

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Install what is missing on this machine (packages, the broker), or say what to install
	@deploy/local/setup.sh

.PHONY: build
build: setup
	@echo "build: the services and tools, optimized (the first build takes minutes)"
	@cargo build --release $(foreach name,$(BINARIES),-p ferrocart-$(name)) --bins

.PHONY: run
run: build ## Start the whole platform, load the sample catalog, show the addresses
	@$(STACK) up --folder $(FOLDER)

.PHONY: down
down: ## Stop everything that `make run` started, and nothing else (data stays; WIPE=1 removes it)
	@[ -x $(STACK) ] || { echo "Nothing was started: $(STACK) is not built."; exit 0; } ; \
	$(STACK) down --folder $(FOLDER) $(if $(WIPE),--wipe)

.PHONY: status
status: ## Show what runs
	@[ -x $(STACK) ] || { echo "Nothing was started: $(STACK) is not built."; exit 1; } ; \
	$(STACK) status --folder $(FOLDER)

.PHONY: logs
logs: ## Follow the logs (C=order for one component)
	@[ -x $(STACK) ] || { echo "Nothing was started: $(STACK) is not built."; exit 1; } ; \
	$(STACK) logs --folder $(FOLDER) --follow $(C)

.PHONY: demo
demo: build ## Shop on the platform step by step, starting it if it does not run (ARGS=--verbose)
	@$(STACK) demo --folder $(FOLDER) -- $(ARGS)

.PHONY: test
test: setup ## Run all tests against real stores, and add up their counts
	@echo "test: building (the first build takes minutes)"
	@cargo build --workspace --bins
	@target/debug/ferrocart-stack test-env -- examples/analytics/check.sh
	@deploy/check/contract-test.sh
	@target/debug/ferrocart-stack test-env --sum-tests -- cargo test --workspace --no-fail-fast

.PHONY: upgrade-test
upgrade-test: setup ## Roll the platform from an earlier release to this one while people buy (FROM=<git ref>)
	@deploy/local/upgrade-test.sh "$(FROM)"

.PHONY: bench
bench: build ## Measure the platform against references of the same run (ARGS=--quick)
	@deploy/local/setup.sh --bench
	@cargo build --release -p ferrocart-bench --bin ferrocart-bench --example inventory_core
	@target/release/ferrocart-bench --json target/bench.json $(ARGS)

.PHONY: audit
audit: ## Check the promises of the running platform against all that it has written (ARGS=--grace-seconds=0)
	@cargo build --release -p ferrocart-audit
	@target/release/ferrocart-audit --stack $(FOLDER) $(ARGS)

.PHONY: chaos
chaos: setup ## Break every step in every way and audit what is left (ARGS="--quick", "--only order.void", "--storm", "--events")
	@echo "chaos: building with failpoints, which optimized builds do not have"
	@cargo build $(foreach name,psp-sandbox chaos $(SERVICES),-p ferrocart-$(name)) --bins
	@target/debug/ferrocart-chaos $(ARGS)

.PHONY: abuse
abuse: build ## Attack a platform of its own, and say what was held off (ARGS=--fast)
	@cargo build --release -p ferrocart-abuse
	@target/release/ferrocart-abuse $(ARGS)

.PHONY: openapi
openapi: ## Write docs/openapi.json, the public API of all services
	@cargo xtask openapi

.PHONY: contract
contract: ## Hold the platform of `make run` against its own OpenAPI document, with made-up requests
	@deploy/check/contract.sh $(FOLDER)

.PHONY: lint
lint: ## Check formatting, architecture, generated code and dependencies, and run clippy without mercy
	@cargo fmt --all --check
	@cargo xtask arch
	@cargo xtask proto --check
	@proto/check.sh
	@cargo clippy --workspace --all-targets -- -D warnings
	@deploy/check/run.sh
	@deploy/check/deps.sh

.PHONY: deploy-check
deploy-check: ## Hold image, compose file, chart, manifests and alert rules against the code
	@deploy/check/run.sh

.PHONY: compose-env
compose-env: ## Make the passwords and keys for `docker compose up`, once
	@deploy/compose/env.sh

.PHONY: proto
proto: ## Generate the Rust code of the event contracts from proto/
	@cargo xtask proto

.PHONY: fmt
fmt: ## Format the code
	@cargo fmt --all
