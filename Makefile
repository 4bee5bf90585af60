# One target for each job; scripts/ contains everything longer than a line.
SHELL := /bin/sh
CARGO ?= cargo
export CARGO_TERM_COLOR ?= auto

# If the pinned toolchain is installed under another name.
TOOLCHAIN := $(shell scripts/toolchain)
ifneq ($(TOOLCHAIN),)
export RUSTUP_TOOLCHAIN := $(TOOLCHAIN)
endif

# Where scripts/tools puts what the machine lacks.
export PATH := $(CURDIR)/target/tools/cargo-nextest/bin:$(CURDIR)/target/tools/cargo-deny/bin:$(CURDIR)/target/tools/hadolint/bin:$(PATH)

help: ## these lines
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

build: ## the runtime and rpmctl, for this machine, with debug information
	$(CARGO) build --bins

run: build ## four workers of the bundled Node server on port 3000, metrics on 9464; Ctrl-C stops
	@command -v node >/dev/null || scripts/test-deps
	RPM_INSTANCES=$${RPM_INSTANCES:-4} exec target/debug/rpm-runtime node examples/node/server.js

static: ## target/static/rpm-runtime and rpmctl, each one file that needs no library
	scripts/static

image: ## the container image, from the Dockerfile (LOCAL=1 where no registry can be reached)
	scripts/image $(if $(LOCAL),--local)

packages: static ## target/packages: Debian package, wheel, npm packages, tarball, SBOM, checksums
	scripts/packages

check: deps ## the quick loop: formats, lints, unit tests, the architecture, the random walk
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) nextest run --locked --lib --bin rpmctl --test architecture --test fleet_walk

test: deps lint deny other-target static ## everything that must hold: check, process and container tests, licences
	$(CARGO) nextest run --locked

soak: deps ## the long form of the tests under load, with a release build: hundreds of thousands of requests; takes many minutes
	$(CARGO) nextest run --release --locked --run-ignored only -E 'test(/::soak_/)' --no-fail-fast --success-output final

kernels: ## kernels of Debian from 5.10 on in emulated machines, with cgroup version 2; at most a quarter of an hour (ONLY="trixie" for some)
	scripts/kernels $(ONLY)

reference: ## docs/configuration.md and the values of the chart, written anew from the definitions of the variables
	UPDATE_SNAPSHOTS=1 $(CARGO) nextest run --locked --test architecture reference
	PYTHONPATH=target/kubernetes-validate python3 charts/reference.py

fuzz: ## random input for the splitter and the writers of JSON, a minute each (FOR=600 for more seconds)
	scripts/fuzz $(FOR)

deps: ## install what the tests need and this machine lacks
	scripts/test-deps

lint: deps ## formats and lints of the code and of the scripts
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) fmt --check --manifest-path examples/rust/axum/Cargo.toml
	$(CARGO) clippy --locked --all-targets -- -D warnings
	shellcheck .ci/run scripts/* packaging/npm/launcher
	scripts/tools hadolint
	! command -v hadolint >/dev/null || hadolint Dockerfile $$(find examples -name node_modules -prune -o -name Dockerfile -print)

deny: ## licences, duplicates and sources of the packages
	scripts/tools cargo-deny
	cargo-deny --locked check bans licenses sources

advisories: ## known faults of the packages; reads the RustSec database from GitHub
	scripts/tools cargo-deny
	cargo-deny --locked check advisories

other-target: ## compiles, and does not link, for the other architecture (aarch64 or x86-64)
	scripts/other-target

screenshots: deps ## docs/pictures: status-*.png, of the status page in a browser, and monit.svg, the live screen
	UPDATE_SNAPSHOTS=1 $(CARGO) nextest run --locked --bin rpmctl monit::view
	$(CARGO) nextest run --locked --run-ignored only -E 'test(/::screenshots_/)'

bench: deps ## the measurements of benches/, side by side with other tools (ONLY="memory log" for some)
	scripts/bench $(ONLY)

clean: ## remove what was built
	scripts/clean

.PHONY: help build run static image packages check test reference soak kernels fuzz deps lint deny advisories other-target screenshots bench clean
