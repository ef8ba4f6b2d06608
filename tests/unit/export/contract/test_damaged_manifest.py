"""A manifest that makes no sense is refused whole, with every fault, before anything else is read."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export.contract.field_types import MAX_FAULTS
from export.contract.manifest import MANIFEST_NAME, ArtifactError, Manifest, load_manifest, parse_manifest

BUNDLED = Path(__file__).parents[4] / "export/artifacts"
FIELDS: dict[str, Any] = json.loads((BUNDLED / "en-it" / MANIFEST_NAME).read_text(encoding="utf-8"))
V = FIELDS["vocabulary_size"]
TARGET_LIMIT = {"factor": 2.0, "extra": 16}
WHOLE = {"schema_version": 6, "multiplies_states": False, "target_limit": TARGET_LIMIT}
DELETED = object()


def damaged(*changes: tuple[str, Any]) -> dict[str, Any]:
    """The bundled manifest with values at dotted paths replaced."""
    fields = copy.deepcopy(FIELDS) | copy.deepcopy(WHOLE)
    for path, value in changes:
        *places, last = (int(part) if part.isdecimal() else part for part in path.split("/"))
        target: Any = fields
        for place in places:
            target = target[place]
        if value is DELETED:
            del target[last]
        else:
            target[last] = value
    return fields


def refusal_of(fields: object) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is what is looked at
        parse_manifest(json.dumps(fields))
    return str(caught.value)


def test_the_manifest_that_is_damaged_here_is_whole() -> None:
    assert isinstance(parse_manifest(json.dumps(damaged())), Manifest)


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("name", "", "name is '', must have at least 1 character"),
        ("name", "en\nit", r"name is 'en\nit', must be printable characters"),
        ("name", " en", "name is ' en', must be printable characters, with no space around them"),
        ("name", "n" * 129, "must have at most 128 characters"),
        ("name", None, "name is None, must be a valid string"),
        ("name", 3, "name is 3, must be a valid string"),
        ("precision", "int4", "precision is 'int4', must be one of fp32, fp16, int8"),
        ("language_pairs", [], "language_pairs is [], must have at least 1 item"),
        ("language_pairs", [["en"]], "language_pairs.0.1 is missing"),
        (
            "language_pairs",
            [["en", "it", "de"]],
            "language_pairs.0 is ['en', 'it', 'de'], must have at most 2",
        ),
        ("language_pairs", "en-it", "language_pairs is 'en-it', must be a valid"),
        ("vocabulary_size", -1, "vocabulary_size is -1, must be greater than or equal to 1"),
        ("vocabulary_size", 2**31, f"vocabulary_size is {2**31}, must be less than or equal to {2**24}"),
        ("vocabulary_size", 7168.0, "vocabulary_size is 7168.0, must be a valid integer"),
        ("vocabulary_size", True, "vocabulary_size is True, must be a valid integer"),
        ("vocabulary_size", 3, "special_ids.end has id 3"),
        (
            "special_ids/end",
            -1,
            f"special_ids.end has id -1, must be from 0 and below the vocabulary_size {V}",
        ),
        ("special_ids/end", V, f"special_ids.end has id {V}"),
        ("max_source_tokens", 2**31, f"max_source_tokens is {2**31}, must be less than or equal to {2**20}"),
        ("max_target_tokens", 0, "max_target_tokens is 0, must be greater than or equal to 1"),
        ("max_target_tokens", 9, "self_check.max_target_tokens is 28, the limit max_target_tokens is 9"),
        ("max_source_tokens", 5, "self_check.source has 9 tokens, the limit max_source_tokens is 5"),
        ("devices", [], "devices is [], must have at least 1 item"),
        ("devices", ["tpu"], "devices.0 is 'tpu', must be one of cpu, cuda"),
        (
            "caches/0/shape",
            ["hypotheses", 4.0, "columns", 64],
            "caches.0.shape.1 is 4.0, must be the name of",
        ),
        ("caches/0/shape", ["hypotheses", -4, "columns", 64], "caches.0.shape.1 is -4, must be the name of"),
        ("caches/0/shape", ["hypotheses", 2**40, "columns"], f"caches.0.shape.1 is {2**40}, must be"),
        ("caches/0/shape", ["rows", 4, "columns", 64], "the first must be hypotheses"),
        ("caches/0/shape", ["hypotheses", 4, 64], "the first must be hypotheses, and one columns"),
        ("memory/0/shape", ["rows", 4, "tides", 64], "memory: cross_key_0 has an axis tides"),
        ("memory/0/name", "self_key_0", "the pool self_key_0 is there 2 times"),
        ("caches/0/dtype", "object", "caches.0.dtype is 'object', must be one of float32"),
        (
            "attention/num_layers",
            10**9,
            "attention.num_layers is 1000000000, must be less than or equal to 1024",
        ),
        ("attention/default_layer", 2, "attention.default_layer is 2, must be below the num_layers 2"),
        ("attention/anchor_accuracy", [0.5], "attention.anchor_accuracy has 1 figures, num_layers is 2"),
        ("attention/anchor_accuracy", [2.0, 0.1], "attention.anchor_accuracy.0 is 2.0, must be less"),
        ("graphs", None, "graphs is None, must be"),
        ("graphs", [], "graphs is [], must be"),
        ("graphs/encoder", None, "graphs.encoder is None, must be"),
        ("graphs/encoder", DELETED, "graphs lacks encoder"),
        ("graphs/decoder_hidden", DELETED, "graphs lacks decoder_hidden, which a shortlist needs"),
        (
            "graphs/encoder/file",
            "../encoder.onnx",
            "graphs.encoder.file is '../encoder.onnx', must be a file's",
        ),
        ("graphs/encoder/structure_sha256", "x", "must be 64 lowercase hexadecimal digits"),
        ("self_check/greedy", [], "self_check.greedy is [], must have at least 1 item"),
        ("self_check/beam", [V], f"self_check.beam has id {V}"),
        ("self_check/beam_size", 10**9, "self_check.beam_size is 1000000000, must be less"),
        ("shortlist", "/etc/passwd", "shortlist is '/etc/passwd', must be a file's name"),
        ("files", {}, "files is {}, must have at least 1 item"),
        ("files/weights.bin/num_bytes", -1, "files.weights.bin.num_bytes is -1, must be greater"),
        ("files/weights.bin/sha256", 7, "files.weights.bin.sha256 is 7, must be a valid string"),
        (
            "target_limit/extra",
            10**9,
            "target_limit is 2 times the source and 1000000000 tokens, the limits are",
        ),
        ("target_limit/factor", 1e308, "the limits are 1000 and"),
        ("target_limit/factor", float("inf"), "target_limit"),
        ("target_limit/factor", float("nan"), "target_limit"),
        ("has_capacities", 1, "has_capacities is 1, must be a valid boolean"),
        ("produced_with", {"torch": 2}, "produced_with.torch is 2, must be a valid string"),
    ],
)
def test_a_value_that_makes_no_sense_is_told_by_name(path: str, value: object, fault: str) -> None:
    assert fault in refusal_of(damaged((path, value)))


@pytest.mark.parametrize("name", ["/etc/passwd", "../../../etc/passwd", "..", "a/b", "a\\b", "a\nb", ""])
def test_no_file_outside_is_named_let_alone_hashed(name: str) -> None:
    message = refusal_of(damaged(("files", {name: {"sha256": "0" * 64, "num_bytes": 1}})))
    assert "files" in message
    assert "has sha256" not in message


def test_all_faults_are_told_at_once() -> None:
    message = refusal_of(damaged(("name", ""), ("vocabulary_size", -1), ("devices", []), ("colour", "red")))
    assert all(
        word in message for word in ("name is", "vocabulary_size is", "devices is", "colour is unknown")
    )


def test_a_refusal_has_an_end_and_says_how_much_is_behind_it() -> None:
    message = refusal_of(damaged(("caches", [{"name": 1, "dtype": 1, "shape": [-1] * 8}] * 1000)))
    assert len(message) < 200 * MAX_FAULTS
    assert message.endswith(" more faults")


@pytest.mark.parametrize("content", ["[" * 100_000, '{"schema_version": ' + "9" * 5000 + "}", "\ud800", "{}"])
def test_what_is_no_manifest_costs_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / MANIFEST_NAME).write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(ArtifactError, match="damaged"):
        load_manifest(tmp_path)


def test_a_manifest_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / MANIFEST_NAME).open("wb") as file:
        file.truncate(1 << 40)  # a hole: it takes no room
    with pytest.raises(ArtifactError, match=f"has {1 << 40} bytes, the limit is"):
        load_manifest(tmp_path)


@pytest.mark.parametrize("version", [3, 7, "5", 5.0, True, [5]])
def test_a_version_that_is_not_read_is_named(version: object) -> None:
    assert "has schema version" in refusal_of(damaged(("schema_version", version)))


def test_version_4_has_no_fields_of_version_5() -> None:
    refusal = refusal_of(damaged(("schema_version", 4)))
    assert "version 4 has no length_penalty, multiplies_states, target_limit" in refusal


@pytest.fixture
def cached(tmp_path: Path) -> Callable[[], Path]:
    """An artifact as Hugging Face's cache keeps it: each file a link into a store beside the snapshots."""

    def make() -> Path:
        (tmp_path / "models--en-it/blobs").mkdir(parents=True)
        folder = tmp_path / "models--en-it/snapshots/1a2b"
        folder.mkdir(parents=True)
        for file in (BUNDLED / "en-it-lstm").iterdir():
            blob = tmp_path / "models--en-it/blobs" / f"blob-of-{file.name}"
            blob.write_bytes(file.read_bytes())
            (folder / file.name).symlink_to(f"../../blobs/{blob.name}")
        return folder

    return make


def test_links_into_the_store_of_a_cache_are_followed(cached: Callable[[], Path], tmp_path: Path) -> None:
    expected = load_manifest(BUNDLED / "en-it-lstm")
    folder = cached()
    assert load_manifest(folder) == expected
    (tmp_path / "current").symlink_to(folder)
    assert load_manifest(tmp_path / "current") == expected


@pytest.mark.parametrize("name", [MANIFEST_NAME, "weights.bin"])
def test_a_link_out_of_the_artifact_is_refused_unread(
    cached: Callable[[], Path], tmp_path: Path, name: str
) -> None:
    file, secret = cached() / name, tmp_path / "secret"
    secret.write_bytes((BUNDLED / "en-it-lstm" / name).read_bytes())
    file.unlink()
    file.symlink_to(secret)
    with pytest.raises(ArtifactError, match=r"is a link out of the artifact's folder, to .*secret") as caught:
        load_manifest(file.parent)
    assert "has sha256" not in str(caught.value)
