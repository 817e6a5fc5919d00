# Everything runs in a virtual environment of its own: no target needs one activated.
#   make test PYTHON=python3.13 VENV=.venv313    another interpreter, beside the first
#   make test PYTEST_ARGS="-n 0 -m slow"         other tests, one by one

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
BIN := $(VENV)/bin

# Spinning OpenMP threads starve each other where cores are shared; read when the library loads.
OMP_WAIT_POLICY ?= PASSIVE
export OMP_WAIT_POLICY

# Named here and in the lock, so that pip never takes up a larger build of another release.
TORCH := torch==2.13.0

.PHONY: help demo test lint notebooks lock clean
# Two targets that install would meet in one environment.
.NOTPARALLEL:

help:
	@echo "make demo       the main job on the default data"
	@echo "make test       the tests"
	@echo "make lint       ruff, mypy, import-linter"
	@echo "make notebooks  executes notebooks/*.ipynb"
	@echo "make lock       writes requirements.lock anew (Python 3.11)"
	@echo "make clean      removes the environment, caches and builds"

demo: $(VENV)/.installed-demo
	$(BIN)/ranker demo

# Each library has threads of its own besides: more than a few processes starve each other.
test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(PYTEST_ARGS)

lint: $(VENV)/.installed-test
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports

notebooks: $(VENV)/.installed-test
	$(BIN)/python tests/run_notebooks.py notebooks

# pip comes last when an environment is made: without it the environment is a broken one.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": name another one with PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

# Editable: changed code takes effect, and only changed requirements are installed again.
$(VENV)/.installed-%: pyproject.toml requirements.lock | $(BIN)/pip
	@echo "installing into $(VENV), about 200 MB to download the first time"
	$(BIN)/python -m pip install --quiet -c requirements.lock -e ".[$*]"
	@touch $@

define WRITE_LOCK
import json, re, sys

# What torch adds on machines with a GPU differs by platform and is left to torch.
PLATFORM = re.compile(r"nvidia-|cuda-|triton$$|twostage-ranker$$")
header = [line for line in open("requirements.lock") if line.startswith("#")]
pins = {}
for entry in json.load(open(sys.argv[1]))["install"]:
    name = re.sub(r"[-_.]+", "-", entry["metadata"]["name"]).lower()
    pins[name] = entry["metadata"]["version"].split("+")[0]
lines = [f"{name}=={pins[name]}\n" for name in sorted(pins) if not PLATFORM.match(name)]
open("requirements.lock", "w").writelines(header + lines)
endef
export WRITE_LOCK

lock: | $(BIN)/pip
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "the lock is made with the oldest supported Python: make lock PYTHON=python3.11 VENV=.venv-lock")'
	$(BIN)/python -m pip install --quiet --dry-run --ignore-installed --report $(VENV)/lock.json \
		"$(TORCH)" ".[ann,demo,test,neural,ray]"
	@$(BIN)/python -c "$$WRITE_LOCK" $(VENV)/lock.json
	@rm $(VENV)/lock.json

clean:
	rm -rf .venv .venv-lock build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage htmlcov
	find . -name __pycache__ -type d -not -path "./.git/*" -prune -exec rm -rf {} +
