# `make` alone tells what there is. Variables go through the environment or the command line:
# `make up STACK=docker`, `make demo ONCE=1`.

PYTHON ?= python3
PY := .venv/bin/python
# Byte code is made of what is imported, when it is: half the installation's processor time.
INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check --no-compile
OLDEST_PYTHON := 3.11

.DEFAULT_GOAL := help
.PHONY: browser help venv up down status reset topics test test-fast lint format demo bench

help: ## tell what there is
	@echo "usage: make TARGET [VARIABLE=value]"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

venv: .venv/.developing ## make .venv and install into it; again only when requirements change

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < ($(subst .,$(comma) ,$(OLDEST_PYTHON))))' \
	  || { echo "$(PYTHON) is no Python $(OLDEST_PYTHON) or newer: set PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/.running: requirements.txt | .venv/bin/python
	$(INSTALL) -r requirements.txt
	@touch $@

.venv/.developing: requirements-dev.txt .venv/.running
	$(INSTALL) -r requirements-dev.txt
	@touch $@

up: .venv/.running ## start Kafka and MongoDB, or use what runs (STACK=java|docker, MEMORY=1)
	@$(PY) -m local_stack up $(if $(MEMORY),--memory)

down: .venv/.running ## stop them; their data stays
	@$(PY) -m local_stack down

status: .venv/.running ## say which of them run
	@$(PY) -m local_stack status || true

reset: .venv/.running ## stop them and delete their data
	@$(PY) -m local_stack reset

topics: .venv/.running ## show topics, consumer groups with lag, newest messages
	@$(PY) -m local_stack topics

demo: .venv/.running ## move real shop data through every stage, with pages (ONCE=1 ends by itself)
	@$(PY) -m local_stack.demo $(if $(ONCE),--once)

browser: .venv/.developing ## install the Chromium that the tests of the pages drive, if there is none
	@command -v chromium >/dev/null \
	  || if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	       apt-get update -qq && apt-get install -y -qq chromium; \
	     else $(PY) -m playwright install chromium; fi

test: lint browser ## check the code and run every test (Java 17 and Maven must be there)
	$(PY) -m pytest -n 3 --dist worksteal

test-fast: .venv/.developing ## run the tests that need no Kafka and no MongoDB
	$(PY) -m pytest -m "not stack"

lint: .venv/.developing ## check style and format
	$(PY) -m ruff check
	$(PY) -m ruff format --check

format: .venv/.developing ## rewrite the code in the project's format
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

bench: .venv/.developing ## measure, side by side with a peer (ONLY=name for one program)
	@set -e; for program in bench/$(or $(ONLY),[a-z]*).py; do \
	  echo "== $$program"; $(PY) $$program; done

comma := ,
