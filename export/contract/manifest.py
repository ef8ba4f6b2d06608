"""An artifact's manifest: what it translates, its graphs and tensors, and a hash of every file.

Knows nothing of PyTorch or ONNX: the server reads artifacts through this file. The dataclasses are the
schema: pydantic holds a manifest that is read against their types, which `field_types` has.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Le, Len
from pydantic import TypeAdapter

from export.contract.field_types import (
    MAX_VOCABULARY,
    Device,
    FileName,
    Name,
    NumLayers,
    NumTokens,
    Precision,
    SchemaError,
    Sha256,
    Share,
    TokenIds,
    parse_json,
    shortened,
)
from export.contract.files import FileInfo, file_faults, is_inside
from export.contract.relations import relation_faults
from export.contract.tensors import TensorSpec
from model.scoring.length_penalty import DEFAULT_LENGTH_PENALTY, LengthPenalty
from model.scoring.target_limit import DEFAULT_TARGET_LIMIT, TargetLimit
from model.text.sentencepiece_tokenizer import FILE_NAME as TOKENIZER_NAME
from model.text.special_ids import SpecialIds
from model.text.tokenizers import OPTIONAL_FILES

SCHEMA_VERSION = 6
# The version that brought a field. Before, a model with states multiplied them, and all had one target
# limit and one length penalty.
_SINCE = {"multiplies_states": 5, "target_limit": 5, "length_penalty": 6}
_READ_VERSIONS = (4, 5, SCHEMA_VERSION)
MANIFEST_NAME = "manifest.json"
PROOF_NAME = "proof.json"
WEIGHTS_NAME = "weights.bin"
MAX_MANIFEST_BYTES = 16 << 20
MAX_LANGUAGE_PAIRS = 50_000  # NLLB-200 has 40,602
_MAX_BEAM = 1024


class ArtifactError(ValueError):
    """An artifact is damaged, unproven, or of a schema that this version does not read."""


@dataclass(frozen=True, kw_only=True)
class GraphInfo:
    """One ONNX file.

    Args:
        structure_sha256: Of its nodes, names and shapes without the weights' values.
    """

    file: FileName
    inputs: Annotated[tuple[TensorSpec, ...], Len(1, 4096)]
    outputs: Annotated[tuple[TensorSpec, ...], Len(1, 4096)]
    structure_sha256: Sha256


@dataclass(frozen=True, kw_only=True)
class SelfCheck:
    """Translations that a server repeats when it starts: the processor must count alike.

    Args:
        source: Token ids.
        max_target_tokens: Limit of both searches.
        greedy: The translation by greedy search.
        beam_size: Of the beam search, length penalty 1.
        beam: The best translation by it.
    """

    source: TokenIds
    max_target_tokens: NumTokens
    greedy: TokenIds
    beam_size: Annotated[int, Ge(1), Le(_MAX_BEAM)]
    beam: TokenIds


@dataclass(frozen=True, kw_only=True)
class AttentionInfo:
    """The attention over the source that a decoder step or ATTENTION gives as `attention_0`, ...

    Args:
        num_layers: Outputs of that name; each is (rows, H, W, source_capacity).
        num_heads: H.
        default_layer: From 0: the one that aligned best in the export's sentences.
        anchor_accuracy: For each layer the share of anchors, tokens that stand once in the source and
            once in its translation, to which the mean of the heads attends most.
    """

    num_layers: NumLayers
    num_heads: NumLayers
    default_layer: Annotated[int, Ge(0)]
    anchor_accuracy: tuple[Share, ...]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything a server needs to know of an artifact.

    Args:
        name: Default name of the model.
        architecture: Family of the network.
        precision: fp32, fp16 or int8.
        language_pairs: (source, target) codes that it translates.
        max_source_tokens, max_target_tokens: Limits, special tokens included.
        devices: Where it may run.
        caches: Pools of one column a step, a row for each hypothesis, the W of a sequence side by side:
            a decoder step writes a column of each row. Who reorders hypotheses copies rows.
        states: Pools of one state a hypothesis, which a decoder step replaces; what they hold at position
            0 does not count. The input `parent` says whose state a hypothesis goes on from.
        memory: Pools that the encoder writes and a decoder step reads.
        has_capacities: Whether results depend, in their last bits, on how many source positions a row has
            room for and on the length that a source is padded to.
        attention: Of a model that attends to its source; None without.
        graphs: By `GraphName`.
        shortlist: The file of the vocabulary shortlist; None without.
        checkpoint_sha256: Of the checkpoint's configuration, weights and tokenizer.
        files: By name, all but the manifest.
        produced_with: Versions of the libraries that made it.
        multiplies_states: Whether a step multiplies states by matrices, which are fp32 in every artifact.
        target_limit: How long a translation may get where a client names no limit.
        length_penalty: How scores are compared across lengths; a client may name another alpha.
    """

    schema_version: int
    name: Name
    architecture: Name
    precision: Precision
    language_pairs: Annotated[tuple[tuple[Name, Name], ...], Len(1, MAX_LANGUAGE_PAIRS)]
    vocabulary_size: Annotated[int, Ge(1), Le(MAX_VOCABULARY)]
    special_ids: SpecialIds
    max_source_tokens: NumTokens
    max_target_tokens: NumTokens
    devices: Annotated[tuple[Device, ...], Len(1, 2)]
    caches: Annotated[tuple[TensorSpec, ...], Len(0, 4096)]
    states: Annotated[tuple[TensorSpec, ...], Len(0, 4096)]
    memory: Annotated[tuple[TensorSpec, ...], Len(0, 4096)]
    has_capacities: bool
    attention: AttentionInfo | None
    graphs: dict[Name, GraphInfo]
    self_check: SelfCheck
    checkpoint_sha256: Sha256
    produced_with: dict[str, str]
    files: Annotated[dict[FileName, FileInfo], Len(1, 10_000)]
    shortlist: FileName | None = None
    multiplies_states: bool = False
    target_limit: TargetLimit = DEFAULT_TARGET_LIMIT
    length_penalty: LengthPenalty = DEFAULT_LENGTH_PENALTY

    @property
    def multiplies_integers(self) -> bool:
        """Whether all large products are of integers, whose sums are the same in any order."""
        return self.precision == "int8" and not self.multiplies_states

    def to_json(self) -> str:
        """The content of manifest.json, of the manifest's own schema version."""
        left_out = _newer_fields(self.schema_version)
        fields = {name: value for name, value in dataclasses.asdict(self).items() if name not in left_out}
        return json.dumps(fields, indent=1, ensure_ascii=False) + "\n"

    def digest(self) -> str:
        """SHA-256 of manifest.json, and through its hashes of the whole artifact: 64 hexadecimal digits."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def load_manifest(folder: Path) -> Manifest:
    """Read an artifact's manifest, and check it and every file.

    Raises:
        ArtifactError: no artifact, another schema, fields that make no sense, or files that are missing or
            differ; names all of them, each file with the hash it has and the one it must have.
    """
    path = folder / MANIFEST_NAME
    if not path.is_file():
        raise ArtifactError(f"{folder} is no artifact: it has no {MANIFEST_NAME}")
    if not is_inside(path, folder):
        raise ArtifactError(f"{path} is a link out of the artifact's folder, to {path.resolve()}")
    if (num_bytes := path.stat().st_size) > MAX_MANIFEST_BYTES:
        raise ArtifactError(f"{path} has {num_bytes} bytes, the limit is {MAX_MANIFEST_BYTES}")
    try:
        manifest = parse_manifest(path.read_text(encoding="utf-8"))
    except _OtherSchema as error:
        raise ArtifactError(f"{path} {error}") from None
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} is damaged: {error}") from error
    if faults := list(_folder_faults(folder, manifest)):
        raise ArtifactError(f"artifact {folder} is damaged: " + "; ".join(shortened(faults)))
    return manifest


class _OtherSchema(ValueError):
    """A manifest of a version that is not read here."""


def parse_manifest(content: str) -> Manifest:
    """The manifest that a JSON text is.

    Raises:
        _OtherSchema: its version is another.
        ValueError: it is none, or a rule is broken; lists every fault.
    """
    fields = json.loads(content)
    if not isinstance(fields, dict):
        raise SchemaError(f"it is a {type(fields).__name__}, must be an object")
    version = fields.get("schema_version")
    if version is None:
        raise SchemaError("schema_version is missing")
    if type(version) is not int or version not in _READ_VERSIONS:
        known = ", ".join(map(str, _READ_VERSIONS))
        raise _OtherSchema(f"has schema version {version!r:.40}, this version reads {known}")
    newer = _newer_fields(version)
    if too_new := sorted(newer & fields.keys()):
        raise SchemaError(f"version {version} has no {', '.join(too_new)}")
    if missing := sorted(_SINCE.keys() - newer - fields.keys()):
        raise SchemaError(f"{', '.join(missing)} is missing")
    if "multiplies_states" in newer:
        fields["multiplies_states"] = bool(fields.get("states"))
    manifest = parse_json(_adapter(), json.dumps(fields))
    if faults := list(relation_faults(manifest)):
        raise SchemaError("; ".join(shortened(faults)))
    return manifest


def _newer_fields(version: int) -> frozenset[str]:
    """The fields that a manifest of that schema version does not have yet."""
    return frozenset(name for name, since in _SINCE.items() if since > version)


@cache
def _adapter() -> TypeAdapter[Manifest]:
    return TypeAdapter(Manifest)


def _folder_faults(folder: Path, manifest: Manifest) -> Iterator[str]:
    if PROOF_NAME not in manifest.files:
        yield f"no {PROOF_NAME}: an artifact without its proof is not served"
    needed = [WEIGHTS_NAME, TOKENIZER_NAME, *(graph.file for graph in manifest.graphs.values())]
    needed += [manifest.shortlist] if manifest.shortlist else []
    # Read where it is there, so it may not lie there unnamed.
    needed += [name for name in OPTIONAL_FILES if (folder / name).exists()]
    yield from (f"{name} has no sha256" for name in dict.fromkeys(needed) if name not in manifest.files)
    yield from file_faults(folder, manifest.files)
