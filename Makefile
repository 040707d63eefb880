.DEFAULT_GOAL := help
SHELL := /bin/bash
MAKEFLAGS += --no-print-directory
export SAM_CLI_TELEMETRY := 0
export PYTHONDONTWRITEBYTECODE := 1

VENV := .venv
PYTHON := $(VENV)/bin/python
LOCK := uv pip compile --quiet --universal --python-version 3.13 --generate-hashes --no-header --no-annotate

.PHONY: help
help: ## List every target
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' | sort | awk -F'|' '{printf "  %-12s %s\n", $$1, $$2}'

.PHONY: setup
setup: $(VENV)/.stamp ## Make the tool environment

# uv comes through pip into the environment that it then fills: nothing is asked of the machine but python3.13.
$(VENV)/.stamp: requirements/dev.txt pyproject.toml
	@command -v python3.13 >/dev/null && python3.13 --version >/dev/null 2>&1 || { echo "python3.13 is needed and was not found on PATH: see https://www.python.org/downloads/"; exit 1; }
	@echo "Making the tool environment in $(VENV) (once, about a minute) ..."
	@python3.13 -m venv --clear $(VENV)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check uv
	@$(VENV)/bin/uv pip install --quiet --python $(PYTHON) --require-hashes --requirement requirements/dev.txt
	@$(VENV)/bin/uv pip install --quiet --python $(PYTHON) --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: lock
lock: setup ## Resolve pyproject.toml into requirements/*.txt, with hashes
	@cd $(CURDIR) && $(VENV)/bin/$(LOCK) pyproject.toml --group runtime --group migrate --group dev --output-file requirements/dev.txt
	@$(VENV)/bin/$(LOCK) pyproject.toml --constraint requirements/dev.txt --no-emit-package types-protobuf --output-file requirements/layer.txt
	@$(VENV)/bin/$(LOCK) --group runtime --constraint requirements/dev.txt --output-file requirements/runtime.txt
	@$(VENV)/bin/$(LOCK) --group migrate --constraint requirements/dev.txt --output-file requirements/migrate.txt
	@$(VENV)/bin/$(LOCK) --group aws --output-file requirements/aws.txt
