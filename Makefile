# Recipes for people and for CI. `make run` needs git, make and Python >= 3.11, nothing else.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
# fsync costs milliseconds on a disk and nothing in memory.
FAST_TMP := $(shell test -d /dev/shm && echo /dev/shm || echo /tmp)
# In CI a test that is skipped fails the run.
SKIPS := $(if $(CI),--forbid-skips,)

.PHONY: docs setup run cluster check test faults bench bench-canary bench-cluster bench-metrics lock clean format

setup: $(STAMP)

$(STAMP): requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# Agent, queue, logger and monitor in one process, data below var/. Ctrl-C stops it.
run: setup
	@exec $(PY) -m pipeline up

# 3 brokers, an S3 gateway, 3 loggers, 2 agents with the demo, below var/cluster: java, mvn and go are needed.
cluster: setup
	@exec $(PY) -m demo.look

# Two minutes: format, lint, types, layers, unit and property tests.
check: setup
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	TMPDIR=$(FAST_TMP) $(PY) -m pytest -q -m "not slow and not faults" $(SKIPS)

# Everything that this machine's toolchains allow; what is skipped is named with its reason (pytest -ra).
test: check
	$(PY) -m pytest -m "slow or faults" $(SKIPS)

# The long form of the fault tests: 200 kills. FAULTS_SEED=n repeats a run.
faults: setup
	FAULTS_KILLS=$${FAULTS_KILLS:-200} $(PY) -m pytest -m faults

# BENCH="agent logger --mb 64" picks measurements and the size of the corpus.
bench: setup
	$(PY) -m bench $(BENCH)

# The same with three real brokers and a real S3 gateway: java, mvn and go are needed.
bench-cluster: setup
	$(PY) -m bench --cluster $(BENCH)

# Trials of the canary decider beside its targets, 40 CPU-seconds: CANARY="same --runs 20000" picks cells and runs.
bench-canary: setup
	$(PY) -m bench.canary $(CANARY)

# Samples of lines by rules, beside mtail on the same lines, and the memory of series: METRICS="--lines 1000000".
bench-metrics: setup
	$(PY) -m bench.metrics $(METRICS)

format: setup
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

# Lock files name no host: the index is whatever the machine's pip is set up with.
lock: setup
	$(PY) -m pip install --quiet uv
	for extra in agent logger monitor cli operator; do \
	  $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra $$extra pyproject.toml -o requirements/$$extra.lock; done
	$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --all-extras pyproject.toml -o requirements/dev.lock

clean:
	rm -rf $(VENV) var build .cache

# Write docs/settings.md from the settings classes; a test compares.
docs: setup
	$(PY) docs/generate_settings.py
