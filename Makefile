# `make demo` and `make test` need Python 3.11 or newer and make; they set up everything else by themselves.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
KEDRO := $(BIN)/kedro

export KEDRO_DISABLE_TELEMETRY := 1
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: help demo test test-all lint format docs viz mlflow clean-data

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable '.[dev,viz,docs]'
	@# Three builds of OpenCV share one folder; the one that needs no display library must be written last.
	$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --force-reinstall --no-deps opencv-python-headless
	@touch $@

demo: $(INSTALLED) ## Draw skins, prepare them, train a ControlNet, generate skins, pack them
	$(KEDRO) run --pipeline=demo
	@echo
	@echo 'Done. Look at the gallery:      data/08_reporting/gallery.html'
	@echo 'Try and install the skins:      data/08_reporting/skins.html'
	@echo 'See runs and versions:          make mlflow   then http://127.0.0.1:5000'
	@echo 'See the lineage:                make viz      then http://127.0.0.1:4141'

test: $(INSTALLED) ## Run the tests (a few minutes)
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile

test-all: $(INSTALLED) ## Run all tests, the slow proofs included
	$(BIN)/python -m pytest -m ''

lint: $(INSTALLED) ## Check style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED) ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED) ## Build the documentation's site, into build/docs
	$(BIN)/sphinx-build -W --keep-going -q docs build/docs
	@echo 'Open build/docs/index.html'

viz: $(INSTALLED) ## Show the lineage in a browser
	$(KEDRO) viz run --port 4141

mlflow: $(INSTALLED) ## Show runs, metrics, pictures and versions in a browser
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false $(BIN)/mlflow server --backend-store-uri sqlite:///mlflow.db --workers 1 --host 127.0.0.1 --port 5000

clean-data: ## Delete everything that runs have made, but not data/01_raw
	find data -mindepth 2 -not -path 'data/01_raw/*' -not -name .gitkeep -delete
