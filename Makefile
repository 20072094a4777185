# Two commands: `make run` starts, `make test` tests. Each installs into `.venv` what it needs; repeated calls are instant.
# The first of these that is new enough; looked for only while setting up.
PYTHON ?= $(shell for name in python3 python3.11 python3.12 python3.13; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --disable-pip-version-check --quiet
# Everything is installed by hash but torch: its build for CPUs has another one than PyPI's, and there is one per index.
PINNED := $(PIP) --no-deps --require-hashes
TORCH := $$(grep -o '^torch==[^ ]*' requirements.txt)
# What running needs, and what tests, training and linting need beyond it.
RUN := $(VENV)/.run
DEV := $(VENV)/.dev
TSC := $(VENV)/node_modules/typescript

.PHONY: run test test-painters mutants lint setup bench format requirements
.DEFAULT_GOAL := run

setup: $(DEV)

$(RUN): requirements.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: sudo apt install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c "import ensurepip, venv" || { echo "Python's venv is missing: sudo apt install python3-venv"; exit 1; }
	@echo "Setting up $(VENV), this once. It takes a few minutes; most of it is torch."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# Without an NVIDIA driver torch's build for CPUs does, a tenth as large; where its index is out of reach, PyPI's will.
	@if command -v nvidia-smi >/dev/null; then echo "[1/2] torch with CUDA, about 3 GB"; else \
		echo "[1/2] torch for CPUs, about 200 MB"; \
		$(PIP) --retries 1 --no-deps --index-url https://download.pytorch.org/whl/cpu $(TORCH) 2>/dev/null \
		|| echo "      torch's own index cannot be reached; PyPI's torch brings CUDA along, about 3 GB"; fi
	@$(PIP) $(TORCH)
	@echo "[2/2] discord.py, PyAV and the other libraries, about 95 MB"
	@$(PINNED) -r requirements.txt
	@touch $@

$(DEV): $(RUN) requirements-dev.txt
	@echo "[dev] what tests, training and linting need, about 150 MB"
	@$(PINNED) -r requirements-dev.txt
	@touch $@

run: $(RUN)
	@$(BIN)/python -m bot run

test: $(DEV)
	@# Four at once on two cores: much of what tests do is waiting. Tests start hundreds of processes: what one of them compiled
	@# is kept for the others, also where the environment says not to.
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder

# Those of whole bots, with two painting processes in place of the thread.
test-painters: $(DEV)
	PYTHONDONTWRITEBYTECODE= BOT_SETTINGS='{"worker__isolation": "process", "worker__painters": ["cpu", "cpu"]}' \
		$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder tests/end_to_end tests/cogs \
		--ignore tests/end_to_end/test_ray.py

# Small mistakes in the code, one at a time: which do the tests notice? `make mutants MODULES="bot/queue cogs/edit.py" EACH=50`
# (0: all; slow), then `make mutants MODULES=… AGAIN=1` for those that were not noticed.
EACH ?= 20
mutants: $(DEV)
	$(BIN)/python tests/mutants.py $(MODULES) --each $(EACH) $(if $(AGAIN),--again)

lint: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/pyright
	$(BIN)/python -m pytest -q tests/test_packaging.py
	@# The page's modules, where npm is there to fetch TypeScript.
	@command -v npm >/dev/null || { echo "npm is not here, so local_discord/page is not checked"; exit 0; }; \
		test -d $(TSC) || npm install --silent --no-save --prefix $(VENV) typescript@5.9.3 && $(TSC)/bin/tsc -p local_discord/page

format: $(DEV)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(RUN)
	$(BIN)/python -m bench race

# Write the pinned sets from pyproject.toml, keeping the pins that still fit; `make requirements UPGRADE=--upgrade` takes newer ones.
requirements: $(DEV)
	$(BIN)/uv pip compile --quiet --universal --generate-hashes $(UPGRADE) pyproject.toml --output-file requirements.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes $(UPGRADE) pyproject.toml --extra training --extra dev \
		--constraint requirements.txt --output-file requirements-dev.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes $(UPGRADE) pyproject.toml --extra cluster \
		--constraint requirements.txt --output-file requirements-cluster.txt
