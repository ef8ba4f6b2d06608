"""A student of Firefox's from its files to a server: imported, exported, proven, served, compared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from export.contract.manifest import PROOF_NAME, load_manifest
from model.text.special_ids import SpecialIds
from tests.firefox_models import is_text_to_the_oracle, model_folder, oracle
from tests.programs import run_module
from tests.running_server import RunningServer, StartServer
from traghetto import Client, TextError, Translation

pytestmark = pytest.mark.timeout(1800)  # the first test waits until the model is proven

PAIR = "en-pt"
NUM_SOURCES = 100


@pytest.fixture(scope="module")
def varied(data_folder: Path) -> list[str]:
    return (data_folder / "varied-english.txt").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]) -> Path:
    """The artifact that the three commands of docs/import.md make, the first two of them here."""
    folder = tmp_path_factory.mktemp("firefox")
    sources = folder / "sources.txt"
    shortest = sorted((english for english, _ in pairs), key=len)[:NUM_SOURCES]
    sources.write_text("".join(f"{text}\n" for text in shortest), encoding="utf-8")
    run_module("model.commands.import_model", model_folder(PAIR), "--output", folder / "checkpoint")
    run_module("export.command", folder / "checkpoint", "--output", folder / PAIR, "--sources", sources)
    return folder / PAIR


@pytest.fixture(scope="module")
def served(start_server: StartServer, student: Path) -> Iterator[RunningServer]:
    with start_server(student, "--shortlist", "--slots=3") as running:
        yield running


def translated(item: Translation | TextError) -> str:
    assert isinstance(item, Translation), item
    return item.text


def test_the_manifest_says_what_the_files_do(student: Path) -> None:
    manifest = load_manifest(student)
    assert manifest.language_pairs == (("en", "pt"),)
    assert manifest.special_ids == SpecialIds(padding=0, unknown=1, start=0, end=0)
    assert (manifest.target_limit.factor, manifest.target_limit.extra) == (2.5, 0)
    assert [spec.shape for spec in manifest.states] == [("rows", "beam", 256)] * 2
    assert not manifest.caches
    assert not manifest.multiplies_states
    proof = json.loads((student / PROOF_NAME).read_text(encoding="utf-8"))
    assert all(check["passed"] for check in proof["checks"])


def test_its_texts_are_those_of_the_other_engine(
    served: RunningServer, varied: list[str], pairs: list[tuple[str, str]]
) -> None:
    texts = [*filter(is_text_to_the_oracle, varied), *(english for english, _ in pairs[:80])]
    with Client(served.address) as client:
        items = client.translate_many(texts, "en", "pt", beam_size=1, segmentation="none")
        found = dict(zip(texts, map(translated, items), strict=True))
    translate = oracle(PAIR)
    assert found == {text: translate(text) for text in texts}


def test_a_text_of_one_token_is_translated_and_one_of_none_is_empty(served: RunningServer) -> None:
    with Client(served.address) as client:
        found = client.translate(["Yes", " ", "\u200b"], "en", "pt", beam_size=1)
    assert [translated(item) for item in found] == ["Sim", "", ""]


def test_it_is_evaluated_in_its_direction_alone(student: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text("Yes.\tSim.\nThank you.\tObrigado.\n", encoding="utf-8")
    arguments = (student, "--data", tmp_path, "--files", "pairs.tsv", "--languages", "en", "pt")
    said = run_module("server.commands.evaluate", *arguments)
    assert said.startswith("pairs.tsv en-pt: BLEU ")
    assert said.endswith("pairs.tsv pt-en: the model translates the other direction alone\n")
