"""traghetto-evaluate scores what can be scored, names the rest, and refuses what cannot be asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matplotlib.image
import pytest

from tests.programs import run
from tests.running_server import ARTIFACT

HEADER = "kind\tsource_language\ttarget_language\tsource\tmust"
CASE = "numbers\ten\tit\tRoom 101.\thas 101"
PAIRS = ("The cat is on the table.\tIl gatto è sul tavolo.", "word " * 300 + "\tparola", "Yes.\tSì.")
CARD = "# A model\n\n<!-- scores -->\n<!-- end of the scores -->\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pairs.tsv").write_text("\n".join(PAIRS) + "\n", encoding="utf-8")
    (tmp_path / "cases.tsv").write_text(f"{HEADER}\n{CASE}\n", encoding="utf-8")
    (tmp_path / "card.md").write_text(CARD, encoding="utf-8")
    (tmp_path / "empty").mkdir()
    return tmp_path


def evaluate(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-m", "server.commands.evaluate", ARTIFACT, *arguments)


def test_a_line_that_fails_costs_its_own_score_alone(folder: Path) -> None:
    ended = evaluate(
        *("--data", folder / "empty", folder, "--files", "pairs.tsv", "--baseline", ARTIFACT),
        *("--robustness", folder / "cases.tsv", "--card", folder / "card.md"),
        *("--spbleu", ARTIFACT / "tokenizer.model"),
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    said = ended.stdout
    assert "pairs.tsv en-it: BLEU" in said
    assert "(2 sentences, beam 4" in said
    assert "  line 2 is not scored: the text has 302 tokens, the limit is 256\n" in said
    assert "(p = " in said
    assert "carried over intact (1 texts):\n  numbers: " in said
    card = (folder / "card.md").read_text(encoding="utf-8")
    assert card.startswith("# A model\n\n<!-- scores -->\n\nThrough the served artifact, beam 4:\n")
    assert "| pairs | it-en |" in card
    assert "spBLEU|nrefs:1|case:mixed|eff:no|tok:tokenizer.model|" in said
    assert "| BLEU | chrF | spBLEU | sentences |" in card
    assert "](scores.png)" in card
    height, width, _ = matplotlib.image.imread(folder / "scores.png").shape
    assert width > 3 * height  # two directions and the kinds of text, side by side


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--beam-size", "0"), "beam_size"),
        (("--languages", "en", "xx"), "xx"),
        (("--files", "none.tsv"), "none.tsv"),
        (("--card", "none.md"), "none.md"),
        (("--spbleu", "none.model"), "none.model"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_in_a_line(
    folder: Path, arguments: tuple[str, ...], reason: str
) -> None:
    ended = evaluate("--data", folder, "--files", "pairs.tsv", *arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("traghetto-evaluate: ")
    assert reason in ended.stderr
    assert ended.stderr.count("\n") == 1
