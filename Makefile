# Everything runs in .venv, which these targets make themselves from pinned
# versions. Needed beforehand: Python >= 3.11 and a package index.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet
OUT    ?= out

.DEFAULT_GOAL := help
.PHONY: help demo test quick lint types bench gallery docs format clean

help: ## say what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/demo.stamp ## the main job: figures and tables in out/
	$(BIN)/chipweave run demo -o $(OUT)

test: $(VENV)/test.stamp ## all tests, the short ones first
	$(BIN)/python -m pytest -q

quick: $(VENV)/test.stamp ## the tests that are not slow
	$(BIN)/python -m pytest -q -m "not slow"

lint: $(VENV)/test.stamp ## ruff, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYTHONPATH=. $(BIN)/lint-imports

types: $(VENV)/test.stamp ## mypy --strict on the three packages
	$(BIN)/mypy

bench: $(VENV)/test.stamp ## speed of the simulator itself
	$(BIN)/python -m benchmarks

gallery: $(VENV)/demo.stamp ## the pictures of docs/gallery
	@for script in docs/gallery/*.py; do \
	  PYTHONPATH=. $(BIN)/python $$script docs/gallery/img/$$(basename $$script .py).svg || exit 1; \
	done

docs: $(VENV)/docs.stamp ## the site, in out/site; warnings are errors
	PYTHONPATH=. $(BIN)/sphinx-build -W --keep-going -q docs $(OUT)/site

format: $(VENV)/test.stamp ## lay the sources out as `make lint` wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove what the targets above made
	rm -rf $(VENV) $(OUT) docs/api/generated docs/gallery/generated build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: error: $(PYTHON) is older than 3.11; say PYTHON=python3.12 or the like" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

# The stamps are younger than what they were made from, or made again.
$(VENV)/demo.stamp: requirements.txt pyproject.toml | $(BIN)/python
	$(PIP) -r requirements.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/test.stamp: requirements-test.txt $(VENV)/demo.stamp
	$(PIP) -r requirements-test.txt
	@touch $@

$(VENV)/docs.stamp: requirements-docs.txt $(VENV)/demo.stamp
	$(PIP) -r requirements-docs.txt
	@touch $@
