# Entry points for people; the work is done by the scripts in tools/ and .ci/.
# `make demo` and `make test` work as the first command on a bare machine.
VENV ?= .venv
BIN := $(VENV)/bin
export VENV
RIVALS := .venv-rivals/bin/python
COMPARED = $(shell grep -rlE 'importorskip."(torch|sklearn)' tests --include=*.py)

.PHONY: help demo test test-torch dev bench notebooks sanitize lint format docs wheel clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

demo: ## build, then the excess-mortality study: figures and report in demo-output/
	@tools/bootstrap dev
	@$(BIN)/gradiverse mortality --output demo-output

test: ## build, then the C tests, the Python tests and the examples in docstrings
	@tools/bootstrap dev
	@$(BIN)/python tools/run_ctests.py
	@$(BIN)/python -m pytest -q --doctest-modules tests python/gradiverse

test-torch: ## layers and optimisers against torch, the rest against scikit-learn
	@tools/bootstrap dev
	@$(BIN)/python -c 'from benchmarks.speed.__main__ import *; rivals_python()'
	@$(RIVALS) -m pip install -q --disable-pip-version-check pytest h5py pooch tqdm
	@$(RIVALS) -c 'import torch, sklearn'
	@PYTHONPATH=python $(RIVALS) -m pytest -q -p no:cacheprovider $(COMPARED)

dev: ## build the C extensions in place; incremental, safe to call concurrently
	@tools/bootstrap dev

bench: ## the speed tables of docs/benchmarks.md
	@tools/bootstrap dev
	@$(BIN)/python -m benchmarks.speed

notebooks: ## execute the notebooks in small mode
	@tools/bootstrap all
	@$(BIN)/python tools/run_notebooks.py

sanitize: ## the whole suite with the address and undefined-behaviour sanitizers
	@tools/bootstrap dev
	@tools/sanitize

lint: ## formatters, linter and layer check; changes nothing
	@tools/bootstrap dev
	@tools/lint

format: ## apply the formatters
	@tools/bootstrap dev
	@tools/lint --fix

docs: ## the documentation, in docs/_build/html
	@tools/bootstrap all
	@$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "docs: docs/_build/html/index.html"

wheel: ## a repaired wheel in dist/, tested in a clean environment
	@tools/bootstrap dev
	@tools/make_wheel

clean: ## remove everything that is built, but not the virtual environment
	rm -rf build dist demo-output docs/_build python/gradiverse/*.so
