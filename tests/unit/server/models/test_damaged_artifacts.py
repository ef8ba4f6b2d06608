"""An artifact that its own hashes agree with may still be no good: it is refused in one line."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export.contract.files import file_info
from export.contract.manifest import ArtifactError, load_manifest, parse_manifest
from model.text.tokenizer import TokenizerError
from server.config import ServerConfig
from server.engine.session import ModelSession, SessionConfig
from server.models.loading import described_model, load_model, read_manifest
from server.models.memory import MemoryLimits, PoolsTooLarge
from server.telemetry.metrics import Metrics
from server.work.busy_runners import BusyRunners

BUNDLED = Path(__file__).parents[4] / "export/artifacts"
Change = Callable[[Path, dict[str, Any]], None]


def load(folder: Path, config: ServerConfig) -> None:
    model = described_model(folder, read_manifest(folder), config, MemoryLimits())
    load_model(model, config, Metrics(), BusyRunners(), threading.RLock())


@pytest.fixture
def refusal_of(tmp_path: Path) -> Callable[[Change, str], str]:
    """Change a copy of an artifact and its manifest, hash its files again, and load it in vain."""

    def refuse(change: Change, bundled: str) -> str:
        folder = tmp_path / "artifact"
        shutil.copytree(BUNDLED / bundled, folder)
        fields = json.loads((folder / "manifest.json").read_text())
        change(folder, fields)
        for name in fields["files"]:
            info = file_info(folder / name)
            fields["files"][name] = {"sha256": info.sha256, "num_bytes": info.num_bytes}
        (folder / "manifest.json").write_text(json.dumps(fields))
        config = ServerConfig(artifacts=(folder,), runners=1, slots=1, pool_gib=1, lone_threads=2)
        with pytest.raises((ArtifactError, PoolsTooLarge, TokenizerError)) as caught:
            load(folder, config)
        return str(caught.value)

    return refuse


def cut(name: str, num_bytes: int) -> Change:
    """Keep the first bytes of a file alone."""

    def change(folder: Path, fields: dict[str, Any]) -> None:
        (folder / name).write_bytes((folder / name).read_bytes()[:num_bytes])

    return change


def swap(name: str, other: str) -> Change:
    """Put one graph in another's place."""

    def change(folder: Path, fields: dict[str, Any]) -> None:
        shutil.copy(folder / other, folder / name)

    return change


def set_field(value: object, *places: str | int) -> Change:
    def change(folder: Path, fields: dict[str, Any]) -> None:
        target: Any = fields
        for place in places[:-1]:
            target = target[place]
        target[places[-1]] = value

    return change


def languages(folder: Path, fields: dict[str, Any]) -> None:
    (folder / "languages.json").write_text("{}")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (cut("encoder.onnx", 300), ["encoder.onnx cannot be loaded", "Protobuf parsing failed"]),
        (cut("decoder_step.onnx", 0), ["decoder_step.onnx cannot be loaded"]),
        (cut("weights.bin", 1000), ["cannot be loaded"]),
        (cut("weights.bin", 0), ["cannot be loaded"]),
        (cut("tokenizer.model", 1000), ["not a SentencePiece model"]),
        (swap("encoder.onnx", "log_probs.onnx"), ["encoder: inputs are logits, must be source"]),
        (swap("log_probs.onnx", "candidates.onnx"), ["log_probs: inputs are log_probs, must be logits"]),
        (
            set_field("float16", "graphs", "encoder", "inputs", 3, "dtype"),
            ["encoder: input first_hidden is float32", "must be float16", "the pool is float32"],
        ),
        (
            set_field([1, 1, 256], "graphs", "encoder", "inputs", 3, "shape"),
            ["encoder: input first_hidden is float32('slots', 1, 256), must be float32(1, 1, 256)"],
        ),
        (
            set_field(["rows", 1, 128], "memory", 0, "shape"),
            ["decoder_step: first_hidden is float32('rows', 1, 256), the pool is float32('rows', 1, 128)"],
        ),
        (set_field("tide", "states", 0, "name"), ["no input is the pool tide", "state_hidden is neither"]),
        (set_field(4095, "vocabulary_size"), ["the tokenizer has vocabulary_size 4096, the manifest 4095"]),
        (set_field(1, "special_ids", "start"), ["the tokenizer has special_ids"]),
        (set_field([["en", "de"]], "language_pairs"), ["the pair en-de", "no tag for the language 'de'"]),
        (set_field(1 << 20, "max_source_tokens"), ["needs", "GiB for each of its 1 runners"]),
        (
            set_field(
                {"num_layers": 3, "num_heads": 1, "default_layer": 0, "anchor_accuracy": [0, 0, 0]},
                "attention",
            ),
            ["no graph gives attention_1, num_layers is 3"],
        ),
        (set_field([5, 3], "self_check", "greedy"), ["fails its self-check"]),
        (languages, ["languages.json has no sha256"]),
    ],
    ids=[
        *("cut graph", "empty graph", "cut weights", "no weights", "cut tokenizer", "other encoder"),
        *("other scores", "type", "graph shape", "pool shape", "pool name", "vocabulary", "special ids"),
        *("pair", "limit", "attention", "self-check", "unnamed file"),
    ],
)
def test_an_artifact_that_is_no_good_is_refused_by_name(
    refusal_of: Callable[[Change, str], str], change: Change, words: list[str]
) -> None:
    message = refusal_of(change, "en-it-lstm")
    assert all(word in message for word in words), message
    assert "\n" not in message


def test_a_shortlist_that_is_no_good_is_refused(tmp_path: Path) -> None:
    shutil.copytree(BUNDLED / "en-it", tmp_path / "artifact")
    manifest = load_manifest(tmp_path / "artifact")
    cut("shortlist.bin", 1000)(tmp_path / "artifact", {})
    with pytest.raises(ArtifactError, match=r"cannot read .*shortlist\.bin: damaged"):
        ModelSession.load(tmp_path / "artifact", manifest, SessionConfig(device="cpu", with_shortlist=True))


@pytest.mark.parametrize("linked", ["all", "weights"])
def test_graphs_load_from_a_cache_of_links(tmp_path: Path, linked: str) -> None:
    """As Hugging Face keeps them, and as some tools do that link large files alone."""
    folder, blobs = tmp_path / "models--x/snapshots/1a", tmp_path / "models--x/blobs"
    blobs.mkdir(parents=True)
    folder.mkdir(parents=True)
    for file in (BUNDLED / "en-it-lstm").iterdir():
        if linked == "all" or file.name == "weights.bin":
            shutil.copy(file, blobs / f"0-{file.name}")
            (folder / file.name).symlink_to(f"../../blobs/0-{file.name}")
        else:
            shutil.copy(file, folder)
    session = ModelSession.load(folder, load_manifest(folder), SessionConfig(device="cpu"))
    assert session.provider == "CPUExecutionProvider"


def test_what_is_exported_fits_its_own_schema(
    tiny_session: ModelSession, recurrent_session: ModelSession
) -> None:
    for session in (tiny_session, recurrent_session):
        assert parse_manifest(session.manifest.to_json()) == session.manifest
