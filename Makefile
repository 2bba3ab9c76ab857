# Needs git, make and Python 3.12 or newer (if python3 is older, uv gets one). The rest goes into .venv.
.DEFAULT_GOAL := help
.PHONY: help demo test lint format docs pages gallery notebooks check-notebooks picture coverage-study bench constraints clean
PYTHON ?= python3
BIN := .venv/bin

help:
	@echo "make demo             analyse the tutorial's experiment and write tutorial-report.html"
	@echo "make test             run the tests"
	@echo "make lint             check style, formatting, types and the layers of the package"
	@echo "make format           format the code"
	@echo "make docs             build the documentation into site/ (no network needed once installed)"
	@echo "make pages            update docs/modules.md and the names in docs/reference"
	@echo "make gallery          update the gallery in models/README.md, with its pictures"
	@echo "make notebooks        run all notebooks and keep their outputs"
	@echo "make check-notebooks  run all notebooks and write nothing"
	@echo "make picture          take the README's screenshot of the report (needs Chromium)"
	@echo "make coverage-study   simulate the coverage of every interval (about 10 minutes)"
	@echo "make bench            compare with other software (about 15 minutes)"
	@echo "make constraints      pin the installed versions in constraints.txt"
	@echo "make clean            delete the environment, the site and all caches"

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

pages: .venv/.ready
	$(BIN)/python docs/page_tables.py

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
	rm -rf .venv .uv site .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/.ready: pyproject.toml constraints.txt .python-version
	@python=$(PYTHON); \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 12))' || \
	python=$$($(NEWER_PYTHON)) || { \
	  echo "bayescluster needs Python 3.12 or newer; this is $$($(PYTHON) --version 2>&1)."; \
	  echo "Install one and say which: make $(or $(MAKECMDGOALS),demo) PYTHON=python3.13"; \
	  exit 1; }; \
	$$python -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

# Where $(PYTHON) is too old: uv, in .uv/, finds the version of .python-version, or downloads it.
UV := UV_PYTHON_INSTALL_DIR=$(CURDIR)/.uv/python .uv/bin/uv python
NEWER_PYTHON = $(PYTHON) -m pip install --quiet --target .uv --upgrade uv >&2 && \
	{ $(UV) find --system 2>/dev/null || { $(UV) install >&2 && $(UV) find --system; }; }

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
