# Two commands: `make quickstart` and `make test`. Each makes .venv and installs what it needs.

SHELL := /bin/bash
VENV ?= .venv
# The first Python that TensorFlow has wheels for.
PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.13 python; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& echo $$python && break; done)

RUN := runs/quickstart_comparison

# The releases that the tests ran with: a new one of another package breaks neither command.
CONSTRAINTS ?= lmn_tf/constraints-newest.txt

.PHONY: help quickstart test docs constraints clean

help:
	@echo "make quickstart   install, generate the synthetic market, train LMN beside its baselines, export"
	@echo "make test         install with test extras, run every test"
	@echo "make docs         build the documentation into build/site; a broken link is an error"
	@echo "make constraints  write the oldest and the newest versions that setup.cfg allows"
	@echo "make clean        remove .venv and what the quick start wrote"

quickstart: $(VENV)/.installed
	@rm -rf $(RUN) runs/quickstart_export
	@$(VENV)/bin/lmn-tf compare pipelines/quickstart_comparison.yaml --in-process
	@$(VENV)/bin/lmn-tf export $(RUN)/lmn-seed1 runs/quickstart_export
	@echo
	@$(VENV)/bin/python -c \
		"from lmn_tf.data.synthetic import ceiling_text; print(ceiling_text('data/quickstart'))"
	@echo
	@echo "What to try next:"
	@echo "  $(VENV)/bin/tensorboard --logdir runs"
	@echo "  $(VENV)/bin/lmn-tf compare pipelines/quickstart_comparison.yaml --seeds 3"
	@echo "  $(VENV)/bin/lmn-tf train pipelines/quickstart.yaml --set model.num_keys=64"
	@echo "  $(VENV)/bin/lmn-tf check pipelines/quickstart.yaml"

test: $(VENV)/.installed-test
	$(VENV)/bin/pytest $(TESTS)

# The variable silences a note of the theme about the next version of MkDocs, which is not installed.
docs: $(VENV)/.installed-test
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict

constraints: $(VENV)/bin/python
	$(VENV)/bin/python .ci/constraints.py

clean:
	rm -rf $(VENV) data/quickstart $(RUN) runs/quickstart_export

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 must be on the PATH." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: setup.cfg pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet -c $(CONSTRAINTS) -e .
	@touch $@

$(VENV)/.installed-test: setup.cfg pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet -c $(CONSTRAINTS) -e ".[test,notebooks,docs,serve]"
	@touch $@ $(VENV)/.installed
