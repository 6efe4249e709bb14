# Two commands do everything: `make demo` runs the main job, `make test` passes the tests.
# Each makes its own virtual environment in .venv from hash-pinned requirements.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
MARKS  ?= not bench and not nightly
JOBS   ?= $(shell expr 2 '*' $$(nproc)) # tests at a time: many of them wait more than they compute
LOCK    = $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
          --generate-hashes --no-header --no-annotate --no-emit-index-url

# As root on Debian, what is missing may be installed (python3-venv, mmdebstrap), and is named.
export MXLAB_INSTALL := 1
# Nodes and commands are started by the thousand: what was compiled once is kept, whatever the caller's way.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint unit exercises bench wheel-test bare nightly library versions oldest pictures site lock clean help

help: ## Say what the targets are
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

demo: $(STAMP) ## Run a primary outage end to end and judge it
	$(BIN)/mxlab run primary-outage

test: lint unit ## Everything that CI checks

lint: $(STAMP) ## Formatting, lint, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(STAMP) ## All tests; those that need Docker are skipped, with the reason, where containers cannot be had
	$(BIN)/pytest -q -m '$(MARKS)' -n $(JOBS) --dist worksteal

exercises: $(STAMP) ## Prove every exercise that ships, in simulated labs of ten seats (BACKEND=docker: in a real one)
	$(BIN)/mxlab exercise prove --all --backend $(or $(BACKEND),sim)

wheel-test: $(STAMP) ## Build the wheel, install it into a clean environment, run a scenario from /
	sh tests/wheel.sh $(BIN)

bare: ## The README's two commands on a minimal Debian 12, with this machine's engine and without
	sh tests/bare.sh

nightly: ## What takes long: the whole suite on a bare Debian, with an engine and without
	bash .ci/nightly

library: $(STAMP) ## Every scenario with each product in each part, against docs/library.md (an hour or so)
	$(BIN)/pytest -q -n 2 --dist worksteal tests/e2e/test_library.py

versions: $(STAMP) ## The simulation's events on another version of Python (OTHER=..., else Debian's next)
	sh tests/versions.sh $(BIN)

oldest: $(STAMP) ## The tests of SMTP, DNS and the backends on the oldest releases that are allowed (TESTS=tests for all)
	sh tests/oldest.sh $(BIN) $(TESTS)

bench: $(STAMP) ## Measure everything, as ratios, and write docs/benchmarks.md
	cp tests/bench/preface.md docs/benchmarks.md
	MXLAB_BENCH_OUT=$(CURDIR)/docs/benchmarks.md $(BIN)/pytest -q -s -m bench tests/bench

pictures: $(STAMP) ## Make the README's pictures anew: the lab, and the tour as a recording
	$(BIN)/python -m tests.support.recording docs/pictures

site: $(STAMP) ## Make the documentation as pages in site/, offline
	$(BIN)/python -m tests.support.site site

lock: $(STAMP) ## Renew the hash-pinned requirements (of the tests, of the oldest releases, of the image)
	$(BIN)/pip install --quiet uv
	$(LOCK) --group dev pyproject.toml --output-file tests/requirements.txt
	$(LOCK) --group page --no-deps --output-file tests/page.txt
	$(LOCK) --resolution lowest-direct pyproject.toml --output-file tests/oldest.txt
	$(LOCK) --group image --constraint tests/requirements.txt --output-file compose/requirements.txt
	$(LOCK) --extra classroom --constraint tests/requirements.txt pyproject.toml --output-file compose/seat/requirements.txt
	$(LOCK) --group xterm --no-deps --output-file compose/seat/xterm.txt

clean: ## Remove what make made
	rm -rf $(VENV) dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(STAMP): pyproject.toml tests/requirements.txt tests/page.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "mxlab needs Python 3.11 or later; try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
	    echo "installing python3-venv, which Debian keeps apart from Python" && \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null; } || \
	  { echo "this Python cannot make virtual environments; on Debian: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes --requirement tests/requirements.txt
	$(BIN)/pip install --quiet --require-hashes --no-deps --requirement tests/page.txt
	$(BIN)/pip install --quiet --no-build-isolation --no-deps --editable .
	@touch $@
