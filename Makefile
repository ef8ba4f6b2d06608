# Every command of the project. A command first brings .venv/ up to what it needs; stamp files
# in there say what that is already, so a second run starts at once.

.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
include proto/proto.mk

# The first Python on PATH that is new enough.
SYSTEM_PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; break; }; done)
PIP = $(BIN)/python -m pip --disable-pip-version-check
UV ?= $(BIN)/uv

# The bundled models; the first is served, the other is a small one to look into.
MODELS := en-it en-it-lstm
ARTIFACTS ?= export/artifacts/en-it
ARTIFACT ?= export/artifacts/en-it
LISTEN ?= 127.0.0.1:50051
METRICS_LISTEN ?= 127.0.0.1:9464
HTTP_LISTEN ?= 127.0.0.1:8080
# Of each measurement of `make reliability`.
SECONDS ?= 10
# Further arguments for the program that a target runs.
ARGS ?=

.PHONY: help serve setup unit test cuda-test gpu-check roofline lint format evaluate architectures bench \
	dashboard dashboard-preview page-preview rules fuzz gateway-cost overload reliability soak \
	require-data export lock clean

help:  ## Show this.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' Makefile

# The gateway is the server's child: a Ctrl-C reaches both, and it stops when its parent is gone, however that ended.
serve: $(VENV)/.gateway  ## Translate English <-> Italian on LISTEN (127.0.0.1:50051), and over HTTP on HTTP_LISTEN (127.0.0.1:8080).
	@echo 'Once it says "ready", try in another shell:' \
		'$(BIN)/traghetto-translate --server $(LISTEN) --source en --target it "The cat is on the table."' \
		$(if $(HTTP_LISTEN),'or open http://$(HTTP_LISTEN)')
	$(if $(HTTP_LISTEN),$(BIN)/traghetto-gateway --server $(LISTEN) --listen $(HTTP_LISTEN) --stop-with $$$$ & )exec \
		$(BIN)/traghetto-serve $(ARTIFACTS) --listen $(LISTEN) --metrics-listen $(METRICS_LISTEN) $(ARGS)

setup: $(VENV)/.dev  ## Set up .venv with all that training and development need, PyTorch too.

unit: $(VENV)/.dev  ## Run the unit tests: they need no other program, and take a minute or so.
	$(BIN)/pytest tests/unit $(ARGS)

test: $(VENV)/.dev $(VENV)/.deploy  ## Run all tests, a file at a time on each processor.
	$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

cuda-test: build/cuda/.ready  ## Test the CUDA path without a GPU: ONNX Runtime's library on a stand-in for a card (needs gcc).
	$(BIN)/pytest -m cuda tests/cuda $(ARGS)

gpu-check: build/gpu/.ready  ## On a machine with a GPU: an fp16 ARTIFACT there against the same on CPU, and its times.
	build/gpu/bin/python -m tests.cuda.gpu_check $(ARTIFACT) $(ARGS)

roofline: | $(BIN)/python  ## Print the table of docs/gpu.md: what a step on a GPU should take.
	$(BIN)/python -m tests.cuda.roofline

lint: $(VENV)/.dev  ## Check format, style, types, floors and the gRPC contract.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	@$(MAKE) --no-print-directory proto-lint proto-check

format: $(VENV)/.dev  ## Format the code and mend what can be mended by rule.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

evaluate: require-data $(VENV)/.evaluate  ## Score a bundled model (ARTIFACT) on the test sets in DATA=DIR.
	$(BIN)/traghetto-evaluate $(ARTIFACT) --data $(DATA) --robustness tests/data/robustness.tsv $(ARGS)

architectures: require-data $(VENV)/.dev  ## Compare all architectures on DATA=DIR: docs/architectures.md.
	OMP_NUM_THREADS=1 MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=8589934592 \
		MALLOC_TOP_PAD_=268435456 $(BIN)/python -m tests.architectures.study --data $(DATA) $(ARGS)

bench: $(VENV)/.dev  ## Measure speed beside the peers: build/bench.json (half an hour, an idle machine; ARGS=--help).
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.load.bench $(if $(DATA),--data $(DATA)) $(ARGS)

dashboard: $(VENV)/.dev  ## Write the Grafana dashboard again.
	$(BIN)/python -m deploy.grafana.build

rules: $(VENV)/.dev  ## Write the alert rules for the Prometheus operator again.
	$(BIN)/python -m deploy.prometheus.build

dashboard-preview: $(VENV)/.dev  ## Draw its panels from servers under load (needs Prometheus): our rendering.
	$(BIN)/python -m tests.deploy.preview $(ARGS)

page-preview: $(VENV)/.dev  ## Take the pictures of the page in docs/ (needs Chromium).
	$(BIN)/python -m tests.page_preview

fuzz: $(VENV)/.dev  ## Look for input that breaks a reader, for half an hour or so.
	$(BIN)/pytest tests/fuzz --hypothesis-profile=fuzz --timeout=0 $(ARGS)

gateway-cost: $(VENV)/.dev  ## Measure what the gateway adds to a request, and takes from the rate.
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.load.gateway_cost $(ARTIFACT) $(ARGS)

overload: $(VENV)/.dev  ## Measure a server under more calls than it can bear: docs/reliability.md.
	$(BIN)/python -m tests.load.overload $(ARGS)

reliability: $(VENV)/.dev  ## Measure all of docs/reliability.md as a table, SECONDS (10) each: some 8 minutes.
	$(BIN)/python -m tests.load.reliability --seconds $(SECONDS) $(ARGS)

soak: $(VENV)/.dev  ## Ten minutes of random load: does memory grow?
	$(BIN)/python -m tests.load.soak $(ARGS)

