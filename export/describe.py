"""Makes the manifest of an artifact whose other files are written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx

from export.contract.files import file_info
from export.contract.manifest import SCHEMA_VERSION, AttentionInfo, GraphInfo, Manifest
from export.graphs.of_model import graphs_of
from export.graphs.to_onnx import Exported
from export.limits import Limits
from export.precisions import DEVICES
from export.proof.alignment import anchor_accuracy
from export.proof.graph_model import GraphModel
from export.proof.self_check import find_self_check
from export.proof.sentences import LanguagePair, Sentence, target_of
from export.versions import library_versions
from export.weights import without_data
from model.networks.config_file import to_fields
from model.networks.encoder_decoder import EncoderDecoder
from model.shortlist.shortlist import FILE_NAME as SHORTLIST_NAME
from model.shortlist.shortlist import Shortlist
from model.text.tokenizer import Tokenizer

_LIBRARIES = ("torch", "onnx", "onnxscript", "sentencepiece")


def describe(  # noqa: PLR0913 - all but two by their names
    model: EncoderDecoder,
    tokenizer: Tokenizer,
    *,
    folder: Path,
    precision: str,
    limits: Limits,
    exported: Mapping[str, Exported],
    sentences: Sequence[Sentence],
    graphs: GraphModel,
    language_pairs: Sequence[LanguagePair] | None = None,
) -> Manifest:
    """Describe an artifact: what it translates, its graphs and tensors, and a hash of every file.

    Args:
        folder: Holds all of its files but the manifest; its name becomes the model's.
        exported: The graphs that were written there, by `GraphName`.
        sentences: What was translated for the proof; the first becomes the self-check.
        graphs: Run the graphs of that folder.
        language_pairs: What the artifact serves; None for the languages of all sentences.

    Raises:
        ExportError: its shortlist changes the translation of every sentence that could be the self-check, or
            all are longer than its sources may be.
    """
    pools = graphs.pools
    if language_pairs is None:
        language_pairs = list(dict.fromkeys(s.languages for s in sentences if s.languages))
    shortlist = Shortlist.load(folder) if (folder / SHORTLIST_NAME).is_file() else None
    return Manifest(
        schema_version=SCHEMA_VERSION,
        name=folder.name,
        architecture=model.config.architecture,
        precision=precision,
        language_pairs=tuple(language_pairs),
        vocabulary_size=tokenizer.size,
        special_ids=tokenizer.special_ids,
        max_source_tokens=limits.max_source_tokens,
        max_target_tokens=limits.max_target_tokens,
        devices=DEVICES[precision],
        caches=pools.caches,
        states=pools.states,
        memory=pools.memory,
        has_capacities=graphs_of(model).has_capacities,
        attention=_attention(model, tokenizer, sentences),
        graphs={name: _graph_info(name, graph) for name, graph in exported.items()},
        self_check=find_self_check(graphs, sentences, shortlist, limits),
        checkpoint_sha256=checkpoint_sha256(model, tokenizer),
        produced_with=library_versions(*_LIBRARIES),
        files={path.name: file_info(path) for path in sorted(folder.iterdir())},
        shortlist=SHORTLIST_NAME if shortlist is not None else None,
        multiplies_states=graphs_of(model).multiplies_states,
        target_limit=model.config.target_limit,
        length_penalty=model.config.length_penalty,
    )


def checkpoint_sha256(model: EncoderDecoder, tokenizer: Tokenizer) -> str:
    """A hash of configuration, weights and tokenizer, whatever files they lie in: 64 hexadecimal digits."""
    digest = hashlib.sha256(json.dumps(to_fields(model.config), sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.numpy().tobytes())
    digest.update(tokenizer.serialized)
    return digest.hexdigest()


def structure_sha256(model: onnx.ModelProto) -> str:
    """A hash of a graph's nodes, names, types and shapes: the same for two exports of one architecture."""
    bare = onnx.ModelProto(graph=without_data(model).graph)
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).hexdigest()


def _graph_info(name: str, graph: Exported) -> GraphInfo:
    return GraphInfo(
        file=f"{name}.onnx",
        inputs=graph.inputs,
        outputs=graph.outputs,
        structure_sha256=structure_sha256(graph.model),
    )


def _attention(
    model: EncoderDecoder, tokenizer: Tokenizer, sentences: Sequence[Sentence]
) -> AttentionInfo | None:
    accuracy = anchor_accuracy(
        model,
        [(s.source, target_of(s, tokenizer)) for s in sentences],
        _ids_in_targets(tokenizer).get,
    )
    if not accuracy:
        return None
    return AttentionInfo(
        num_layers=len(accuracy),
        num_heads=graphs_of(model).num_heads,
        default_layer=accuracy.index(max(accuracy)),
        anchor_accuracy=accuracy,
    )


def _ids_in_targets(tokenizer: Tokenizer) -> dict[int, int]:
    """What a source's ids are in targets, as far as the same piece is there."""
    ids = {tokenizer.piece(i): i for i in range(tokenizer.size)}
    pieces = {i: tokenizer.source_piece(i) for i in range(tokenizer.source_size)}
    return {i: ids[piece] for i, piece in pieces.items() if piece in ids}
