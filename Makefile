# Needs git, make and a Python >= 3.12; everything else is installed into .venv.
.DEFAULT_GOAL := help
.PHONY: help demo test lint format docs gallery notebooks check-notebooks picture coverage-study bench constraints clean
PYTHON ?= python3
BIN := .venv/bin

help:
	@echo "make demo    analyse the tutorial's experiment and write tutorial-report.html"
	@echo "make test    run the tests"
	@echo "make lint    check style, format, types and the layers of the package"
	@echo "make docs    build the documentation into site/ (needs no network once installed)"
	@echo "make bench   compare with peers, side by side (some 15 minutes)"
	@echo "make gallery write the models in models/ into models/README.md, with pictures"
	@echo "make notebooks run the notebooks and keep their outputs (check-notebooks writes nothing)"
	@echo "make picture photograph the report's first screen for the README (needs Chromium)"
	@echo "make coverage-study simulate the coverage of all intervals for a notebook (some 10 minutes)"
	@echo "make format  format the code"

demo: .venv/.ready
	$(BIN)/bayescluster demo

test: .venv/.ready-test
	$(BIN)/pytest -n 2

lint: .venv/.ready-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.ready-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/.ready-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "site/index.html is written; python3 -m http.server -d site serves it, with its search"

gallery: .venv/.ready-test
	$(BIN)/python models/gallery.py

notebooks: .venv/.ready-notebooks
	$(BIN)/python notebooks/run.py

check-notebooks: .venv/.ready-notebooks
	$(BIN)/python notebooks/run.py --check

picture: demo
	$(BIN)/python notebooks/picture.py

coverage-study: .venv/.ready-notebooks
	$(BIN)/python notebooks/studies/coverage.py

bench: .venv/.ready-bench
	$(BIN)/python -m benchmarks all

# Pin what is installed now: names and versions only.
constraints: .venv/.ready-test .venv/.ready-bench .venv/.ready-docs .venv/.ready-notebooks
	$(BIN)/python -m pip freeze --exclude-editable --exclude pip | grep -v ' @ ' > constraints.txt

clean:
	rm -rf .venv site .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/.ready: pyproject.toml constraints.txt .python-version
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 12))' || { \
	  echo "bayescluster needs Python 3.12 or newer; this is $$($(PYTHON) --version 2>&1)."; \
	  echo "Install one and say which: make $(or $(MAKECMDGOALS),demo) PYTHON=python3.13"; \
	  exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

.venv/.ready-test: .venv/.ready
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group dev
	@touch $@

.venv/.ready-notebooks: .venv/.ready
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group notebooks
	@touch $@

.venv/.ready-docs: .venv/.ready
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group docs
	@touch $@

.venv/.ready-bench: .venv/.ready
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group benchmarks
	@touch $@
