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

.PHONY: demo test live lint types bench clean

demo: $(DEMO)
	$(BIN)/v6flow run workflows/average.yaml
	$(BIN)/v6flow run workflows/variance.yaml

test: lint types
	V6FLOW_LIVE=0 $(BIN)/python -m pytest -n $(WORKERS) --ignore tests/live --cov --cov-report=term:skip-covered

# what runs against a released vantage6 server with nodes on this machine, which it sets up too
live: $(DEV)
	$(BIN)/python -m pytest tests/live tests/contracts tests/backends/vantage6

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV)
	$(BIN)/mypy

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
