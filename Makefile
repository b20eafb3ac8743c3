# SPDX-License-Identifier: Apache-2.0
# `make` alone lists the targets. Each makes its own set-up; a second call costs a fraction of a second.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup tools run test lint types check format bench openapi lock clean

# What lies on this path would hide what the locks installed.
unexport PYTHONPATH PYTHONHOME

# For the command line only, as in `make test ARGS='-k consent'`: not taken from the environment.
ARGS =
UPGRADE =

help: ## list the targets
	@sed -n 's/^\([a-z]*\):[^#]*## /\1	/p' Makefile | while IFS='	' read -r name what; do printf '  make %-9s %s\n' "$$name" "$$what"; done

setup: ## make .venv from the hashed locks, and find a PostgreSQL server
	@scripts/setup.sh

tools: setup ## what only the tests need: a browser, an SFTP server, SoftHSM, Go, clients from npm
	@scripts/tools.sh

run: setup ## make and fill ./var where there is none, serve it, print a walk to copy
	@.venv/bin/bureau up

test: tools ## the whole suite, on SQLite and on a PostgreSQL server of its own (ARGS='-k consent')
	.venv/bin/python -m pytest $(ARGS)

lint: setup ## style, format, and the line of packages
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/lint-imports

types: setup ## mypy, strict, over the seven packages
	.venv/bin/mypy

check: lint types test ## all that a change must pass

format: setup ## put the code in its format
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

bench: tools ## measure side by side, print the table, write bench/latest.json (ARGS=…)
	@.venv/bin/python -m pip install -qq --no-deps --require-hashes --requirement requirements/bench.txt
	.venv/bin/python -m bench $(ARGS)

openapi: setup ## write openapi/bureau.yaml from the code
	.venv/bin/bureau openapi >openapi/bureau.yaml.new
	mv openapi/bureau.yaml.new openapi/bureau.yaml

lock: setup ## write requirements/*.txt from pyproject.toml (UPGRADE=1: with the newest versions)
	.venv/bin/uv pip compile $(lock_options) -o requirements/runtime.txt pyproject.toml
	.venv/bin/uv pip compile $(lock_options) --extra dev -c requirements/runtime.txt -o requirements/dev.txt pyproject.toml
	.venv/bin/uv pip compile $(lock_options) --extra bench -c requirements/dev.txt -o requirements/bench.txt pyproject.toml

# For every Python and platform that we support; hashes, and no address of any host.
lock_options = --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links $(if $(UPGRADE),--upgrade)

clean: ## remove .venv and caches; never ./var
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .schemathesis .import_linter_cache .coverage htmlcov build dist
	find . -name __pycache__ -type d -not -path './var/*' -prune -exec rm -rf {} +
