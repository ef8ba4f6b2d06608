"""Trains every variant on the same batches, one after the other; started again, it goes on where it was."""

from __future__ import annotations

import csv
import logging
import random
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from model.checkpoint import load_weights, save_checkpoint
from model.networks.build import build_model
from model.text.parallel_text import read_pairs
from model.text.sentencepiece_tokenizer import FILE_NAME, train_tokenizer
from model.text.tokenizer import Tokenizer
from model.text.tokenizers import load_tokenizer
from model.training.batches import Example
from model.training.config import DataConfig, RunConfig, load_run_config
from model.training.curves import append_row
from model.training.snapshots import SNAPSHOT_NAME, average
from model.training.trainer import BEST_FOLDER, Trainer
from tests.architectures.variants import CONFIGS, VARIANTS, Places

log = logging.getLogger("traghetto.study")

_RECORDED_STEPS = 25
_DONE = "done"
SENTENCES_NAME = "sentences.tsv"  # the dev sample, which the export's proof translates
_FIELDS = ("step", "target_tokens", "seconds", "loss")


@dataclass(frozen=True)
class Curve:
    """A run's training, a point every few steps.

    Args:
        steps: Counted from 1.
        tokens: Target tokens so far.
        seconds: Processor time so far, of training steps alone.
        losses: Mean since the point before, in nats a target token, label-smoothed.
    """

    steps: tuple[int, ...]
    tokens: tuple[int, ...]
    seconds: tuple[float, ...]
    losses: tuple[float, ...]


class StudyTrainer(Trainer):
    """A trainer that shares its examples with the run before, and records every step's time and loss."""

    _shared: tuple[DataConfig, list[Example]] | None = None

    def _examples(self, pairs: list[tuple[str, str]], tokenizer: Tokenizer) -> list[Example]:
        shared = StudyTrainer._shared
        if shared is None or shared[0] != self.run.data:
            shared = StudyTrainer._shared = (self.run.data, super()._examples(pairs, tokenizer))
        return shared[1]

    def _step(self, indices: list[int]) -> tuple[float, int]:
        started = time.process_time()
        loss, count = super()._step(indices)
        row = (self.progress.step, count, f"{time.process_time() - started:.5f}", f"{loss:.5f}")
        append_row(_curve_path(self.output), _FIELDS, row)
        return loss, count


def _curve_path(run: Path) -> Path:
    return run / "steps.csv"


def read_curve(run: Path) -> Curve:
    """What a run recorded, steps that a killed run did twice counted once."""
    with _curve_path(run).open(newline="", encoding="utf-8") as file:
        rows = {int(row["step"]): row for row in csv.DictReader(file)}
    steps, tokens, seconds, losses = [], [], [], []
    total_tokens, total_seconds, weighted, weight = 0, 0.0, 0.0, 0
    for step, row in sorted(rows.items()):
        count = int(row["target_tokens"])
        total_tokens, total_seconds = total_tokens + count, total_seconds + float(row["seconds"])
        weighted, weight = weighted + count * float(row["loss"]), weight + count
        if step % _RECORDED_STEPS == 0:
            steps.append(step)
            tokens.append(total_tokens)
            seconds.append(total_seconds)
            losses.append(weighted / weight)
            weighted, weight = 0.0, 0
    return Curve(tuple(steps), tuple(tokens), tuple(seconds), tuple(losses))


def shared_tokenizer(places: Places, run: RunConfig) -> Tokenizer:
    """The one tokenizer of all runs, learnt if it is not there yet."""
    if not (places.build / FILE_NAME).is_file():
        data, size = run.data, run.model.vocabulary_size
        log.info("learning a vocabulary of %d pieces", size)
        pairs = [pair for name in data.train for pair in read_pairs(places.data / name)]
        text = dict.fromkeys(sentence for pair in pairs for sentence in pair)
        places.build.mkdir(parents=True, exist_ok=True)
        train_tokenizer(text, size, data.languages).save(places.build)
    return load_tokenizer(places.build)


def is_trained(places: Places, variant: str) -> bool:
    """Whether a variant's run came to its end."""
    return (places.run(variant) / _DONE).is_file()


def train(places: Places) -> None:
    """Train every variant that is not trained yet."""
    for variant in VARIANTS:
        if is_trained(places, variant):
            continue
        run = load_run_config(CONFIGS / f"{variant}.yaml")
        random.seed(run.training.seed)
        log.info("training %s", variant)
        output = places.run(variant)
        trainer = StudyTrainer(run, places.data, output, torch.device("cpu"), shared_tokenizer(places, run))
        trainer.train()
        (output / _DONE).touch()


def final_checkpoint(places: Places, variant: str) -> Path:
    """The mean of a finished run's last snapshots.

    The trainer keeps the checkpoint of the best dev BLEU; where BLEU is near zero throughout that is an early
    one by chance.
    """
    folder, run = places.final(variant), places.run(variant)
    if not (folder / SENTENCES_NAME).is_file():
        progress = torch.load(run / SNAPSHOT_NAME, map_location="cpu", weights_only=True)["progress"]
        model = build_model(load_run_config(CONFIGS / f"{variant}.yaml").model)
        load_weights(model, average(progress["recent"]))
        save_checkpoint(folder, model, load_tokenizer(run))
        shutil.copy(run / BEST_FOLDER / SENTENCES_NAME, folder / SENTENCES_NAME)
    return folder
