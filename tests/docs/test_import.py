"""docs/import.md works as it stands there: its commands, on a toy of OPUS-MT's kind, and its texts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.docs.page_runner import ROOT, PageRunner
from tests.docs.pages import blocks_of
from traghetto import Client, Translation

pytestmark = pytest.mark.timeout(1800)  # the first test waits until the model is proven

PAGE = ROOT / "docs/import.md"
TOY = ROOT / "tests/data/opus-mt-toy"
PORT = "50051"
NUM_TEXTS = 100
SCORE_LIMIT = 1e-4


@pytest.fixture(scope="module")
def expected() -> list[dict[str, Any]]:
    """What Transformers says of the toy: see tests/opus_mt_toy.py."""
    rows: list[dict[str, Any]] = json.loads((TOY / "translations.json").read_text(encoding="utf-8"))
    return rows


@pytest.fixture(scope="module")
def address(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]], expected: list[dict[str, Any]]
) -> Iterator[str]:
    """Of the server that the page's reader has started."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "opus-mt-en-it").symlink_to(TOY)
    words = {word for english, _ in pairs for word in english.split()}
    shortest = sorted(words, key=lambda word: (len(word), word))[:NUM_TEXTS]  # a proof of words is quick
    (folder / "texts.txt").write_text("".join(f"{word}\n" for word in shortest), encoding="utf-8")
    with PageRunner(folder) as reader:
        for block in blocks_of(PAGE.read_text(encoding="utf-8")):
            reader.do(block)
        yield reader.address(PORT)


def test_greedy_texts_are_those_of_transformers(address: str, expected: list[dict[str, Any]]) -> None:
    with Client(address) as client:
        items = list(
            client.translate_many(
                [row["source"] for row in expected], "en", "it", beam_size=1, segmentation="none"
            )
        )
    texts = [item.text if isinstance(item, Translation) else item for item in items]
    assert texts == [row["text"] for row in expected]
    assert len(set(texts)) > 0.9 * len(texts)


def test_scores_of_beams_are_those_of_transformers(address: str, expected: list[dict[str, Any]]) -> None:
    rows = [row for row in expected if "beam_score" in row]
    with Client(address) as client:
        items = list(
            client.translate_many(
                [row["source"] for row in rows], "en", "it", beam_size=4, segmentation="none"
            )
        )
    same = 0
    for row, item in zip(rows, items, strict=True):
        assert isinstance(item, Translation)
        if item.text == row["beam_text"]:
            same += 1
            assert item.hypotheses[0].score == pytest.approx(row["beam_score"], abs=SCORE_LIMIT)
    assert same > len(rows) / 2  # their rules differ: docs/import.md


def test_the_page_leaves_out_what_another_test_runs_or_downloads() -> None:
    skipped = [block for block in blocks_of(PAGE.read_text(encoding="utf-8")) if block.role == "skip"]
    assert [block.argument for block in skipped] == [
        *["tests/e2e/test_imported.py runs them"] * 2,
        "tests/e2e/test_firefox.py runs them",
        "it downloads",
    ]
