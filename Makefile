# Each target creates .venv and installs by itself; nothing needs to be set up by hand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

export FLWR_TELEMETRY_ENABLED := 0
export FLWR_DISABLE_UPDATE_CHECK := 1
export RAY_USAGE_STATS_ENABLED := 0
# Test workers share the cores; threads inside each would only wait for one another.
test test-all: export OMP_NUM_THREADS := 1

.PHONY: install demo test test-all lint format docs site wheel dist images sbom clean

install: $(STAMP)

$(STAMP): pyproject.toml setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "fedgen needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,docs]"
	@touch $@

demo: install
	$(BIN)/fedgen simulate demo

test: install
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

test-all: install .venv-mlflow/.installed
	$(BIN)/python -m pytest -n 2 --dist worksteal --hypothesis-profile=thorough

# MLflow's server, with which a test speaks: its many packages stay out of the environment that is tested.
.venv-mlflow/.installed: constraints.txt
	test -x .venv-mlflow/bin/python || $(PYTHON) -m venv .venv-mlflow
	.venv-mlflow/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt mlflow
	@touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_floors.py

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: install
	$(BIN)/python -m fedgen.study.study_manual > docs/reference/study-file.md
	$(BIN)/python -m fedgen_client.site_manual > docs/reference/site-file.md
	$(BIN)/python tools/json_reference.py > docs/reference/json.md

site: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	$(BIN)/python tools/site/check_site.py build/site

wheel: install
	$(BIN)/python tools/packages/build_dist.py --out dist

dist: install
	$(BIN)/python tools/packages/build_dist.py --out dist --twice
	$(BIN)/python tools/packages/try_wheel.py dist

images: dist
	$(BIN)/python tools/packages/walk_dockerfile.py dist

sbom: install .venv-sbom/.installed
	$(BIN)/python tools/packages/sbom.py --tools .venv-sbom/bin/python --out dist

# The bill's tools bring a validator of JSON whose grammar each of Ray's processes would compile at its import.
.venv-sbom/.installed: Makefile
	test -x .venv-sbom/bin/python || $(PYTHON) -m venv .venv-sbom
	.venv-sbom/bin/python -m pip install --quiet --disable-pip-version-check "cyclonedx-bom==7.5.0" "pip-licenses==5.5.5"
	@touch $@

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
