"""An artifact's manifest: what it translates, its graphs and tensors, and a hash of every file.

Knows nothing of PyTorch or ONNX: the server reads artifacts through this file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.contract.graph_names import OF_A_SHORTLIST, OF_EVERY_MODEL
from export.contract.tensors import TensorSpec
from model.scoring.length_penalty import DEFAULT_LENGTH_PENALTY, LengthPenalty
from model.scoring.target_limit import DEFAULT_TARGET_LIMIT, TargetLimit
from model.text.sentencepiece_tokenizer import FILE_NAME as TOKENIZER_NAME
from model.text.special_ids import SpecialIds

SCHEMA_VERSION = 5
# Version 4 had none of these fields: a model with states multiplied them, and all had one target limit and
# one length penalty.
_SINCE_5 = frozenset({"multiplies_states", "target_limit", "length_penalty"})
_READ_VERSIONS = (4, SCHEMA_VERSION)
MANIFEST_NAME = "manifest.json"
PROOF_NAME = "proof.json"
WEIGHTS_NAME = "weights.bin"


class ArtifactError(ValueError):
    """An artifact is damaged, unproven, or of a schema that this version does not read."""


@dataclass(frozen=True, kw_only=True)
class GraphInfo:
    """One ONNX file.

    Args:
        structure_sha256: Of its nodes, names and shapes without the weights' values.
    """

    file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    structure_sha256: str


@dataclass(frozen=True, kw_only=True)
class FileInfo:
    """What a file must be."""

    sha256: str
    num_bytes: int


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

    source: tuple[int, ...]
    max_target_tokens: int
    greedy: tuple[int, ...]
    beam_size: int
    beam: tuple[int, ...]


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

    num_layers: int
    num_heads: int
    default_layer: int
    anchor_accuracy: tuple[float, ...]


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
    name: str
    architecture: str
    precision: str
    language_pairs: tuple[tuple[str, str], ...]
    vocabulary_size: int
    special_ids: SpecialIds
    max_source_tokens: int
    max_target_tokens: int
    devices: tuple[str, ...]
    caches: tuple[TensorSpec, ...]
    states: tuple[TensorSpec, ...]
    memory: tuple[TensorSpec, ...]
    has_capacities: bool
    attention: AttentionInfo | None
    graphs: dict[str, GraphInfo]
    self_check: SelfCheck
    checkpoint_sha256: str
    produced_with: dict[str, str]
    files: dict[str, FileInfo]
    shortlist: str | None = None
    multiplies_states: bool = False
    target_limit: TargetLimit = DEFAULT_TARGET_LIMIT
    length_penalty: LengthPenalty = DEFAULT_LENGTH_PENALTY

    @property
    def multiplies_integers(self) -> bool:
        """Whether all large products are of integers, whose sums are the same in any order."""
        return self.precision == "int8" and not self.multiplies_states

    def to_json(self) -> str:
        """The content of manifest.json, of the manifest's own schema version."""
        left_out = _SINCE_5 if self.schema_version < SCHEMA_VERSION else frozenset()
        fields = {name: value for name, value in dataclasses.asdict(self).items() if name not in left_out}
        return json.dumps(fields, indent=1, ensure_ascii=False) + "\n"

    def digest(self) -> str:
        """SHA-256 of manifest.json, and through its hashes of the whole artifact: 64 hexadecimal digits."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def file_info(path: Path) -> FileInfo:
    """Hash a file."""
    content = path.read_bytes()
    return FileInfo(sha256=hashlib.sha256(content).hexdigest(), num_bytes=len(content))


def load_manifest(folder: Path) -> Manifest:
    """Read an artifact's manifest and check every file against it.

    Raises:
        ArtifactError: no artifact, another schema, or files that are missing or differ; names each
            with the hash it has and the one it must have.
    """
    path = folder / MANIFEST_NAME
    if not path.is_file():
        raise ArtifactError(f"{folder} is no artifact: it has no {MANIFEST_NAME}")
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        version = fields["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is damaged: {error}") from error
    if version not in _READ_VERSIONS:
        known = " and ".join(map(str, _READ_VERSIONS))
        raise ArtifactError(f"{path} has schema version {version}, this version reads {known}")
    try:
        manifest = _parse(fields)
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is damaged: {error}") from error
    _check_files(folder, manifest)
    return manifest


def _check_files(folder: Path, manifest: Manifest) -> None:
    faults = []
    if PROOF_NAME not in manifest.files:
        faults.append(f"no {PROOF_NAME}: an artifact without its proof is not served")
    needed = [WEIGHTS_NAME, TOKENIZER_NAME, *(graph.file for graph in manifest.graphs.values())]
    needed += [manifest.shortlist] if manifest.shortlist else []
    faults += [f"{name} has no sha256" for name in needed if name not in manifest.files]
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            faults.append(f"{name} is missing")
        elif (found := file_info(path)) != expected:
            faults.append(
                f"{name} has sha256 {found.sha256} ({found.num_bytes} bytes), "
                f"must have {expected.sha256} ({expected.num_bytes} bytes)"
            )
    if faults:
        raise ArtifactError(f"artifact {folder} is damaged: " + "; ".join(faults))


def _tensors(items: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name=i["name"], dtype=i["dtype"], shape=tuple(i["shape"])) for i in items)


def _self_check(fields: dict[str, Any]) -> SelfCheck:
    ids = {name: tuple(fields[name]) for name in ("source", "greedy", "beam")}
    return SelfCheck(**{**fields, **ids})


def _attention(fields: dict[str, Any] | None) -> AttentionInfo | None:
    if fields is None:
        return None
    return AttentionInfo(**{**fields, "anchor_accuracy": tuple(fields["anchor_accuracy"])})


def _parse(fields: dict[str, Any]) -> Manifest:
    graphs = {
        name: GraphInfo(
            file=graph["file"],
            inputs=_tensors(graph["inputs"]),
            outputs=_tensors(graph["outputs"]),
            structure_sha256=graph["structure_sha256"],
        )
        for name, graph in fields["graphs"].items()
    }
    if missing := OF_EVERY_MODEL - graphs.keys():
        raise ValueError(f"graphs lacks {', '.join(sorted(missing))}")
    if fields.get("shortlist") and (missing := OF_A_SHORTLIST - graphs.keys()):
        raise ValueError(f"graphs lacks {', '.join(sorted(missing))}, which a shortlist needs")
    parsed: dict[str, Any] = {
        "language_pairs": tuple((a, b) for a, b in fields["language_pairs"]),
        "special_ids": SpecialIds(**fields["special_ids"]),
        "devices": tuple(fields["devices"]),
        "caches": _tensors(fields["caches"]),
        "states": _tensors(fields["states"]),
        "memory": _tensors(fields["memory"]),
        "attention": _attention(fields["attention"]),
        "graphs": graphs,
        "self_check": _self_check(fields["self_check"]),
        "files": {name: FileInfo(**info) for name, info in fields["files"].items()},
    }
    if fields["schema_version"] < SCHEMA_VERSION:
        parsed["multiplies_states"] = bool(parsed["states"])
    else:
        parsed["target_limit"] = TargetLimit(**fields["target_limit"])
        parsed["length_penalty"] = LengthPenalty(**fields.get("length_penalty", {}))
    return Manifest(**{**fields, **parsed})
