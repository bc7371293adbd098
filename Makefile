# Needs only Python 3.11+, git and make: the first target builds .venv.
PYTHON ?= python3
BIN := .venv/bin
# Small networks lose speed with several threads, and collapse when cores are shared.
export OMP_NUM_THREADS ?= 1

.PHONY: setup demo test test-slow lint format wheel clean

setup: .venv/.ready

.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("rltransfer needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup
	$(BIN)/rltransfer benchmark --pair cartpole-slow-control,cartpole-swapped --recipes full,auto --seeds 5 --steps 10000 --points 10 --out runs/demo

test: setup lint
	$(BIN)/pytest -n 2 -q

test-slow: setup
	$(BIN)/pytest -n 2 -q -m slow

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: setup
	$(BIN)/python -m build --wheel

clean:
	rm -rf .venv build dist runs
