# What people and CI type. Everything installs what it lacks first, and says so (e2e/setup.sh).
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test bench soak fuzz lab-up lab-down lab-status fmt lint generate

# Which build `make run` starts: release, or dev for a quicker first start.
PROFILE ?= release
TARGET = $(or $(CARGO_TARGET_DIR),target)
PROFILE_DIR = $(if $(filter dev,$(PROFILE)),debug,$(PROFILE))
# More options of `operator run`, for example: make run ARGS=-v; or which benchmarks: make bench ARGS=store
ARGS ?=
# Nodes of `make lab-up`.
NODES ?= 3
# Scenarios mostly wait for a Swarm, so more of them run at once than there are cores.
export RUST_TEST_THREADS ?= 4
export RUST_LIB_BACKTRACE ?= 0
export PATH := $(PATH):$(HOME)/.cargo/bin

help: ## Show this
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

run: ## Install what is missing, build, and run the operator with everything it needs
	@e2e/setup.sh run
	@cargo build --profile $(PROFILE) -p operator
	@exec $(TARGET)/$(PROFILE_DIR)/operator run --data-dir .obiente $(ARGS)

test: ## Everything that CI checks: style, generated files, unit, contract and end-to-end tests
	@e2e/setup.sh test
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	cargo test --workspace --no-run
	cargo test --workspace --lib --bins
	cargo test --workspace --test '*'

bench: ## The published ratios, measured on this machine
	@e2e/setup.sh bench
	cargo build --release --workspace --bins
	$(TARGET)/release/bench $(ARGS)

soak: ## UPDATES updates (a million) through the store, which must not grow
	@e2e/setup.sh test
	UPDATES=$${UPDATES:-1000000} cargo test --release -p store --test soak -- --nocapture

fuzz: ## Every decoder that faces the network, FUZZ_SECONDS (30) each, guided by coverage
	@e2e/setup.sh fuzz
	@operator/crates/apiserver/fuzz/run

lab-up: ## A Swarm of NODES nodes to play with (e2e/lab/swarm help)
	@e2e/setup.sh test
	@e2e/lab/swarm up $(NODES)
	@echo; echo 'Next:  eval "$$(e2e/lab/swarm env)"; docker node ls;  make run'

lab-down: ## Take the lab down
	@e2e/lab/swarm down

lab-status: ## The lab's nodes
	@e2e/lab/swarm status

fmt: ## Format
	cargo fmt --all

lint: ## What `make test` checks before it tests
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

generate: ## Write the generated files: crds/
	cargo run -p operator -- crdgen