export: $(MODELS:%=export-%)  ## Export the bundled models again, with their proofs.

export-%: $(VENV)/.dev
	$(BIN)/traghetto-export model/pretrained/$* --output export/artifacts/$* --precision int8 \
		--sentences tests/data/en-it.tsv $(ARGS)

# Each lock takes the versions of the one before it, so that all of them fit into one .venv; deploy-tools.txt fits none.
LOCK = $(UV) pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
	--generate-hashes --custom-compile-command 'make lock' $(ARGS)
COMPILE = $(LOCK) deploy/package/pyproject.toml

lock: | $(UV)  ## Lock the dependencies again; ARGS=--upgrade takes new versions.
	$(COMPILE) --extra serve --extra trace -o requirements/serve.txt
	$(COMPILE) --extra serve-cuda --extra trace -c requirements/serve.txt -o requirements/serve-cuda.txt
	$(COMPILE) --extra gateway -c requirements/serve.txt -o requirements/gateway.txt
	$(COMPILE) --extra serve --extra evaluate -c requirements/serve.txt -o requirements/evaluate.txt
	$(COMPILE) requirements/dev.in --extra dev -c requirements/evaluate.txt \
		--excludes requirements/exclude.in -o requirements/dev.txt
	$(COMPILE) --extra serve --extra draw -c requirements/dev.txt -o requirements/draw.txt
	$(COMPILE) requirements/dev.in --extra export -c requirements/dev.txt \
		--excludes requirements/exclude.in -o requirements/export.txt
	$(COMPILE) requirements/dev.in --extra train --extra prepare -c requirements/dev.txt \
		--excludes requirements/exclude.in -o requirements/train.txt
	$(LOCK) requirements/build.in -c requirements/dev.txt -o requirements/build.txt
	$(LOCK) requirements/image.in -c requirements/build.txt -c requirements/serve.txt -o requirements/image.txt
	$(LOCK) requirements/deploy-tools.in -o requirements/deploy-tools.txt

# ONNX Runtime for CUDA beside .venv, not in it: they would overwrite each other. Of CUDA itself the headers alone.
build/cuda/.ready: requirements/serve-cuda.txt requirements/cuda-test.txt | $(VENV)/.dev
	$(BIN)/python -m venv --clear build/cuda
	echo "$(CURDIR)/$(VENV)/lib/$$(ls $(VENV)/lib)/site-packages" > "build/cuda/lib/$$(ls $(VENV)/lib)/site-packages/venv.pth"
	build/cuda/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --ignore-installed \
		$$(sed -n 's/^\(onnxruntime-gpu==[^ ]*\) .*/\1/p' requirements/serve-cuda.txt)
	$(PIP) install --quiet --no-deps --target build/cuda/headers --require-hashes -r requirements/cuda-test.txt
	@touch $@

build/gpu/.ready: requirements/serve-cuda.txt | $(BIN)/python
	$(BIN)/python -m venv --clear build/gpu
	build/gpu/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes -r requirements/serve-cuda.txt
	@touch $@

clean:  ## Remove .venv and everything that can be made again.
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find model export server traghetto deploy tests -name __pycache__ -prune -exec rm -rf {} +

require-data:
	@test -n "$(DATA)" || { echo 'usage: make $(MAKECMDGOALS) DATA=DIR' >&2; exit 2; }

$(BIN)/python:
	@test -n "$(SYSTEM_PYTHON)" || { echo 'Python 3.11 or newer is needed, none is on PATH' >&2; exit 1; }
	$(SYSTEM_PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(BIN)/uv: | $(BIN)/python
	$(PIP) install uv

# Editable, and built without isolation by the locked build backends: pip fetches nothing beyond the locks.
$(VENV)/.serve: requirements/serve.txt requirements/draw.txt requirements/build.txt pyproject.toml \
		deploy/package/pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --require-hashes -r requirements/serve.txt -r requirements/draw.txt -r requirements/build.txt
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	$(PIP) install --quiet --no-deps --no-build-isolation --editable deploy/package
	@touch $@

$(VENV)/.gateway: requirements/gateway.txt $(VENV)/.serve
	$(PIP) install --quiet --require-hashes -r requirements/gateway.txt
	@touch $@

$(VENV)/.evaluate: requirements/evaluate.txt $(VENV)/.serve
	$(PIP) install --quiet --require-hashes -r requirements/evaluate.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt requirements/torch.txt $(VENV)/.serve
	$(PIP) install --quiet --require-hashes -r requirements/dev.txt
	$(PIP) install -r requirements/torch.txt
	@touch $@

# What checks deploy/, in environments of its own: the versions that checkov pins fit no other.
$(VENV)/.deploy: requirements/deploy-tools.txt tests/deploy/package.json tests/deploy/package-lock.json | $(BIN)/python
	@command -v npm >/dev/null || { echo 'npm is missing: install nodejs (20 or newer) and npm' >&2; exit 1; }
	rm -rf $(VENV)/deploy-tools $(VENV)/deploy-node
	$(BIN)/python -m venv $(VENV)/deploy-tools
	$(VENV)/deploy-tools/bin/pip --disable-pip-version-check install --quiet --no-compile \
		--require-hashes -r requirements/deploy-tools.txt
	mkdir $(VENV)/deploy-node
	cp tests/deploy/package.json tests/deploy/package-lock.json $(VENV)/deploy-node
	npm ci --prefix $(VENV)/deploy-node --ignore-scripts --no-audit --no-fund --silent
	@touch $@

proto proto-check proto-lint envoy-descriptor: | $(VENV)/.dev
