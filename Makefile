PYTHON ?= python3
BIN := .venv/bin

.PHONY: run quick report test test-quick lint setup browser lock

run: setup ## the whole story on MNIST: search, training, evaluation, report; four minutes on 2 cores
	$(BIN)/python -m jobs.pipeline --config jobs/configs/mnist.yaml

quick: setup ## the same with smaller budgets
	$(BIN)/python -m jobs.pipeline --config jobs/configs/mnist.yaml --quick

report: setup ## write the report of `make run` again; nothing is trained or predicted
	$(BIN)/python -m jobs.evaluate --output results/mnist/report

test: setup browser ## all tests
	$(BIN)/python -m pytest

test-quick: setup ## the tests that need neither TensorFlow nor Ray
	$(BIN)/python -m pytest -m "not (tf or dist or ray or e2e or browser)"

lint: setup ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

setup: .venv/installed

.venv/installed: requirements.lock pyproject.toml
	@echo "installing into .venv what requirements.lock names: one to five minutes, once"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

browser: ## the tests look at the report in a headless Chromium
	@command -v chromium >/dev/null || { echo "installing chromium"; \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; }

lock: setup ## write requirements.lock anew from pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.10 --generate-hashes \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet -o requirements.lock
