# `make demo` and `make test` do all the set-up they need on a fresh machine, then their job. `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PROFILE ?= tiny
VIDEO ?=
ARGS ?=
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.vitra-installed

# Spinning OpenMP threads make two processes on two cores 30 times slower; a second BLAS thread slows small solvers.
export OMP_WAIT_POLICY := PASSIVE
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export PYTHONUNBUFFERED := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Passed through the environment and not through the command line, so that spaces and quotes in a path survive.
export VIDEO PROFILE

# A .venv that was moved, or whose Python was removed, counts as not installed.
$(shell [ "$$(cat $(STAMP) 2>/dev/null)" = "$(CURDIR)" ] && $(PY) -c '' 2>/dev/null || rm -f $(STAMP))

.PHONY: help env demo test lab notebooks clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

env: $(STAMP) ## make .venv and install the kit in it

# The stamp is written last, so that a half-made .venv is completed or made anew; it names the checkout it belongs to.
$(STAMP): pyproject.toml
	@set -euo pipefail; \
	for candidate in $(if $(PYTHON),"$(PYTHON)",python3.12 python3.11 python3 python); do \
	  if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' >/dev/null 2>&1; then \
	    found="$$candidate"; break; \
	  fi; \
	done; \
	if [ -z "$${found:-}" ]; then \
	  echo "No usable Python: install Python 3.11 or 3.12 with its venv module (Debian and Ubuntu: python3.11-venv), or name one with PYTHON=/path/to/python3.11." >&2; exit 2; \
	fi; \
	if ! $(PY) -c 'import sys, pip; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' >/dev/null 2>&1; then \
	  echo "Making $(VENV) with $$("$$found" -V) …"; rm -rf $(VENV); "$$found" -m venv $(VENV); \
	fi; \
	echo "Installing the kit and what it needs into $(VENV): about 2 GB, some minutes, once …"; \
	$(PY) -m pip install -e . | { grep --line-buffered -E '\([0-9]{2,}\.[0-9] MB\)|^Installing' || true; } | cut -c1-110; \
	$(PY) -m pip install --quiet --no-deps "$$($(PY) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["tracker"])')"; \
	printf '%s' "$(CURDIR)" > $(STAMP); \
	echo "Done: $(VENV)/bin/vitra --help lists what it can do."

demo: $(STAMP) ## run notebooks 00-04 on the sample, or on VIDEO=path
	@$(PY) -m vitra_lib demo --profile "$$PROFILE" --video "$$VIDEO" $(ARGS)

test: $(STAMP) ## run the tests (ARGS="-k name" picks some)
	@$(PY) -m pytest $(ARGS)

lab: $(STAMP) ## open JupyterLab on the notebooks, on this machine only
	@$(PY) -m jupyterlab --ip=127.0.0.1 --notebook-dir=notebooks $(ARGS)

notebooks: $(STAMP) ## execute the committed notebooks in place, at profile tiny
	@$(PY) -m vitra_lib notebooks run --commit $(ARGS)

clean: ## remove what can be made again: .venv, executed notebooks, caches
	rm -rf $(VENV) results/executed results/work vitra_lab.egg-info .pytest_cache .ruff_cache
	find vitra_lib robot tests -name __pycache__ -type d -prune -exec rm -rf {} +
