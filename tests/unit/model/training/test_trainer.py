"""The schedule, and runs of a few steps on a few pairs."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from model.checkpoint import load_checkpoint, unique_weights
from model.networks.config import ConfigError, TransformerConfig
from model.preparation.prepare import Preparation
from model.preparation.shards import Shard
from model.text.parallel_text import DataError
from model.text.tokenizer import Tokenizer
from model.training.batches import IGNORED, epoch_batches, make_batch
from model.training.config import DataConfig, RunConfig, TrainingConfig, load_run_config
from model.training.schedule import autocast, learning_rate
from model.training.snapshots import average
from model.training.trainer import Trainer

CPU = torch.device("cpu")
MakeTrainer = Callable[..., Trainer]


@pytest.fixture
def make_trainer(short_pairs: list[tuple[str, str]], tokenizer: Tokenizer, tmp_path: Path) -> MakeTrainer:
    """A trainer of a tiny model on 60 pairs; the same name goes on with the same run."""
    (tmp_path / "pairs.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in short_pairs[:60]), encoding="utf-8")
    data = DataConfig(
        languages=("en", "it"), train=("pairs.tsv",), dev=("pairs.tsv",), vocabulary_size=600, dev_sentences=3
    )
    model = TransformerConfig(
        vocabulary_size=600,
        model_size=16,
        num_heads=2,
        feed_forward_size=32,
        num_encoder_layers=1,
        num_decoder_layers=1,
    )
    training = TrainingConfig(
        max_steps=12, batch_tokens=200, learning_rate=0.01, warmup_steps=4, snapshot_steps=6, evaluate_steps=6
    )

    def make(name: str, *, dropout: float = 0.1, **fields: object) -> Trainer:
        run = RunConfig(
            data=data,
            model=dataclasses.replace(model, dropout=dropout),
            training=dataclasses.replace(training, **fields),  # type: ignore[arg-type]
        )
        return Trainer(run, tmp_path, tmp_path / name, CPU, tokenizer)

    return make


def losses(trainer: Trainer) -> list[float]:
    with (trainer.output / "curves.csv").open(encoding="utf-8") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def test_the_rate_peaks_after_warm_up_and_falls_with_the_root_of_the_step() -> None:
    config = TrainingConfig(max_steps=1000, learning_rate=0.02, warmup_steps=100)
    rates = [learning_rate(step, config) for step in range(1, 1001)]
    assert max(rates) == rates[99] == pytest.approx(0.02)
    assert rates[49] == pytest.approx(0.01)  # half way up
    assert rates[399] == pytest.approx(0.01)  # four times the warm-up


def test_the_rate_cools_down_to_zero_just_after_the_last_step() -> None:
    config = TrainingConfig(max_steps=1000, warmup_steps=100, cooldown_steps=50)
    warm = dataclasses.replace(config, cooldown_steps=0)
    for step in range(1, 951):
        assert learning_rate(step, config) == learning_rate(step, warm)
    for step in range(951, 1001):
        share = (1001 - step) / 50
        assert learning_rate(step, config) == pytest.approx(share * learning_rate(step, warm))
    assert learning_rate(1001, config) == 0


def test_average_is_the_mean_of_each_weight() -> None:
    snapshots = [{"a": torch.tensor([value, 1.0]), "b": torch.tensor(-value)} for value in (0.0, 3.0, 6.0)]
    found = average(snapshots)
    assert found["a"].tolist() == [3.0, 1.0]
    assert found["b"].item() == -3.0


def test_training_lowers_the_loss_and_writes_its_curves(make_trainer: MakeTrainer) -> None:
    make_trainer("run", max_steps=60).train(max_steps=1)
    trainer = make_trainer("run", max_steps=60, snapshot_steps=60, evaluate_steps=60)
    trainer.train()
    found = losses(trainer)
    assert found[-1] < found[0] - 1
    assert (trainer.output / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert (trainer.output / "dev.csv").read_text(encoding="utf-8").startswith("step,direction,bleu,chrf\n")


def test_the_best_checkpoint_is_the_average_of_the_snapshots_with_its_dev_sentences(
    make_trainer: MakeTrainer,
) -> None:
    trainer = make_trainer("run", snapshot_steps=3)
    trainer.train(max_steps=6)
    model, tokenizer = load_checkpoint(trainer.output / "best")
    expected = average(trainer.progress.recent)
    assert len(trainer.progress.recent) == 2
    for name, weight in unique_weights(model).items():
        torch.testing.assert_close(weight, expected[name], rtol=2**-11, atol=1e-6)  # it may be kept as fp16
    assert tokenizer.serialized == trainer.tokenizer.serialized
    assert len((trainer.output / "best" / "sentences.tsv").read_text(encoding="utf-8").splitlines()) == 3


def test_a_run_is_judged_by_the_mean_of_all_dev_files(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    run = make_trainer("first").run
    (tmp_path / "other.tsv").write_text("Hello.\tCiao.\nYes.\tSì.\n", encoding="utf-8")
    run = dataclasses.replace(run, data=dataclasses.replace(run.data, dev=("pairs.tsv", "other.tsv")))
    trainer = Trainer(run, tmp_path, tmp_path / "run", CPU)
    best = trainer.train()
    with (trainer.output / "dev.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["step"] == "12"]
    names = [f"{name} {way}" for name in run.data.dev for way in ("en-it", "it-en")]
    assert [row["direction"] for row in rows] == names
    assert best >= sum(float(row["bleu"]) for row in rows) / 4 - 0.005
    lines = (trainer.output / "best" / "sentences.tsv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 3 + 2


def test_a_resumed_run_gives_the_weights_of_an_uninterrupted_one(make_trainer: MakeTrainer) -> None:
    whole = make_trainer("whole")
    whole.train()
    make_trainer("parts").train(max_steps=6)
    resumed = make_trainer("parts")
    assert resumed.progress.step == 6
    resumed.train()
    assert resumed.progress.step == whole.progress.step == 12
    assert resumed.progress.target_tokens == whole.progress.target_tokens
    for name, weight in unique_weights(whole.model).items():
        torch.testing.assert_close(unique_weights(resumed.model)[name], weight, rtol=0, atol=0)
    for ours, theirs in zip(resumed.progress.recent, whole.progress.recent, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_a_resumed_run_remembers_its_best_evaluation(make_trainer: MakeTrainer) -> None:
    best = make_trainer("run").train(max_steps=6)
    found = make_trainer("run").progress.best_bleu
    assert found == best


def test_the_loss_is_smoothed_and_leaves_padding_out(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer("run", dropout=0.0, batch_tokens=10_000, label_smoothing=0.2)
    indices = epoch_batches(trainer.examples, 10_000, trainer.config.seed)[0]
    batch = make_batch([trainer.examples[i] for i in indices], trainer.special_ids)
    with torch.no_grad(), autocast(CPU, trainer.config.precision):
        log_probs = trainer.model(batch.source, batch.target_input).float().log_softmax(dim=-1)  # (B, T, V)
    right = log_probs.gather(-1, batch.target_output.clamp(min=0)[..., None]).squeeze(-1)  # (B, T)
    each = -(0.8 * right + 0.2 * log_probs.mean(dim=-1))
    is_padding = batch.target_output == IGNORED
    assert float((each[~is_padding].mean() - each.mean()).abs()) > 0.01
    trainer.train(max_steps=1)
    assert losses(trainer) == [pytest.approx(float(each[~is_padding].mean()), rel=0, abs=1e-3)]


def test_a_resumed_run_forgets_what_its_curves_saw_after_the_snapshot(make_trainer: MakeTrainer) -> None:
    killed = make_trainer("run")
    killed.train(max_steps=6)
    killed.curves.add_step(9, 1.0, 0.1, 5.0)
    killed.curves.add_evaluation(9, {"en-it": (1.0, 2.0)})
    resumed = make_trainer("run")
    for name in ("curves.csv", "dev.csv"):
        with (resumed.output / name).open(encoding="utf-8") as file:
            assert {int(row["step"]) for row in csv.DictReader(file)} == {6}


def test_a_run_killed_before_its_first_snapshot_starts_its_curves_anew(make_trainer: MakeTrainer) -> None:
    make_trainer("run").curves.add_step(5, 1.0, 0.1, 5.0)
    again = make_trainer("run")
    again.train(max_steps=6)
    with (again.output / "curves.csv").open(encoding="utf-8") as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == [6]


def _run_of(path: Path) -> RunConfig:
    path.write_text(
        """
