# The virtual environment is made anew when pyproject.toml changes; each Python that is
# named has one of its own.
PYTHON ?= python3
VENV := .venv$(if $(filter-out python3,$(PYTHON)),-$(notdir $(PYTHON)))
INSTALLED := $(VENV)/.installed
# What runs the local stack; the developer's environment has it too.
RUNNABLE := $(VENV)/.runnable
# Such as ARGS=--install.
ARGS ?=

# What Python compiles is kept even where an environment asks it not to: each of the some
# hundred processes that the tests start would compile all again.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: demo dev ready pages test rings proofs browser screenshots crash soak outages genai diagram events settings cli codes members schemas lint types audit requirements clean help

demo: $(RUNNABLE)  ## run the main job once on this machine, with some faults, and show it
	@$(VENV)/bin/batchdrop demo $(ARGS)

dev: $(RUNNABLE)  ## start the local stack and keep it until Ctrl-C
	@$(VENV)/bin/batchdrop local up $(ARGS)

ready: $(INSTALLED)  ## how long after a batch's end its results are announced, locally
	$(VENV)/bin/python -m tests.bench.ready

pages: $(INSTALLED)  ## how long each page of the dashboard takes to its first byte, locally
	$(VENV)/bin/python -m tests.bench.pages

test: $(INSTALLED)  ## run all tests, in two processes; PYTHON=python3.13 takes that Python
	$(VENV)/bin/pytest -n 2 --no-loadscope-reorder

rings: $(INSTALLED)  ## run the quick tests, such as with PYTHON=python3.12
	$(VENV)/bin/pytest -p no:cacheprovider $(ARGS) \
		tests/rules tests/entry_points tests/preflight tests/results

proofs: $(INSTALLED)  ## run the tests that take long: other cases, benches, a soak, Terraform
	$(VENV)/bin/pytest -n 2 --no-loadscope-reorder -m "proof or hypothesis" \
		--hypothesis-profile many --timeout 600

browser: $(INSTALLED)  ## install Chromium and axe-core for the tests of the pages, if missing
	@$(VENV)/bin/python -m tests.browser.install

screenshots: browser  ## take the pictures of the pages in docs/images; look at them
	@$(VENV)/bin/python -m tests.browser.screenshots

crash: $(INSTALLED)  ## kill and freeze workers at each point, and at each pair of points
	$(VENV)/bin/pytest -n 2 --no-loadscope-reorder -m "exhaustive or not proof" \
		--timeout 3600 tests/exactly_once tests/worker/test_deaths.py \
		tests/worker/test_races.py

soak: $(INSTALLED)  ## 200 drops, hostile ones too, among kills and faults; 15 minutes
	$(VENV)/bin/python -m tests.soak --hostile --drops 200 --seconds 300

outages: $(INSTALLED)  ## the same, and Pub/Sub fails, schedules double, ticks overlap
	$(VENV)/bin/python -m tests.soak --outages --drops 120 --seconds 180

genai: $(INSTALLED)  ## run google-genai's own batch tests against batchsim
	$(VENV)/bin/python -m tests.batchsim.genai_suite

diagram: $(INSTALLED)  ## draw the phases of a job into docs/explanation
	$(VENV)/bin/python -m tests.diagram --write

settings: $(INSTALLED)  ## write the reference page of the settings
	$(VENV)/bin/python -m tests.settings_page --write

cli: $(INSTALLED)  ## write the reference page of the command line
	$(VENV)/bin/python -m tests.cli_page --write

codes: $(INSTALLED)  ## write the reference pages of codes and outcomes
	$(VENV)/bin/python -m tests.codes --write
	$(VENV)/bin/python -m tests.outcomes --write

events: $(INSTALLED)  ## list the events of the log in docs/reference
	$(VENV)/bin/python -m tests.log_lines --write

members: $(INSTALLED)  ## make the lists of members that requests are held against
	$(VENV)/bin/python -m tests.members $(if $(DEVELOPER),--developer $(DEVELOPER))

schemas: $(INSTALLED)  ## make the announcements' JSON Schemas from `subscribe.JobEvent`
	$(VENV)/bin/python -m tests.schemas --write

lint: $(INSTALLED)  ## check how the code is written
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/ruff check

types: $(INSTALLED)  ## check the types
	$(VENV)/bin/mypy

audit: $(INSTALLED)  ## look for known vulnerabilities in what is deployed and installed
	$(VENV)/bin/uv pip freeze --python $(VENV)/bin/python --exclude-editable \
		> $(VENV)/installed.txt
	for file in functions/requirements.txt $(VENV)/installed.txt; do \
		$(VENV)/bin/uv tool run pip-audit==2.10.1 --strict --no-deps --disable-pip \
			--requirement $$file || exit 1; \
	done

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

# uv takes seconds where pip takes most of a minute; only pip reads pip's settings.
define install
	@echo "Installing batchdrop[$(1)] into $(VENV) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.5,<1'
	@$(VENV)/bin/uv pip install --quiet --compile-bytecode \
		--python $(VENV)/bin/python --editable '.[$(1)]' \
		|| $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
			--editable '.[$(1)]'
endef

$(INSTALLED): pyproject.toml
	$(call install,dev)
	@touch $@ $(RUNNABLE)

# Who develops keeps what that takes.
$(RUNNABLE): pyproject.toml
	$(call install,$(if $(wildcard $(INSTALLED)),dev,local))
	@touch $@ $(if $(wildcard $(INSTALLED)),$(INSTALLED))
