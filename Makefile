# make test        the whole suite: format, lint, types, tests (Python 3.11 or 3.12)
# make test-quick  the same without the tests that take most of the time: those that train, export or run in real time
# make test-light  tests of what runs on a robot, from a built wheel, without torch: make test-light PYTHON=python3.10
# make demo        an arm that looks for a hidden target, from training to a control loop; prints each command it runs
# The first call makes .venv and installs; later calls install only when pyproject.toml or constraints.txt changed.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: install lint test test-quick test-light demo clean

PYTHON ?= $(shell for python in python3.11 python3; do $$python -c "" 2>/dev/null && echo $$python && break; done)
PIP_INSTALL = -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

VENV := .venv
INSTALLED := $(VENV)/installed
EXTRAS := train,export,ort,sim,mujoco,records,trt-rtx,dev

install: $(INSTALLED)

# setuptools first, and no build isolation: one pinned setuptools builds everything, here and in the tests.
$(INSTALLED): pyproject.toml constraints.txt
	@echo "Installing into $(VENV); the first time takes minutes"
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python $(PIP_INSTALL) setuptools
	@$(VENV)/bin/python $(PIP_INSTALL) --no-build-isolation --editable ".[$(EXTRAS)]"
	@touch $@
	@echo "Installed. In each new shell, 'source $(VENV)/bin/activate' makes dmh-edge a command."

lint: $(INSTALLED)
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy

# One thread for each of the two workers: more threads would only wait for each other. Tests that need what this machine
# lacks (a GPU, Chromium, real-time priority) are not run, and the summary says so.
test: lint
	OMP_NUM_THREADS=1 $(VENV)/bin/pytest -n 2

# Tests that take most of the time of the whole suite: they train, export or run in real time.
SLOW_TESTS := tests/bench tests/benchmarks tests/export tests/realtime tests/studies tests/runtime/loop/test_steady_loop.py \
    tests/runtime/records tests/api tests/cli tests/examples tests/test_systems.py tests/test_train.py

test-quick: lint
	OMP_NUM_THREADS=1 $(VENV)/bin/pytest -n 2 $(addprefix --ignore=,$(wildcard $(SLOW_TESTS)))

# Tests of what runs on a robot. They import neither torch nor the parts of the package that need it.
LIGHT_TESTS := tests/test_schema.py tests/test_settings.py tests/test_task.py tests/test_contract.py tests/test_clock.py \
    tests/test_trace.py tests/test_files.py tests/test_processes.py tests/test_shared_memory.py tests/test_user_modules.py \
    tests/runtime tests/robots tests/faults \
    tests/bench/test_steadiness.py tests/api/test_policy_agent.py tests/api/test_loaded_policy.py tests/test_python_page.py
LIGHT_VENV = .venv-light-$(shell $(PYTHON) -c "import sys; print('%d.%d' % sys.version_info[:2])")

test-light:
	test -x $(LIGHT_VENV)/bin/python || $(PYTHON) -m venv $(LIGHT_VENV)
	$(LIGHT_VENV)/bin/python $(PIP_INSTALL) setuptools pytest pytest-xdist hypothesis
	rm -rf build $(LIGHT_VENV)/wheel  # leftovers of an earlier build would end up in the wheel
	$(LIGHT_VENV)/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir $(LIGHT_VENV)/wheel .
	$(LIGHT_VENV)/bin/python $(PIP_INSTALL) "$$(echo $(LIGHT_VENV)/wheel/*.whl)[ort,sim,records]"
	$(LIGHT_VENV)/bin/python $(PIP_INSTALL) --no-deps --force-reinstall $(LIGHT_VENV)/wheel/*.whl
	! $(LIGHT_VENV)/bin/python -c "import torch" 2>/dev/null
	$(LIGHT_VENV)/bin/pytest -n 2 $(wildcard $(LIGHT_TESTS))

# --resume: an interrupted demo continues, and a finished one does not train again.
# One thread: a second one helps these small models little, and if a core is busy, the two wait for each other.
demo: export OMP_NUM_THREADS := 1
demo: export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
demo: $(INSTALLED)
	dmh-edge train dark-reacher --set on_policy=true --set data.episodes_per_context=20 --set training.updates=1800 --out runs/reacher --resume
	dmh-edge eval runs/reacher
	dmh-edge export runs/reacher --trt --out deploy/reacher
	dmh-edge inspect deploy/reacher/model.plan
	dmh-edge run --engine deploy/reacher/model.onnx --robot gym:dark-reacher --rate 50 --episodes 10

# Keeps the environments and what the commands wrote (data, runs, deploy).
clean:
	rm -rf build dist *.egg-info .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path "./.venv*" -prune -exec rm -rf {} +
