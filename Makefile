# Two commands: `make run` couples one day of the district, `make test` passes the tests. Both make .venv when needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# everything, also what is slow: make test PYTEST_ARGS=
PYTEST_ARGS ?= -m "not slow" -n 2 --dist loadfile --no-loadscope-reorder
RUNNING := $(VENV)/.running
TOOLS := $(VENV)/.tools
SOURCES := $(shell find core adapters -name "*.pyx" -o -name "*.pxd" -o -name "*.h" -o -name "*.c" -path "adapters/*")
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
LOCKED := $(PIP) --require-hashes

.PHONY: run test install check lock clean

run: $(RUNNING)
	$(BIN)/cosim run eixample

test: install
	$(BIN)/python -m pytest $(PYTEST_ARGS)

install: $(TOOLS)

$(RUNNING): requirements.lock requirements-build.lock pyproject.toml setup.py $(SOURCES)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "cosim needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(LOCKED) -r requirements.lock -r requirements-build.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(TOOLS): $(RUNNING) requirements-dev.lock
	$(LOCKED) -r requirements-dev.lock
	@touch $@

check: install
	PATH="$(CURDIR)/$(BIN):$$PATH" nox --no-venv -s lint types

COMPILE := uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-header --generate-hashes
BUILD_REQUIRES := import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")

# what runs; what also compiles (pip wants each package in one of the two); all that and every tool
lock:
	$(COMPILE) pyproject.toml --output-file requirements.lock
	$(PYTHON) -c '$(BUILD_REQUIRES)' | $(COMPILE) --constraint requirements.lock --no-emit-package numpy \
		--no-annotate - --output-file requirements-build.lock
	$(COMPILE) --constraint requirements.lock --constraint requirements-build.lock \
		--extra city --extra dev --extra docs --extra exports --extra figures --extra fmu --extra grids \
		--extra helics --extra live --extra study \
		pyproject.toml --output-file requirements-dev.lock

clean:
	rm -rf $(VENV) build dist *.egg-info; find core adapters -name "*.so" -o -name "*.c" -path "core/*" | xargs rm -f
