# Skyharvest. A bare `make` explains the targets. Needs nothing but Python >= 3.11 and make; no compiler.

PYTHON ?= python3
CONFIG ?= config/config.yaml
CORES ?= all
ARGS ?=

VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
# uv has a virtual environment of its own: it installs exactly what a lock file lists, and that is not itself.
UV := $(VENV)/uv/bin/uv
# A development environment can do all that a runtime one can, and is not reduced to one.
STAMP = $(VENV)/$(if $(wildcard $(VENV)/bin/pytest),dev,$(1)).stamp
RUNTIME := $(call STAMP,$(if $(wildcard $(VENV)/reduction.stamp),reduction,runtime))
# hats-import and Snakemake want different versions of one library: it has an environment of its own, too.
HATS := $(VENV)/hats
# What the reduction of raw data needs beside.
REDUCTION := $(call STAMP,reduction)
SYNC := $(UV) pip sync --quiet --require-hashes --python $(VENV)/bin/python
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
TESTS := $(wildcard tests/unit tests/workflow tests/faults tests/peers tests/browser)

export PATH := $(BIN):$(PATH)

define HELP
Skyharvest: what public sky surveys hold at your list of positions.

  make demo                  run the whole workflow on a small simulated release; no network, under a minute
  make demo-reduction        reduce simulated raw data: a night of DESI's to redshifts, a month of HETDEX's to calibrated
                             fibers; no network, 9 minutes (demo-desi-reduction, demo-hetdex-reduction: one of them)
  make check CONFIG=my.yaml  ask the archives, in a minute, what would make that run fail; harvests nothing
  make run CONFIG=my.yaml    run your own configuration (default: config/config.yaml, DESI DR1 x Chandra)
  make status CONFIG=my.yaml show how that run stands, or stood when it broke off (default: what ran last)
  make top CONFIG=my.yaml    show a reduction's tasks by step and state, every 10 s (ARGS="--once --by-night")
  make test                  lint, check types, run the tests
  make test-slurm            test the SLURM profile on a cluster of two nodes, which it starts on this machine (as root)
  make lint                  ruff, snakefmt, mypy, import-linter, snakemake --lint
  make bench                 run every measurement of bench/
  make docs                  build the documentation into site/
  make hats                  install what `snakemake export_hats` needs, into .venv/hats (750 MB)
  make lock                  resolve pyproject.toml again into the lock files (ARGS=--upgrade: newest versions)
  make clean                 remove the demo; never your data or results

Variables: CORES=4 (default: all), PYTHON=python3.12 (for a new .venv), and ARGS, which run passes on to snakemake
(ARGS="-n -p" shows all commands and runs none) and test to pytest (ARGS="-k config").
The first of these commands makes .venv from the lock files. To have it made anew, remove it: rm -rf .venv
endef

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo demo-reduction demo-desi-reduction demo-hetdex-reduction check run status top test test-slurm lint bench docs hats lock clean

help:
	$(info $(HELP))
	@:

demo: $(RUNTIME)
	snakemake --quiet rules host --cores $(CORES) || { python scripts/status.py --configfile config/demo.yaml; exit 1; }
	python scripts/show_summary.py results/demo

demo-reduction: demo-desi-reduction demo-hetdex-reduction

# One arc of the night is cut short: its tasks fail, and all else is done.
demo-desi-reduction: $(REDUCTION)
	snakemake --quiet rules host --cores $(CORES) --configfile config/demo-reduction.yaml || true
	python scripts/demo/check_desi_night.py --root resources/demo/desi_night \
		--production results/demo-reduction/reduction/desi/spectro/redux/demonight

demo-hetdex-reduction: $(REDUCTION)
	snakemake --quiet rules host --cores $(CORES) --configfile config/demo-hetdex-reduction.yaml
	python scripts/demo/check_hetdex_month.py --root resources/demo/hetdex_month \
		--reduction results/demo-hetdex-reduction/reduction/hetdex

check: $(RUNTIME)
	@python scripts/run/check.py --configfile $(CONFIG) $(ARGS)

run: $(RUNTIME)
	snakemake --configfile $(CONFIG) --cores $(CORES) $(ARGS)

# Changes nothing, least of all the environment of a run that is under way.
status:
	@test -x $(VENV)/bin/python || { echo "Nothing has been run here yet, there is no $(VENV): make demo" >&2; exit 1; }
	@python scripts/status.py $(if $(filter file,$(origin CONFIG)),,--configfile $(CONFIG)) $(ARGS)

top:
	@test -x $(VENV)/bin/python || { echo "Nothing has been run here yet, there is no $(VENV): make demo" >&2; exit 1; }
	@python scripts/production.py top $(if $(filter file,$(origin CONFIG)),,--configfile $(CONFIG)) $(ARGS)

# Workers of pytest share the cores: threads of their linear algebra would wait for one another.
test: export OPENBLAS_NUM_THREADS = 1
test: lint hats
	pytest -n logical --maxprocesses 4 --dist loadgroup $(ARGS) $(TESTS)

test-slurm: $(VENV)/dev.stamp
	pytest $(ARGS) tests/slurm

lint: $(VENV)/dev.stamp
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile rules tests/toy_survey
	mypy
	PYTHONPATH=scripts lint-imports
	snakemake --lint
	snakemake --lint --configfile config/demo-reduction.yaml
	snakemake --lint --configfile config/demo-hetdex-reduction.yaml

bench: $(VENV)/dev.stamp
	set -e; for program in bench/*.py; do \
		test -e "$$program" || continue; echo "== $$program"; python "$$program"; done
	cd bench && python -m lib.report

docs: $(VENV)/dev.stamp
	sphinx-build --quiet --fail-on-warning --keep-going docs site

hats: $(HATS)/stamp

lock: $(UV)
	$(COMPILE) $(ARGS) --extra workflow --output-file requirements.lock pyproject.toml
	$(COMPILE) $(ARGS) --extra workflow --extra reduction --output-file requirements-reduction.lock \
		--constraint requirements.lock pyproject.toml
	$(COMPILE) $(ARGS) --extra workflow --extra reduction --output-file requirements-dev.lock \
		--constraint requirements-reduction.lock \
		--group test --group lint --group docs --group peers pyproject.toml
	$(COMPILE) $(ARGS) --no-annotate --output-file requirements-hats.lock --group pyproject.toml:hats
	echo uv | $(COMPILE) $(ARGS) --no-annotate --output-file requirements-uv.lock -

clean:
	rm -rf results/demo results/demo-reduction results/demo-hetdex-reduction resources/demo resources/desi/demo

$(VENV)/runtime.stamp: requirements.lock $(UV)
	$(SYNC) requirements.lock
	touch $@

$(VENV)/reduction.stamp: requirements-reduction.lock $(UV)
	$(SYNC) requirements-reduction.lock
	touch $@

$(VENV)/dev.stamp: requirements-dev.lock $(UV)
	$(SYNC) requirements-dev.lock
	touch $@

$(HATS)/stamp: requirements-hats.lock $(UV)
	$(UV) venv --quiet --allow-existing --python $(VENV)/bin/python $(HATS)
	$(UV) pip sync --quiet --require-hashes --python $(HATS)/bin/python requirements-hats.lock
	touch $@

$(UV): requirements-uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Skyharvest needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
			"Name another one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv --without-pip $(VENV)
	@$(PYTHON) -m venv $(VENV)/uv || { \
		echo "$(PYTHON) cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(VENV)/uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.lock
	touch $@
