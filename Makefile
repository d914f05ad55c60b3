# Needs make, Python 3.11 or newer and pip; everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: help setup demo test test-slow lint clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo       discover the hare and lynx equations from 21 rows; results in runs/lynx_hare'
	@echo 'make test       the tests'
	@echo 'make test-slow  the tests with the longer studies'
	@echo 'make lint       ruff'
	@echo 'make setup      only install into .venv; the others do it when they need to'
	@echo 'make clean      remove .venv and caches; runs/ stays'
	@echo
	@echo 'Another Python:        make demo PYTHON=python3.12'
	@echo 'Torch without CUDA:    PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make demo'

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c '' || { echo 'No Python at "$(PYTHON)". Install Python 3.11 or newer, or name one:' \
		'make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'udesys needs Python 3.11 or' \
		"newer, but $(PYTHON) is $$($(PYTHON) --version 2>&1). Name a newer one:" \
		'make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@echo 'Installing into .venv; the first time takes a few minutes.'
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

demo: $(INSTALLED)
	@rm -rf runs/lynx_hare
	$(BIN)/udesys discover data/lynx_hare.toml -o runs/lynx_hare

test: $(INSTALLED)
	$(BIN)/python -m pytest

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest --slow

lint: $(INSTALLED)
	$(BIN)/ruff check .

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis
	find udesys tests -name __pycache__ -type d -prune -exec rm -rf {} +
