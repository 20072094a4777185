# Two commands: `make run` starts, `make test` tests. Both set up `.venv` first; repeated calls are instant.
# The first of these that is new enough; looked for only while setting up.
PYTHON ?= $(shell for name in python3 python3.11 python3.12 python3.13; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.PHONY: run test lint setup bench format
.DEFAULT_GOAL := run

setup: $(STAMP)

$(STAMP): requirements.txt requirements-networks.txt requirements-training.txt requirements-dev.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: sudo apt install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c "import ensurepip, venv" || { echo "Python's venv is missing: sudo apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@# Without an NVIDIA driver torch's build for CPUs does, a tenth as large; where its index is out of reach, PyPI's will.
	command -v nvidia-smi >/dev/null || $(BIN)/pip install --disable-pip-version-check --quiet --retries 1 --no-deps \
		--index-url https://download.pytorch.org/whl/cpu $(shell grep ^torch== requirements.txt) || true
	$(BIN)/pip install --disable-pip-version-check --quiet -r requirements-dev.txt
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps -r requirements-networks.txt
	touch $@

run: setup
	$(BIN)/python -m bot run

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/pyright

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup
	$(BIN)/python -m bench race
