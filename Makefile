# `make` alone tells what there is. Variables go through the environment or the command line:
# `make up STACK=docker`, `make demo ONCE=1`.

PYTHON ?= python3
PY := .venv/bin/python
# Byte code is made of what is imported, when it is: half the installation's processor time.
# Where the environment forbids to keep it, each start of a script would make it anew, for seconds.
unexport PYTHONDONTWRITEBYTECODE
INSTALL := -m pip install --quiet --disable-pip-version-check --no-compile
TOOLS := .venv/tools/bin
OLDEST_PYTHON := 3.11

.DEFAULT_GOAL := help
.PHONY: audit bench browser compiled coverage demo down format help hooks lint lock reset status \
  test test-fast topics up venv

help: ## tell what there is
	@echo "usage: make TARGET [VARIABLE=value]"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

venv: .venv/.developing ## make .venv and install into it; again only when requirements change

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < ($(subst .,$(comma) ,$(OLDEST_PYTHON))))' \
	  || { echo "$(PYTHON) is no Python $(OLDEST_PYTHON) or newer: set PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

# From the locks, in which each file of each package has its hash.
.venv/.running: requirements.lock | .venv/bin/python
	$(PY) $(INSTALL) --require-hashes -r requirements.lock
	@touch $@

.venv/.developing: requirements-dev.lock .venv/.running
	$(PY) $(INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@

# What few need, apart from what everybody does.
.venv/.tools: requirements-tools.txt | .venv/bin/python
	$(PY) -m venv .venv/tools
	$(TOOLS)/python $(INSTALL) -r requirements-tools.txt
	@touch $@

lock: .venv/.tools ## write the locks anew, after a change of requirements*.txt
	@set -e; for file in requirements requirements-dev; do \
	  $(TOOLS)/uv pip compile --quiet --universal --python-version $(OLDEST_PYTHON) \
	    --generate-hashes --no-strip-extras --no-annotate --no-emit-index-url --custom-compile-command "make lock" \
	    $$file.txt --output-file $$file.lock; done

audit: .venv/.tools ## look the locked packages up among known vulnerabilities (asks pypi.org)
	@$(TOOLS)/pip-audit --requirement requirements-dev.lock --require-hashes --disable-pip --strict \
	  || { echo "make audit: a vulnerability is listed above, or pypi.org could not be asked about a" \
	    "package (offline, or behind a mirror that does not know them): nothing is proven" >&2; exit 1; }

hooks: .venv/.tools .venv/.developing ## have git check what is committed (pre-commit)
	$(TOOLS)/pre-commit install

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

test: browser ## check the code and run every test (Java 17 and Maven must be there)
	@$(MAKE) --no-print-directory -j 2 lint compiled
	$(PY) -m pytest -n 4

# The first use compiles the recommender's inner loops, for half a minute; who starts at the same
# time would compile them too.
compiled: .venv/.developing
	@$(PY) examples/recommend_from_data_frames.py >/dev/null

test-fast: .venv/.developing ## run the tests that need no Kafka and no MongoDB, within a minute
	$(PY) -m pytest -n 4 -m "not stack"

coverage: .venv/.developing browser ## run every test and show which lines of erp/ none reaches
	$(PY) -m pytest -n 4 --cov --cov-report=term:skip-covered --cov-report=html

lint: .venv/.developing ## check style, format and types
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy

format: .venv/.developing ## rewrite the code in the project's format
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

bench: .venv/.developing ## measure, side by side with a peer (ONLY=name for one program)
	@set -e; for program in bench/$(or $(ONLY),[a-z]*).py; do \
	  echo "== $$program"; $(PY) $$program; done

comma := ,
