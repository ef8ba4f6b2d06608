# Lints the gRPC contract and generates the Python code under traghetto/pb/ from it.
# Run from the repository root: included by its Makefile, or `make -f proto/proto.mk`.

BIN ?= .venv/bin
PYTHON ?= $(BIN)/python
BUF ?= $(BIN)/buf

PROTO_FILES := $(sort $(shell find proto -name '*.proto'))

# google/api/*.proto and google/rpc/*.proto come with googleapis-common-protos, next to their Python code.
GOOGLE_PROTOS = $(shell $(PYTHON) -c \
	"import pathlib, google.rpc.status_pb2 as pb; print(pathlib.Path(pb.__file__).parents[2])")

# $(call generate_pb,ROOT) writes ROOT/traghetto/pb/. Mapping proto/ to traghetto/pb/ is what
# makes the generated imports absolute: `from traghetto.pb.translation.v1 import ...`.
generate_pb = $(PYTHON) -m grpc_tools.protoc \
	-Itraghetto/pb=proto -I$(GOOGLE_PROTOS) \
	--plugin=$(BIN)/protoc-gen-mypy --plugin=$(BIN)/protoc-gen-mypy_grpc \
	--python_out=$(1) --mypy_out=$(1) --grpc_python_out=$(1) --mypy_grpc_out=$(1) \
	$(PROTO_FILES)

.PHONY: proto proto-check proto-lint

proto:
	$(call generate_pb,.)

# The __init__.py files are written by hand; all else in traghetto/pb/ must be as generated.
proto-check:
	@set -e; tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; \
	$(call generate_pb,"$$tmp"); \
	diff -ru --exclude=__init__.py --exclude=__pycache__ traghetto/pb "$$tmp/traghetto/pb" || \
	{ echo 'traghetto/pb/ is stale: run `make proto`' >&2; exit 1; }

# buf resolves imports only from its registry or from a module of ours, so it is handed an
# image in which protoc has already resolved google/rpc and google/api.
proto-lint:
	@set -e; tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; \
	$(PYTHON) -m grpc_tools.protoc -Iproto -I$(GOOGLE_PROTOS) --include_imports \
		--include_source_info --descriptor_set_out="$$tmp/image.binpb" $(PROTO_FILES); \
	$(BUF) lint "$$tmp/image.binpb" --config buf.yaml --exclude-path google
	$(BUF) format -d --exit-code

# What Envoy's transcoder reads: deploy/envoy/README.md.
.PHONY: envoy-descriptor
envoy-descriptor:
	mkdir -p build
	$(PYTHON) -m grpc_tools.protoc -Iproto -I$(GOOGLE_PROTOS) --include_imports \
		--descriptor_set_out=build/translation.binpb proto/translation/v1/translation.proto
