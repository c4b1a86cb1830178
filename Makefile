# `make demo` runs an example on the embedded federation; `make test` checks everything. Both set up what they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# two sets of packages, each installed once and again when pyproject.toml changes
DEMO := $(VENV)/.installed-embedded
DEV := $(VENV)/.installed-dev
# workers for the tests: as many as there are processors
WORKERS ?= auto

.PHONY: demo check test coverage lint types docs bench clean measures

demo: $(DEMO)
	$(BIN)/v6flow run workflows/average.yaml
	$(BIN)/v6flow run workflows/variance.yaml

# part of it runs against a released vantage6 server with nodes, which is set up on this machine (V6FLOW_LIVE=0: not)
test: lint types
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

# what most changes break: lint, types, and the tests of the pure core
check: lint types
	$(BIN)/python -m pytest -n $(WORKERS) tests/core tests/test_architecture.py

# the same tests, slower, with the lines that none of them reaches
coverage: $(DEV)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --cov --cov-report=term:skip-covered

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/vulture

types: $(DEV)
	$(BIN)/mypy

# the pages that are made from schemas and types
docs: $(DEV)
	$(BIN)/v6flow schema --reference > docs/reference.md
	$(BIN)/python tools/output_page.py

measures: $(DEV)
	$(BIN)/python tools/measures.py

bench: $(DEV)
	$(BIN)/python benchmarks/run.py

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "v6flow needs Python 3.10 or newer: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) cannot make virtual environments: install its venv module (Debian: python3-venv)"; exit 1; }

$(DEMO): pyproject.toml | $(VENV)/bin/python
	$(PIP) install -e ".[embedded]"
	@touch $@

$(DEV): pyproject.toml | $(VENV)/bin/python
	$(PIP) install -e ".[embedded,dev]"
	@touch $@ $(DEMO)

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage* dist build
