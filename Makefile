# `make` prints what there is. Everything is installed into .venv (and .interop), nothing outside this folder.
# PYTHON=... chooses the interpreter, 3.11 or newer (the pins were tested on 3.11); pip's own settings are honoured.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= $(shell for python in python3.11 python3 python3.12 python3.13; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
# Two processes, each file in one of them, in the order of tests/conftest.py.
SPREAD := -n 2 --dist loadfile --no-loadscope-reorder
PIP := $(BIN)/python -m pip --disable-pip-version-check
PINS := requirements/cpu.txt
PACKAGING := $(PINS) setup.cfg pyproject.toml
EVERYTHING := torch transformers datasets trl peft accelerate deepspeed ray vllm tensorboard matplotlib medrl

.PHONY: help demo test test-unit test-interop test-chaos lint browser format doctor cards doctor-model wheel clean

help: ## Print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-13s %s\n", $$1, $$2 }'

demo: .venv/.light ## Train a tiny medical policy from scratch on the CPU; installs the light core first
	$(BIN)/medrl run examples/huatuogpt_o1/tiny.yaml folder=runs/demo-$$(date +%Y%m%d-%H%M%S)

test: lint browser ## Lint and run all tests but interop; installs the complete CPU environment first
	$(BIN)/python -m pytest tests/unit $(SPREAD)
	$(BIN)/python -m pytest --ignore tests/unit $(SPREAD)

test-unit: .venv/.full ## Only the fast tests, without real engines
	$(BIN)/python -m pytest tests/unit -m "not slow and not engine" $(SPREAD)

test-interop: .venv/.full .interop/.done ## Hold medrl against other frameworks' real code, installed into .interop
	PYTHONPATH=.interop $(BIN)/python -m pytest -m interop

test-chaos: .venv/.full ## Kill processes of a run on a Ray cluster twelve times and look for what was lost; up to 30 minutes
	$(BIN)/python benchmarks/chaos.py

lint: .venv/.full ## ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy -p medrl

# The annotation page is tested in a real browser. Root on Debian gets one; elsewhere its tests say why they are skipped.
INSTALL_BROWSER := apt-get -qq install -y --no-install-recommends chromium
browser:
	@command -v chromium chromium-browser google-chrome >/dev/null || { \
		[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && { $(INSTALL_BROWSER) || { apt-get -qq update && $(INSTALL_BROWSER); }; } \
			>/dev/null 2>&1; } || echo "no Chromium was found or could be installed; the tests in a browser will be skipped"

format: .venv/.full ## Sort imports, mend what ruff can mend, format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

doctor: .venv/.light ## Say what this machine can run
	$(BIN)/medrl doctor

cards: .venv/.light ## Measure the shipped verifier cards anew, after rules or vocabulary changed
	rm -f medrl/data/cards/*.json
	for verifier in rules '{type: typed, vocabulary: medrl, format: o1}' '{type: typed, vocabulary: clinic, format: o1}'; do \
		MEDRL_CARDS=medrl/data/cards $(BIN)/medrl card "$$verifier" --cases medrl/data/cases/heldout.jsonl --save; done

doctor-model: .venv/.light ## Learn the shipped weights of doctor_likeness anew, after features or tables changed
	$(BIN)/medrl doctor-likeness --train rewards/doctor_likeness.json

wheel: .venv/.light ## Build the wheel into dist/
	$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .

clean: ## Remove environments, builds and caches; runs/ stays
	rm -rf .venv .interop build dist medrl.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@[ -n "$(PYTHON)" ] || { echo "medrl needs Python 3.11 or newer; none was found. Name one: make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv

# The core and medrl[train], at the pinned versions.
.venv/.light: $(PACKAGING) | $(BIN)/python
	$(PIP) install --quiet --constraint $(PINS) setuptools wheel
	$(PIP) install --quiet --constraint $(PINS) --no-build-isolation --editable '.[train]'
	touch $@

# Everything, as listed. torch goes first and must be a CPU build: requirements/README.md says why, and what to do.
.venv/.full: $(PACKAGING) | $(BIN)/python
	$(PIP) install --quiet --constraint $(PINS) torch setuptools wheel
	@$(BIN)/python -c 'import sys, torch; torch.version.cuda and sys.exit("torch is a CUDA build; see requirements/README.md")'
	$(PIP) install --quiet --no-deps --requirement $(PINS)
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	for module in $(EVERYTHING); do $(BIN)/python -c "import $$module" >/dev/null || exit 1; done
	touch .venv/.light $@

.interop/.done: requirements/interop.txt .venv/.full
	rm -rf .interop
	$(PIP) install --quiet --no-deps --target .interop --requirement requirements/interop.txt && touch $@ || { rm -rf .interop; \
		echo "requirements/interop.txt cannot be installed here, for the reason above: its tests are skipped" >&2; }
