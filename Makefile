SHELL := bash
.SHELLFLAGS := -eo pipefail -c
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run quick report test test-long test-quick test-launch mutants lint setup browser lock launch-tools release-notes

run: setup ## the whole story on MNIST: search, training, evaluation, report; four to seven minutes on 2 cores
	$(BIN)/python -m jobs.pipeline --config mnist

quick: setup ## the same with smaller budgets
	$(BIN)/python -m jobs.pipeline --config mnist --quick

report: setup ## write the report of `make run` again; nothing is trained or predicted
	$(BIN)/python -m jobs.evaluate --output results/mnist/report

LANES = -n 2 --no-loadscope-reorder --dist loadscope

test: setup browser ## every kind of behaviour, met on the real thing: ten to fifteen minutes on 2 cores
	$(BIN)/python -m pytest --tier test $(LANES)

test-long: setup ## machines that die, repeated kills, minutes of patience, whole pipelines, most of the fuzzing
	$(BIN)/python -m pytest --tier long $(LANES)

test-quick: setup ## the tests that need neither TensorFlow nor Ray
	$(BIN)/python -m pytest --tier quick $(LANES)

test-launch: setup launch-tools ## hosts over SSH, a simulated cloud, the image; as root, Debian
	NN_TRAIN_ALL_TOOLS=1 $(BIN)/python -m pytest --tier launch

MUTANTS = "nn_train.evaluation*" "nn_train.storage.[!l]*" "nn_train.engine.order*" "nn_train.engine.addresses*"

mutants: setup ## small changes of the code that no test notices; by hand: forty minutes
	$(BIN)/python -m pip install --quiet mutmut==3.8.1
	$(BIN)/python -m mutmut run --max-children 2 $(MUTANTS)
	$(BIN)/python -m mutmut results

lint: setup ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Of what pip says: the packages of a megabyte and more, and that it has them all. Errors go another way.
TOLD = /^ +Downloading .* MB\)/ {sub(/-[^-]*-[^-]*-[^-]*$$/, "", $$2); print "  " $$2, $$3, $$4; fflush()} \
	/^Installing collected/ {print "  unpacking everything: half a minute"; fflush()}

setup: .venv/installed

.venv/installed: requirements.lock pyproject.toml
	@echo "installing into .venv what requirements.lock names: one to five minutes, once"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --progress-bar off --require-hashes -r requirements.lock | awk '$(TOLD)'
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --config-settings editable_mode=compat -e .
	@touch $@

browser: ## the tests look at the report in a headless Chromium; without it these tests are skipped, and the run says so
	@command -v chromium >/dev/null || if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing chromium"; apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
		else echo "no chromium, and no root on a Debian to install it: the tests of the page are left out"; fi

COMPILE = $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.10 --generate-hashes --no-header \
	--no-annotate --no-emit-index-url --no-emit-find-links --quiet

launch-tools:
	@echo "installing what hosts and images are made with"
	@apt-get update -qq && apt-get install -y -qq --no-install-recommends openssh-server openssh-client rsync iproute2 \
		nftables procps buildah podman runc netavark aardvark-dns mmdebstrap uidmap >/dev/null

lock: setup ## write the three requirements*.lock anew from pyproject.toml; an image's has only what runs
	$(BIN)/python -m pip install --quiet uv
	$(COMPILE) --extra dev --output-file requirements.lock
	$(COMPILE) --constraints requirements.lock --output-file requirements-cpu.lock
	$(COMPILE) --constraints requirements.lock --extra gpu --output-file requirements-gpu.lock

release-notes: ## the newest section of the changelog
	@awk '/^## / {sections++} sections == 1' CHANGELOG.md
