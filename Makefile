# Every target sets up what it needs in .venv; nothing else has to be installed but Python 3.11, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: install demo test lint types imports migrations check bench serve clean

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	# torch first: alone it resolves to the processor build where one is at hand, and nothing newer is pulled in later.
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[embeddings,demo,sentiment,dev]'
	touch $@

install: $(READY) ## the service, its embedding and the tools, in .venv
	$(BIN)/headrace embedding

demo: install ## route real recorded queries before your eyes
	$(BIN)/headrace demo $(ARGS)

test: $(READY) ## all tests; no key, no internet
	$(BIN)/python -m pytest $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

imports: $(READY) ## the layers of the architecture
	$(BIN)/lint-imports

migrations: $(READY) ## from empty, and the models match them
	$(BIN)/python -m pytest -q tests/app/storage/test_migrate.py

check: lint types imports test

bench: install ## speed and memory against a bare forwarder
	$(BIN)/python scripts/bench/decide.py
	$(BIN)/python scripts/bench/overhead.py

serve: install ## CONFIG=headrace.yaml PORT=8000
	$(BIN)/headrace serve $(if $(CONFIG),--config $(CONFIG)) --port $(or $(PORT),8000)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
