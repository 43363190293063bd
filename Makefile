# Two commands: `make run` couples one day of the district, `make test` passes the tests. Both make .venv when needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# everything, also what is slow: make test PYTEST_ARGS=
PYTEST_ARGS ?= -m "not slow" -n 2 --dist loadfile
STAMP := $(VENV)/.installed
SOURCES := $(wildcard core/*.pyx core/*.pxd core/*.h adapters/*.c)

.PHONY: run test install check lock clean

run: install
	$(BIN)/cosim run eixample

test: install
	$(BIN)/python -m pytest $(PYTEST_ARGS)

install: $(STAMP)

$(STAMP): requirements.lock pyproject.toml setup.py $(SOURCES)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "cosim needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

check: install
	PATH="$(CURDIR)/$(BIN):$$PATH" nox --no-venv -s lint types

lock:
	uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-header --generate-hashes --extra dev --extra figures --extra fmu --extra grids --extra study \
		pyproject.toml --output-file requirements.lock

clean:
	rm -rf $(VENV) build dist *.egg-info core/*.c core/*.so
