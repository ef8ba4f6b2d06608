"""torchrun trains with two processes what one would have trained, also after a kill."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
import yaml

from model.text.tokenizer import Tokenizer
from model.training.batches import epoch_batches
from model.training.config import load_run_config
from model.training.trainer import BEST_FOLDER, Trainer
from tests.programs import run_module

STEPS = 60
PATIENCE_SECONDS = 600.0


@pytest.fixture
def config(short_pairs: list[tuple[str, str]], tmp_path: Path) -> Path:
    """A tiny model with dropout, on pairs of which some batches have a single row."""
    (tmp_path / "pairs.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in short_pairs[:40]), encoding="utf-8")
    sections = {
        "data": {
            "languages": ["en", "it"],
            "train": ["pairs.tsv"],
            "dev": "pairs.tsv",
            "vocabulary_size": 600,
            "dev_sentences": 3,
        },
        "model": {
            "model_size": 16,
            "num_heads": 2,
            "feed_forward_size": 32,
            "num_encoder_layers": 1,
            "num_decoder_layers": 1,
        },
        "training": {
            "max_steps": STEPS,
            "batch_tokens": 60,
            "learning_rate": 0.01,
            "warmup_steps": 4,
            "snapshot_steps": 30,
            "evaluate_steps": 30,
            "precision": "fp32",
        },
    }
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(sections), encoding="utf-8")
    return path


def train_together(config: Path, output: Path, tokenizer: Tokenizer, *arguments: str) -> str:
    """Run traghetto-train in two processes; gives what they said on standard output."""
    output.mkdir(exist_ok=True)
    tokenizer.save(output)
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = ["-m", "model.commands.train", config, "--data", config.parent, "--device", "cpu"]
    return run_module(*torchrun, *command, "--output", output, *arguments, patience=PATIENCE_SECONDS)


def losses(output: Path) -> list[float]:
    with (output / "curves.csv").open(encoding="utf-8") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def test_two_processes_make_the_steps_of_one(config: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    sections = yaml.safe_load(config.read_text(encoding="utf-8"))
    sections["model"]["dropout"] = 0.0
    config.write_text(yaml.safe_dump(sections), encoding="utf-8")
    output, expected = tmp_path / "two", tmp_path / "one"
    said = train_together(config, output, tokenizer)
    run = load_run_config(config)
    alone = Trainer(run, tmp_path, expected, torch.device("cpu"), tokenizer)
    batches = epoch_batches(alone.examples, run.training.batch_tokens, run.training.seed)
    assert any(len(batch) == 1 for batch in batches[:STEPS])  # of which one process has nothing
    best = alone.train()
    assert said == f"best dev BLEU {best:.2f}, checkpoint {output / BEST_FOLDER}\n"  # one process speaks
    assert losses(output) == pytest.approx(losses(expected), abs=2e-4)
    assert (output / "dev.csv").read_bytes() == (expected / "dev.csv").read_bytes()


def test_two_processes_resume_as_if_they_had_not_been_killed(
    config: Path, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    train_together(config, tmp_path / "whole", tokenizer)
    train_together(config, tmp_path / "parts", tokenizer, "--max-steps", "30")
    train_together(config, tmp_path / "parts", tokenizer)
    whole, parts = (
        torch.load(tmp_path / name / "snapshot.pt", weights_only=True) for name in ("whole", "parts")
    )
    assert parts["progress"]["step"] == STEPS
    for name, weight in whole["weights"].items():
        torch.testing.assert_close(parts["weights"][name], weight, rtol=0, atol=0)
    first, second = whole["random_states"]
    assert not torch.equal(first[0], second[0])  # each drops out other units
