# SPDX-License-Identifier: Apache-2.0
# `make` alone lists the targets. A fresh machine needs Python 3.11 with venv, nothing else.

PYTHON ?= $(shell command -v python3.11 || echo python3)
VENV ?= .venv
# For pip, as in: make install PIP_FLAGS="--extra-index-url <the CPU wheels of PyTorch>"
PIP_FLAGS ?=
# Test processes; each runs torch on one thread, so that they share the cores instead of fighting for them.
JOBS ?= 2
PYTEST_FLAGS ?=

BIN := $(VENV)/bin
PY := $(BIN)/python
PIN := .ci/constraints.txt
STAMP := $(VENV)/.installed
HEAVY := slow or validators or browser or gpu
LABEL := .venv-label
LABEL_PIN := .ci/label-requirements.txt
PYTEST = OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) --dist loadscope $(PYTEST_FLAGS)

.DEFAULT_GOAL := help
.PHONY: help check-python install demo test test-all label test-label lint package bench simulator study gpu clean
.DELETE_ON_ERROR:

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

check-python:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found; the pinned packages need Python 3.11." \
		"Install it, or name it: make install PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "$(PYTHON) is" \
		"$$($(PYTHON) -V); the pinned packages need Python 3.11: make install PYTHON=/path/to/python3.11" >&2; exit 2; }

install: $(STAMP) ## create .venv and install everything, pinned

# torch first and alone: any other package that asks for it would bring the newest CUDA build.
$(STAMP): pyproject.toml $(PIN) | check-python
	$(PY) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet $(PIP_FLAGS) -c $(PIN) setuptools torch
	$(PY) -m pip install --quiet $(PIP_FLAGS) -c $(PIN) --no-build-isolation -e ".[dev]"
	@touch $@

demo: install ## synthesise PDFS from a simulated DICOM study: DICOM, NIfTI and a report under demo/
	rm -rf demo/study demo/PDFS
	$(PY) -m scripts simulate -o demo/study --studies 1 --dicom
	$(PY) -m scripts synthesize demo/study --to PDFS -o demo/PDFS --accept-simulated
	@echo
	@echo "The simulated study:      demo/study"
	@echo "Its synthetic PDFS:       demo/PDFS  (DICOM, NIfTI)"
	@echo "Look at it in a browser:  demo/PDFS/report.html"

test: install ## run the tests: at most 10 minutes on two idle cores, nothing from apt
	$(PYTEST) -m "not ($(HEAVY) or label)"

test-all: install ## run the heavier tests: DICOM validators, browser, training runs; at most 40 minutes
	$(PYTEST) -m "($(HEAVY)) and not label"

label: $(LABEL)/.installed ## create .venv-label and install MONAI Label, pinned; some minutes and 4 GB

# The constraints hold for what packages are built with too, or the newest CUDA build of torch comes for that alone.
$(LABEL)/.installed: $(LABEL_PIN) .ci/label_torchvision.py | check-python
	$(LABEL)/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(LABEL)
	PIP_CONSTRAINT=$(LABEL_PIN) PIP_BUILD_CONSTRAINT=$(LABEL_PIN) \
		$(LABEL)/bin/python -m pip install --quiet $(PIP_FLAGS) -r $(LABEL_PIN)
	site=$$($(LABEL)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))") && \
		cp .ci/label_torchvision.py "$$site" && echo import label_torchvision > "$$site/label_torchvision.pth"
	@touch $@

test-label: install label ## serve the package in MONAI Label and ask it; Orthanc too where Debian's is installed
	$(PYTEST) -m label

lint: install ## style, types, and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

package: install ## write the bundle as an installable zip, and its folder, to dist/; prints its sha256
	$(PY) -m scripts package -o dist

bench: install ## time synthesis, start-up and a training step; writes outputs/bench.json
	$(PY) tests/bench.py

simulator: install ## draw the pictures and the table of bundle/docs/SIMULATOR.md; some minutes
	$(PY) -m scripts.simulation.atlas -o bundle/docs/simulator --page bundle/docs/SIMULATOR.md

study: install ## train and measure the strategies beside the baselines, and fill the pages: some four hours, resumable
	$(PY) -m scripts.study run cpu -o outputs/study
	$(PY) -m scripts.study time cpu -o outputs/study
	$(PY) -m scripts.study lesions -o outputs/lesions
	$(PY) -m scripts.study publish cpu -o outputs/study --looked outputs/lesions --docs bundle/docs

gpu: ## on a machine with a CUDA GPU: train the shipped weights, GPU tests and benchmarks; resumable, BUDGET=seconds
	bash .ci/gpu

clean: ## remove products and caches; keeps .venv and the training runs in outputs/
	rm -rf demo dist build .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache *.egg-info
	find bundle scripts tests -name __pycache__ -type d -prune -exec rm -rf {} +
