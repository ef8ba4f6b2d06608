"""The trainer: teacher forcing, snapshots that survive a kill, and a model averaged over the last of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from model.checkpoint import load_weights, save_checkpoint, unique_weights
from model.networks.build import build_model
from model.preparation.prepare import is_prepared
from model.text.parallel_text import DataError
from model.text.tokenizer import Tokenizer
from model.training.batches import IGNORED, Batch, Example, epoch_batches, make_batch
from model.training.config import RunConfig
from model.training.curves import Curves
from model.training.dev_sets import load_dev_sets
from model.training.inputs import examples_of, prepared_examples, run_tokenizer, training_pairs
from model.training.loss import smoothed_loss
from model.training.processes import Processes
from model.training.schedule import autocast, learning_rate
from model.training.snapshots import average, load_snapshot, save_snapshot

log = logging.getLogger("traghetto.train")

BEST_FOLDER = "best"
_LOGGED_STEPS = 50


class Trainer:
    """Trains one model into a folder; started again on the same folder it goes on where it was.

    With several processes each makes the same steps with its share of every batch, so that losses and
    weights are those of one process, but for rounding and dropout.

    Args:
        run: The configuration.
        data: Folder that holds the files it names, or what traghetto-prepare made of them.
        output: Receives tokenizer, snapshot.pt, best/, curves.csv and curves.png; all processes see it.
        device: Where to train, or the processes that train together.
        tokenizer: Of the weights to start from.
        initial: Weights to start from, as `unique_weights` names them.

    Raises:
        ConfigError: the configuration does not fit the tokenizer, the data or the run in the output.
        DataError: a file is missing or damaged, or no example is left.
    """

    def __init__(
        self,
        run: RunConfig,
        data: Path,
        output: Path,
        device: torch.device | Processes,
        tokenizer: Tokenizer | None = None,
        initial: dict[str, Tensor] | None = None,
    ) -> None:
        torch.manual_seed(run.training.seed)
        self.processes = device if isinstance(device, Processes) else Processes(device=device)
        self.device = self.processes.device
        self.run, self.config, self.output = run, run.training, output
        self.dev_sets = load_dev_sets(run, data)
        self.tokenizer, self.examples = self._inputs(data, tokenizer)
        self.special_ids = run.model.special_ids
        self.model = build_model(run.model).to(self.device)
        if initial is not None:
            load_weights(self.model, initial)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            betas=(0.9, 0.98),
            eps=1e-9,
            weight_decay=run.training.weight_decay,
            fused=True,
        )
        torch.manual_seed(run.training.seed + self.processes.rank)  # each process drops out other units
        self.progress = load_snapshot(output, self.model, self.optimizer, self.processes)
        self.curves = Curves(output)
        if self.processes.is_first:
            self.curves.rewind(self.progress.step)
        self._parallel = self.processes.parallel(self.model)

    def _inputs(self, data: Path, tokenizer: Tokenizer | None) -> tuple[Tokenizer, Sequence[Example]]:
        """Tokenizer and examples; the first process learns the vocabulary, if there is none, for all."""
        pairs = training_pairs(self.run, data)
        if not self.processes.is_first:
            self.processes.wait()
        tokenizer = run_tokenizer(self.run, pairs, data, self.output, tokenizer)
        if self.processes.is_first:
            self.output.mkdir(parents=True, exist_ok=True)
            tokenizer.save(self.output)
            self.processes.wait()
        examples = (
            prepared_examples(self.run, data) if is_prepared(data) else self._examples(pairs, tokenizer)
        )
        if not examples:
            raise DataError(
                f"no example is left to train on: {self.run.data.max_tokens} tokens are the limit"
            )
        return tokenizer, examples

    def _examples(self, pairs: list[tuple[str, str]], tokenizer: Tokenizer) -> list[Example]:
        return examples_of(self.run, pairs, tokenizer)

    def train(self, max_steps: int | None = None) -> float:
        """Train to the configured end, or to max_steps if that comes first.

        Returns:
            The best dev BLEU, mean of both directions and of all dev files.
        """
        last = min(self.config.max_steps, max_steps or self.config.max_steps)
        first = self.processes.is_first
        steps = tqdm(
            total=last, initial=self.progress.step, unit="step", dynamic_ncols=True, disable=not first
        )
        begun, first_step = time.monotonic(), self.progress.step
        started, tokens = begun, 0
        batches = self._batches()
        while self.progress.step < last and self.progress.evaluations_without_gain < self.config.patience:
            loss, count = self._step(next(batches))
            steps.update()
            tokens += count
            step = self.progress.step
            if first and (step % _LOGGED_STEPS == 0 or step == last):
                rate = tokens / (time.monotonic() - started)
                steps.set_postfix(loss=f"{loss:.3f}", tokens_per_second=f"{rate:.0f}")
                self.curves.add_step(step, loss, learning_rate(step, self.config), rate)
                started, tokens = time.monotonic(), 0
            is_evaluated = step % self.config.evaluate_steps == 0 or step == last
            if is_evaluated or step % self.config.snapshot_steps == 0:
                self._remember()
                if is_evaluated:
                    self._evaluate()
                save_snapshot(self.output, self.progress, self.optimizer, self.processes)
                hours = (time.monotonic() - begun) / (step - first_step) * (last - step) / 3600
                log.info("step %d of %d, loss %.3f, %.1f hours left", step, last, loss, hours)
                started, tokens = time.monotonic(), 0
        steps.close()
        if first:
            self.curves.draw()
        return self.progress.best_bleu

    def _batches(self) -> Iterator[list[int]]:
        while True:
            seed = self.config.seed + self.progress.epoch
            batches = epoch_batches(self.examples, self.config.batch_tokens, seed)
            while self.progress.batch < len(batches):
                self.progress.batch += 1
                yield batches[self.progress.batch - 1]
            self.progress.epoch, self.progress.batch = self.progress.epoch + 1, 0

    def _step(self, indices: list[int]) -> tuple[float, int]:
        """One step with a batch of all processes: the loss of a target token, and their number."""
        self.model.train()
        self.progress.step += 1
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.progress.step, self.config)
        batch = make_batch([self.examples[i] for i in indices], self.special_ids)
        count = int((batch.target_output != IGNORED).sum())
        loss = self._loss(self._share(batch)) / count
        self.optimizer.zero_grad()
        (loss * self.processes.count).backward()  # gradients are means over the processes
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.optimizer.step()
        self.progress.target_tokens += count
        return float(self.processes.total(loss.detach())), count

    def _share(self, batch: Batch) -> Batch:
        """This process's rows; one that has none gets a row without targets, whose loss is 0."""
        rows = self.processes.share(range(len(batch.source)))
        if not rows:
            nothing = torch.full_like(batch.target_output[:1], IGNORED)
            return Batch(batch.source[:1], batch.target_input[:1], nothing)
        chosen = list(rows)
        return Batch(batch.source[chosen], batch.target_input[chosen], batch.target_output[chosen])

    def _loss(self, batch: Batch) -> Tensor:
        """Label-smoothed cross-entropy in nats, summed over target tokens."""
        with autocast(self.device, self.config.precision):
            logits = self._parallel(batch.source.to(self.device), batch.target_input.to(self.device))
        return smoothed_loss(
            logits.float().flatten(0, 1),
            batch.target_output.to(self.device).flatten(),
            smoothing=self.config.label_smoothing,
        )

    def _remember(self) -> None:
        weights = {name: tensor.to("cpu", copy=True) for name, tensor in unique_weights(self.model).items()}
        self.progress.recent = [*self.progress.recent, weights][-self.config.average_checkpoints :]

    def _evaluate(self) -> None:
        """Score the average of the last snapshots; the first process does it, and tells the others."""
        progress = self.progress
        if self.processes.is_first:
            self._score()
        progress.best_bleu, progress.evaluations_without_gain = self.processes.of_first(
            (progress.best_bleu, progress.evaluations_without_gain)
        )

    def _score(self) -> None:
        current = {name: tensor.clone() for name, tensor in unique_weights(self.model).items()}
        load_weights(self.model, average(self.progress.recent))
        scores = self.dev_sets.quality(self.model, self.tokenizer, self.device)
        bleu = sum(quality.bleu for quality in scores.values()) / len(scores)
        step = self.progress.step
        log.info("step %d: %s", step, {k: (round(q.bleu, 2), round(q.chrf, 2)) for k, q in scores.items()})
        self.curves.add_evaluation(step, {k: (q.bleu, q.chrf) for k, q in scores.items()})
        self.progress.evaluations_without_gain += 1
        if bleu > self.progress.best_bleu:
            self.progress.best_bleu, self.progress.evaluations_without_gain = bleu, 0
            save_checkpoint(self.output / BEST_FOLDER, self.model, self.tokenizer, torch.float16)
            self.dev_sets.write(self.output / BEST_FOLDER / "sentences.tsv", self.tokenizer)
        load_weights(self.model, current)
        self.curves.draw()
