.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
ARGS ?=

bin := $(VENV)/bin
pip := $(bin)/python -m pip --disable-pip-version-check --quiet
pytest := $(bin)/python -m pytest -n $(WORKERS)

# Left out of the quick run on SQLite; test-all runs these there, too.
not_about_the_database := $(addprefix --ignore tests/,faults e2e docs) \
	$(addprefix --ignore-glob=tests/integration/test_,clients_* contrib_* bearer* transport*)

.PHONY: help demo test test-all lint format bench docs messages requirements clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

demo: $(VENV)/.installed-demo ## five processes and the story; ONCE=1, PORT=, AUTH_PORT=, REDIS_PORT=, DATABASE_URL=, REDIS_URL=, EXTRA_REDIRECT_URI=
	@exec $(bin)/python -m project.demo

test: $(VENV)/.installed-test ## the tests on PostgreSQL, then on SQLite what is about the database
	@unset DATABASE_URL REDIS_URL; $(pytest) $(ARGS)
	@unset DATABASE_URL REDIS_URL; TEST_DATABASE=sqlite $(pytest) $(not_about_the_database) $(ARGS)

test-all: $(VENV)/.installed-test ## as test, with the slow tiers, and on MariaDB (apt install mariadb-server chromium chromium-driver)
	@unset DATABASE_URL REDIS_URL; $(pytest) -m "" --timeout 600 $(ARGS)
	@unset DATABASE_URL REDIS_URL; TEST_DATABASE=sqlite $(pytest) -m "" --timeout 600 $(ARGS)
	@unset DATABASE_URL REDIS_URL; TEST_DATABASE=mariadb $(pytest) -m "" --timeout 600 $(ARGS)

lint: $(VENV)/.installed-dev ## ruff, mypy, and the import-direction test
	@$(bin)/ruff check .
	@$(bin)/ruff format --check .
	@unset DATABASE_URL REDIS_URL; $(bin)/mypy
	@unset DATABASE_URL REDIS_URL; $(bin)/python -m pytest -q -p no:randomly tests/unit/test_architecture.py

format: $(VENV)/.installed-dev ## let ruff mend what it can
	@$(bin)/ruff check --fix .
	@$(bin)/ruff format .

bench: $(VENV)/.installed-bench ## the benchmarks; ARGS="hot refresh" for some, ARGS=--quick for a smoke run
	@$(bin)/python -m benchmarks $(ARGS)

compile := $(bin)/uv pip compile pyproject.toml --universal --python-version 3.11 --quiet \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links $(if $(UPGRADE),--upgrade)

docs: $(VENV)/.installed-dev ## the pages that are made from the code: providers and settings
	@$(bin)/python docs/generate_providers.py
	@$(bin)/python docs/generate_settings.py

requirements: $(VENV)/.installed-dev ## compile requirements/*.txt from pyproject.toml; UPGRADE=1 for the newest
	@$(compile) --all-extras --group dev -o requirements/dev.txt
	@$(compile) --all-extras --group test -c requirements/dev.txt -o requirements/test.txt
	@$(compile) --all-extras --group bench -c requirements/dev.txt -o requirements/bench.txt
	@$(compile) --group demo -c requirements/dev.txt -o requirements/demo.txt
	@$(compile) -c requirements/dev.txt -o requirements/base.txt

messages: $(VENV)/.installed-dev ## collect what is to be translated and compile what is (apt install gettext)
	@cd oauth_tokens && for task in \
		"makemessages --locale de --locale es --extension html,txt,py --no-wrap --no-location --no-obsolete" \
		compilemessages; do $(abspath $(bin))/python -m django $$task; done

clean: ## remove the virtual environment, the demo's data and all caches
	@rm -rf $(VENV) var build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(bin)/python:
	@command -v $(PYTHON) >/dev/null || { \
		echo "No $(PYTHON) found. Install Python 3.11 or later, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is $$($(PYTHON) -V 2>&1); 3.11 or later is needed. Name one: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Creating $(VENV) with $$($(PYTHON) -V) ..."
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "venv failed. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

$(VENV)/.installed-%: requirements/%.txt pyproject.toml | $(bin)/python
	@echo "Installing $< ..."
	@$(pip) install -r $<
	@$(pip) install --no-deps --editable .
	@touch $@
