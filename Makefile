# Everything a person or CI does with this repository. `make help` lists it.
SHELL := /bin/bash
PYTHON ?= python3
PORT ?= 8000
DATA ?= .data
DOCS ?=
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
LOCKS := build/locks
KERNELS := $(patsubst %.cpp,%.so,$(wildcard appliance/*.cpp appliance/*/*.cpp))
PIP_INSTALL = $(BIN)/pip install -qq --no-deps --require-hashes --no-build-isolation --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help run binary test test-fast system-test monitoring-test check format reference lock models peers setup setup-dev clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

run: setup ## Ingest DOCS (or the handbook), answer one question, serve on 127.0.0.1:PORT, keeping data in DATA
	@$(BIN)/python -m appliance quickstart --data-dir "$(DATA)" --port "$(PORT)" $(if $(DOCS),"$(DOCS)")

binary: setup ## Make dist/rag-appliance, the one file (MODELS= leaves the models out; OUT= names another file)
	@PYTHONPATH=. $(BIN)/python build/binary/assemble.py $(if $(filter undefined,$(origin MODELS)),,--models "$(MODELS)") $(if $(OUT),--out "$(OUT)")

test: setup-dev ## Run all tests, JOBS files of them at once
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

test-fast: setup-dev ## Run the tests that take less than a few seconds each
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not slow"

system-test: setup-dev ## The binary on a Debian guest without a network, from install to uninstall (as root)
	@test -x dist/rag-appliance || $(MAKE) binary
	@$(BIN)/python -m tests.system --prepare

monitoring-test: setup-dev ## A real Prometheus sees every alert fire while something is really broken (as root, four minutes)
	@$(BIN)/python -m tests.monitoring --prepare

check: setup-dev ## Lint, format, types, import directions, generated documentation
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m appliance.cli.reference --check

format: setup-dev ## Apply lint fixes and the formatter
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

reference: setup ## Write the generated tables of the handbook again
	@$(BIN)/python -m appliance.cli.reference

setup: $(VENV)/.run $(KERNELS) models/out/.done ## Virtual environment, native builds and models (done once)

setup-dev: setup $(VENV)/.dev ## The same and the tools for tests and checks

models: models/out/.done ## Make the model files from their sources

$(VENV)/.build: $(LOCKS)/build.lock
	@echo "setup 1/3: virtual environment and build tools"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP_INSTALL) --only-binary :all: -r $(LOCKS)/build.lock
	@touch $@

$(VENV)/.llama: $(VENV)/.build build/llama.sh build/native.sh
	@echo "setup 2/3: llama.cpp is compiled, its kernels for several processors: about five minutes on two cores"
	@bash build/llama.sh $(BIN)/pip
	@touch $@

$(VENV)/include/hnswlib: build/hnswlib.sh | $(VENV)/.build
	@bash build/hnswlib.sh $(VENV)
	@touch $@

appliance/%.so: appliance/%.cpp $(wildcard appliance/*.hpp appliance/*/*.hpp) build/kernel.sh build/native.sh | $(VENV)/include/hnswlib
	@echo "setup 2/3: $<"
	@bash build/kernel.sh $(BIN)/python $< $@

$(VENV)/.run: $(VENV)/.llama $(LOCKS)/run.lock
	@echo "setup 2/3: dependencies"
	@source build/native.sh && $(PIP_INSTALL) -r $(LOCKS)/run.lock
	@touch $@

$(VENV)/.dev: $(VENV)/.run $(LOCKS)/dev.lock
	@echo "setup: tools for tests and checks"
	@$(PIP_INSTALL) --only-binary :all: -r $(LOCKS)/dev.lock
	@touch $@

models/out/.done: $(VENV)/.run models/manifest.json $(wildcard models/*.py) | $(KERNELS)
	@echo "setup 3/3: models"
	@$(BIN)/python models/make.py
	@touch $@

peers: build/peers/.done ## The environment of `bench peers`: txtai and chromadb, several hundred megabytes

build/peers/.done: build/peers.txt
	@$(PYTHON) -m venv build/peers
	@build/peers/bin/pip install -q --disable-pip-version-check -r build/peers.txt
	@touch $@

lock: setup-dev ## Resolve the locks again from pyproject.toml
	@$(BIN)/python build/lock.py

clean: ## Remove everything that was made, but no data
	rm -rf $(VENV) $(KERNELS) models/out build/peers build/work build/dist dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
