# The virtual environment is made anew when pyproject.toml changes.
PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: demo dev test lint types requirements clean help

demo: $(INSTALLED)  ## run the main job once on this machine, and show it
	$(VENV)/bin/batchdrop demo

dev: $(INSTALLED)  ## start the local stack and keep it until Ctrl-C
	$(VENV)/bin/batchdrop local up

test: $(INSTALLED)  ## run all tests
	$(VENV)/bin/pytest

lint: $(INSTALLED)  ## check how the code is written
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/ruff check

types: $(INSTALLED)  ## check the types
	$(VENV)/bin/mypy

requirements: $(INSTALLED)  ## pin what the deployed functions install
	$(VENV)/bin/uv pip compile pyproject.toml --extra worker \
		--quiet --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links \
		--custom-compile-command "make requirements" \
		--output-file functions/requirements.txt

clean:  ## remove what was made here
	rm -rf $(VENV) .batchdrop .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' \
		$(firstword $(MAKEFILE_LIST))

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@
