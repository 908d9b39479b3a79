# One short command a chore. `make setup` installs, `make up` runs the main job, `make test` proves it.
# Both of the others rest on setup; nothing but Python 3.11+ and a shell is assumed.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup up down test lint types contracts unit check-all bench clean
help:            ## this list
	@sed -n 's/^\([a-z-]*\): .*## /  make \1\t/p' Makefile | expand -t 20

setup: .venv/user.stamp   ## install Eke and what it needs into .venv
	@echo "Eke is in .venv. Put it on your path: . .venv/bin/activate; then: eke doctor"

up: .venv/user.stamp      ## plan this machine, fetch the small model, serve and train until Ctrl-C
	@$(BIN)/eke up examples/this-machine.yaml --best-effort

down:            ## stop everything `make up` started
	@$(BIN)/eke down this-machine

test: .venv/dev.stamp lint types contracts unit   ## everything that must pass before a change lands

lint: .venv/dev.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: .venv/dev.stamp
	$(BIN)/mypy

contracts: .venv/dev.stamp
	$(BIN)/lint-imports

unit: .venv/dev.stamp
	scripts/install-browser
	$(BIN)/eke models fetch embedded
	$(BIN)/pytest -m "not slow"

check-all: test  ## also the slow ones
	$(BIN)/pytest -m slow

clean:           ## remove what was built here (models and runs in ~/.eke stay)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Eke needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 64; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --upgrade pip hatchling editables

.venv/user.stamp: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install -c constraints.txt --no-build-isolation -e '.[local,train,charts]'
	@touch $@

.venv/dev.stamp: .venv/user.stamp
	$(BIN)/python -m pip install -c constraints.txt --no-build-isolation -e '.[local,train,charts,dev]'
	@touch $@
