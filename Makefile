# `make demo` does the main job, `make test` runs the tests: each needs Python 3.11+ and a package index, nothing else.
# With a C compiler they run the compiled core; AUTOGRAD_PURE=1 make test runs the other.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)

.PHONY: demo test notebooks lint oracles bench clean

demo: $(VENV)/installed
	$(BIN)/python -m nn.demo

test: $(VENV)/installed-test
	$(BIN)/python -m pytest

notebooks: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable '.[notebooks]'
	$(BIN)/python -m jupyterlab notebooks

# Comparisons with PyTorch and JAX, which are large. TORCH can name a build: make oracles TORCH=torch==2.13.0
TORCH ?= torch
oracles: $(VENV)/installed-test
	$(BIN)/python -m pip install --quiet '$(TORCH)' --editable '.[oracles]'
	$(BIN)/python -m pytest -m oracle

lint: $(VENV)/installed-test
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy --strict

bench: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	$(BIN)/python benchmarks/eager.py
	$(BIN)/python benchmarks/jit.py

clean:
	rm -rf $(VENV) build demo *.egg-info .mypy_cache autograd/node__mypyc.*

# What an install compiles, or says. A stamp is touched last, so that an interrupted install is done again.
BUILT_FROM := pyproject.toml setup.py autograd/node.py

$(VENV)/installed: $(BUILT_FROM)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed-test: $(BUILT_FROM)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@
