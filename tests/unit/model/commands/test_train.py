"""The command trains a checkpoint and, if its configuration asks for one, gives it a shortlist."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from model.checkpoint import load_checkpoint
from model.commands import train as train_command
from model.shortlist.shortlist import FILE_NAME, Shortlist
from model.text.tokenizer import Tokenizer
from model.training.trainer import BEST_FOLDER

MODEL = {
    "model_size": 16,
    "num_heads": 2,
    "feed_forward_size": 16,
    "num_encoder_layers": 1,
    "num_decoder_layers": 1,
}


@pytest.mark.parametrize("shortlist_candidates", [0, 7])
def test_a_checkpoint_has_a_shortlist_if_the_configuration_asks_for_one(
    short_pairs: list[tuple[str, str]],
    tokenizer: Tokenizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shortlist_candidates: int,
) -> None:
    (tmp_path / "pairs.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in short_pairs), encoding="utf-8")
    data = {
        "languages": ["en", "it"],
        "train": ["pairs.tsv"],
        "dev": "pairs.tsv",
        "vocabulary_size": tokenizer.size,
        "dev_sentences": 2,
        "shortlist_candidates": shortlist_candidates,
    }
    run = {"data": data, "model": MODEL, "training": {"max_steps": 1}}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run), encoding="utf-8")
    output = tmp_path / "run"
    output.mkdir()
    tokenizer.save(output)  # taken as it is, so that none is learnt
    arguments = [tmp_path / "run.yaml", "--data", tmp_path, "--output", output, "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["traghetto-train", *map(str, arguments)])

    assert train_command.main() == 0

    model, _ = load_checkpoint(output / BEST_FOLDER)
    assert (output / BEST_FOLDER / FILE_NAME).exists() == (shortlist_candidates > 0)
    if shortlist_candidates:
        shortlist = Shortlist.load(output / BEST_FOLDER)
        assert shortlist.vocabulary_size == model.config.vocabulary_size
        assert len(shortlist.tags) == 2
