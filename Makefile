# `make demo` and `make test` set everything up by themselves: they need Python 3.11 and nothing else.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := examples/titanic/spec.yaml
WORKERS ?= 2

# One thread a library in tests: two workers share the processors, and results do not depend on their number.
PYTEST := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest
PARALLEL := -n $(WORKERS) --dist loadfile

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-all lint check regen regen-check bench bench-quality bench-serving clean

help:
	@echo "make demo       train on examples/titanic, print metrics and the paths of bundle and report"
	@echo "make test       the tests, without the slow ones"
	@echo "make test-all   every test"
	@echo "make check      what CI runs: style, types, layers, generated files, tests"
	@echo "make regen      rewrite the generated files: schemas/, docs/errors.md, docs/reference.md, …"
	@echo "make bench      measure speed and print tables"
	@echo "make bench-quality TABLES=FOLDER   compare with AutoML tools; resumable, takes hours"
	@echo "make bench-serving   compare dml serve with other model servers, and put it under load; needs wrk"
	@echo "make clean      remove caches and workspaces; the environment stays"

setup: $(READY)

# torch goes first and pinned: what comes later then keeps this build. The list of development tools is
# read from pyproject.toml, because pip knows dependency groups only from version 25.1 on.
$(READY): pyproject.toml setup.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['dependency-groups']['dev'], sep='\n')" > $(VENV)/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all]' -r $(VENV)/dev.txt
	$(BIN)/python setup.py --quiet build_ext --inplace  # again, with spaCy at hand: pip builds without
	$(BIN)/python -m compileall -q declarative_ml  # what pip does for the packages it copies
	touch $@

demo: $(READY)
	$(BIN)/dml run $(DEMO)

test: $(READY)
	$(PYTEST) $(PARALLEL) -m "not slow"

# Converters that name requirements they do not need, or that cannot be installed any more.
CONVERTERS := onnx-tf==1.10.0 onnx2tf==1.28.8 tf-keras==2.21.0 onnx-graphsurgeon==0.6.1 sng4onnx==2.0.1 psutil \
	executorch==1.5.1 torchao==0.18.0 tabulate==0.10.0 ruamel.yaml==0.19.1

test-all: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(CONVERTERS)
	DML_TEST_ENVIRONMENTS=$(abspath $(VENV))/environments $(PYTEST) $(PARALLEL)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: $(READY)
	$(MAKE) --no-print-directory lint
	$(MAKE) --no-print-directory regen-check
	$(MAKE) --no-print-directory test

# Generated files, each with the command that writes it. OUT is where they go.
OUT ?= .
GENERATED := schemas/spec.v1.json schemas/plan.v1.json schemas/bundle.v1.json docs/errors.md docs/reference.md docs/commands.md docs/python.md

regen: $(READY)
	$(BIN)/python -m declarative_ml.spec.schema $(OUT)/schemas
	$(BIN)/python -m declarative_ml.spec.codes $(OUT)/docs/errors.md
	$(BIN)/python -m declarative_ml.spec.reference $(OUT)/docs/reference.md
	$(BIN)/python -m declarative_ml.cli.synopsis $(OUT)/docs/commands.md
	$(BIN)/python -m declarative_ml.api.reference $(OUT)/docs/python.md

regen-check: $(READY)
	rm -rf build/regen && mkdir -p build/regen/schemas build/regen/docs
	cp docs/commands.md docs/python.md build/regen/docs
	$(MAKE) --no-print-directory regen OUT=build/regen
	@for file in $(GENERATED); do \
	  diff -u $$file build/regen/$$file || { echo "$$file is out of date: run 'make regen'"; exit 1; }; \
	done

# TABLES: a folder of folders with train.csv and test.csv; with it, quality is measured as well.
bench: $(READY)
	$(BIN)/python benchmarks/training_throughput.py
	$(BIN)/python benchmarks/end_to_end.py examples/weather/data/2014.csv weather examples/weather/data/2015.csv --runs 1
	$(if $(TABLES),$(BIN)/python benchmarks/quality.py $(TABLES))

# Beside AutoML tools, each in an environment of its own below the user's cache. A killed run goes on with the
# same command. PEERS=fresh first forgets the peers' results; ONLY, ENTRIES and SPLITS do a part; PAGE keeps
# the report, such as PAGE=docs/quality-benchmark.md.
bench-quality: $(READY)
	$(if $(TABLES),,$(error TABLES must name a folder of folders with train.csv and test.csv))
	$(BIN)/python -m benchmarks.automl.run $(TABLES) $(if $(PEERS),--peers $(PEERS)) $(if $(ONLY),--only $(ONLY)) \
	  $(if $(ENTRIES),--entries $(ENTRIES)) $(if $(SPLITS),--splits $(SPLITS)) $(if $(PAGE),--page $(PAGE))

# Needs wrk (apt-get install wrk). PEERS=fastapi,mlserver does a part; PAGE as above.
bench-serving: $(READY)
	$(BIN)/python -m benchmarks.serving.run --fresh $(if $(PEERS),--peers $(PEERS)) $(if $(PAGE),--page $(PAGE))
	$(BIN)/python -m benchmarks.serving_load

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name $(VENV) -prune -o \( -name __pycache__ -o -name .dml \) -type d -exec rm -rf {} +