data: {languages: [en, it], dev: pairs.tsv, vocabulary_size: 600, dev_sentences: 3, max_tokens: 60}
model: {model_size: 16, num_heads: 2, feed_forward_size: 32, num_encoder_layers: 1, num_decoder_layers: 1}
training: {max_steps: 4, batch_tokens: 200, snapshot_steps: 2, evaluate_steps: 4}
preparation:
  corpora:
    short: {files: [pairs.tsv], weight: 1.5, joined: 0.2}
""",
        encoding="utf-8",
    )
    return load_run_config(path)


def test_a_prepared_folder_is_trained_on_and_resumed(
    short_pairs: list[tuple[str, str]], tokenizer: Tokenizer, tmp_path: Path
) -> None:
    (tmp_path / "pairs.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in short_pairs), encoding="utf-8")
    run = _run_of(tmp_path / "run.yaml")
    assert run.preparation is not None
    assert run.data.train == ("pairs.tsv",)
    shards = tmp_path / "shards"
    shards.mkdir()
    tokenizer.save(shards)
    Preparation(
        config=run.preparation,
        languages=run.data.languages,
        vocabulary_size=600,
        max_tokens=60,
        data=tmp_path,
        output=shards,
        dev=("pairs.tsv",),
    ).run()
    number = len(Shard(shards / "short"))
    whole = Trainer(run, shards, tmp_path / "whole", CPU)
    assert len(whole.examples) == number + round(number / 2)
    assert whole.tokenizer.serialized == tokenizer.serialized
    whole.train()
    Trainer(run, shards, tmp_path / "parts", CPU).train(max_steps=2)
    parts = Trainer(run, shards, tmp_path / "parts", CPU)
    assert parts.progress.step == 2
    parts.train()
    for name, weights in unique_weights(whole.model).items():
        torch.testing.assert_close(unique_weights(parts.model)[name], weights, rtol=0, atol=0)


def test_pairs_with_an_empty_side_are_left_out_and_counted(
    make_trainer: MakeTrainer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_trainer("first")  # writes the pairs
    with (tmp_path / "pairs.tsv").open("a", encoding="utf-8") as file:
        file.write("Alone.\t\n \tDa solo.\n")
    with caplog.at_level("WARNING", "traghetto.train"):
        trainer = make_trainer("second")
    assert len(trainer.examples) == 120
    assert "2 pairs with an empty side are left out" in caplog.text


def test_a_vocabulary_of_another_size_is_refused_at_once(
    make_trainer: MakeTrainer, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    run = make_trainer("first").run
    other = dataclasses.replace(run, model=dataclasses.replace(run.model, vocabulary_size=999))
    with pytest.raises(ConfigError, match=rf"has {tokenizer.size} pieces, data.vocabulary_size is 999"):
        Trainer(other, tmp_path, tmp_path / "second", CPU, tokenizer)


def test_nothing_left_to_train_on_is_an_error(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    make_trainer("first")
    (tmp_path / "pairs.tsv").write_text("\tNiente.\n", encoding="utf-8")
    with pytest.raises(DataError, match="no example is left to train on"):
        make_trainer("second")
