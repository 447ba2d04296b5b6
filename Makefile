# make demo    the whole story, played in a fresh folder         make check   style, types, floors
# make test    everything that must hold, before a push          make bench   what things cost, against their targets
# make quick   its part for the inner loop, under 90 s           make storm   what takes minutes: storms, cross products
# make install gitqueue into .venv                               make clean   remove what was made here
# make notebooks  run examples/notebooks, keep their outputs      make reference  the Python interface, as pages
# make forge   against a real forge: as root, 700 MB, minutes
#
# Each installs what it needs on Debian 12, Ubuntu 24.04 or later, as root or with sudo; see examples/setup.sh.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
BIN := .venv/bin
# A worker that is done takes tests of the other: files differ much in length.
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: notebooks reference demo test quick storm forge bench check install dev clean
.DEFAULT_GOAL := test

demo: install
	@$(BIN)/python examples/demo.py $(DEMO)

test: check
	$(PYTEST) -m "not storm and not forge"

quick: check
	$(PYTEST) -m "not slow and not storm and not forge"

storm: dev
	$(PYTEST) -m storm

forge: dev
	$(BIN)/python -m pytest tests/forge -m forge

bench: dev
	@$(BIN)/python benchmarks/run.py

check: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict gitqueue
	$(BIN)/lint-imports

notebooks: dev
	$(BIN)/python examples/notebooks/run.py

reference: dev
	$(BIN)/pdoc -o build/reference gitqueue.api gitqueue.errors
	@echo build/reference/index.html

install:
	@examples/setup.sh

dev:
	@examples/setup.sh dev

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .import_linter_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
