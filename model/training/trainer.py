"""The trainer: teacher forcing, snapshots that survive a kill, and a model averaged over the last of them."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from model.checkpoint import load_weights, save_checkpoint, unique_weights
from model.evaluation.quality import evaluate
from model.networks.build import build_model
from model.networks.config import ConfigError
from model.preparation.prepare import is_prepared
from model.searches.beam_search import greedy_search_batch
from model.text.parallel_text import DataError, read_pairs
from model.text.sentencepiece_tokenizer import FILE_NAME, train_tokenizer
from model.text.tokenizer import Tokenizer
from model.text.tokenizers import load_tokenizer
from model.training.batches import Example, both_directions, concatenated, epoch_batches, make_batch, pad
from model.training.config import RunConfig, TrainingConfig
from model.training.curves import Curves
from model.training.prepared_examples import PreparedExamples

log = logging.getLogger("traghetto.train")

SNAPSHOT_NAME = "snapshot.pt"
BEST_FOLDER = "best"
DEV_BATCH = 64


def learning_rate(step: int, config: TrainingConfig) -> float:
    """Linear warm-up, then peak · √(warmup / step), and a linear fall to zero at the end.

    Args:
        step: From 1.

    Source: Vaswani et al. 2017, arXiv:1706.03762, equation 3, scaled to a given peak.
    """
    rate: float = config.learning_rate * min(step / config.warmup_steps, (config.warmup_steps / step) ** 0.5)
    if config.cooldown_steps:
        rate *= min(1.0, (config.max_steps - step + 1) / config.cooldown_steps)
    return rate


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """bf16 for matrix products if asked for and the processor or GPU multiplies in it, else fp32."""
    if precision != "bf16":
        return torch.autocast(device.type, enabled=False)
    if device.type == "cuda":
        has_bf16 = torch.cuda.is_bf16_supported()
    else:
        has_bf16 = torch.cpu._is_avx512_bf16_supported()  # noqa: SLF001 - there is no public question
    return torch.autocast(device.type, torch.bfloat16, enabled=has_bf16)


@dataclass
class Progress:
    """Where a run stands; saved with each snapshot."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    target_tokens: int = 0
    best_bleu: float = -1.0
    evaluations_without_gain: int = 0
    recent: list[dict[str, Tensor]] = field(default_factory=list)


def average(snapshots: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each weight over snapshots (Vaswani et al. 2017, section 6.1)."""
    return {name: torch.stack([s[name] for s in snapshots]).mean(dim=0) for name in snapshots[0]}


class Trainer:
    """Trains one model into a folder; started again on the same folder it goes on where it was.

    Args:
        run: The configuration.
        data: Folder that holds the files it names.
        output: Receives tokenizer, snapshot.pt, best/, curves.csv and curves.png.
        device: Where to train.
        initial: Weights to start from, as `unique_weights` names them.
    """

    def __init__(
        self,
        run: RunConfig,
        data: Path,
        output: Path,
        device: torch.device,
        tokenizer: Tokenizer | None = None,
        initial: dict[str, Tensor] | None = None,
    ) -> None:
        torch.manual_seed(run.training.seed)
        self.run, self.config, self.output, self.device = run, run.training, output, device
        output.mkdir(parents=True, exist_ok=True)
        shards = data if is_prepared(data) else None
        names = () if shards else run.data.train
        train_pairs = [pair for name in names for pair in read_pairs(data / name)]
        self.dev_pairs = _sample(read_pairs(data / run.data.dev), run.data.dev_sentences, run.training.seed)
        prepared = load_tokenizer(shards) if shards else None
        self.tokenizer = tokenizer or prepared or self._tokenizer(train_pairs)
        if prepared and prepared.serialized != self.tokenizer.serialized:
            raise ConfigError(f"{shards} was prepared with another tokenizer than the checkpoint's")
        self.special_ids = run.model.special_ids
        if self.tokenizer.special_ids != self.special_ids:
            raise ConfigError(
                f"model: special_ids are {self.special_ids}, the tokenizer's are {self.tokenizer.special_ids}"
            )
        self._check_vocabulary(output)
        self.tokenizer.save(output)
        self.examples: Sequence[Example] = self._prepared(shards) if shards else self._examples(train_pairs)
        if not self.examples:
            raise DataError(f"no example is left to train on: {run.data.max_tokens} tokens are the limit")
        self.model = build_model(run.model).to(device)
        if initial is not None:
            load_weights(self.model, initial)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            betas=(0.9, 0.98),
            eps=1e-9,
            weight_decay=run.training.weight_decay,
            fused=True,
        )
        self.progress = Progress()
        self.curves = Curves(output)
        self._resume()

    def _tokenizer(self, pairs: list[tuple[str, str]]) -> Tokenizer:
        if (self.output / FILE_NAME).is_file():
            return load_tokenizer(self.output)
        log.info("learning a vocabulary of %d pieces", self.run.data.vocabulary_size)
        text = dict.fromkeys(sentence for pair in pairs for sentence in pair)
        return train_tokenizer(text, self.run.data.vocabulary_size, self.run.data.languages)

    def _examples(self, pairs: list[tuple[str, str]]) -> list[Example]:
        whole = [pair for pair in pairs if all(text.strip() for text in pair)]
        if len(whole) < len(pairs):
            log.warning("%d pairs with an empty side are left out", len(pairs) - len(whole))
        pairs = whole
        data, limit = self.run.data, self.run.data.max_tokens
        joined = concatenated(pairs, data.concatenated_pairs, data.max_concatenated, self.config.seed)
        examples = both_directions([*pairs, *joined], data.languages, self.tokenizer)
        kept = [e for e in examples if max(len(e.source), len(e.target)) <= limit]
        left_out = len(examples) - len(kept)
        log.info("%d examples, %d left out as longer than %d tokens", len(kept), left_out, limit)
        return kept

    def _check_vocabulary(self, output: Path) -> None:
        """Refuse a tokenizer that is not the model's, before any time is spent on it.

        Raises:
            ConfigError: its size is another, or the run in the output has been trained with another.
        """
        size, expected = self.tokenizer.size, self.run.model.vocabulary_size
        if size != expected:
            raise ConfigError(f"the tokenizer has {size} pieces, data.vocabulary_size is {expected}")
        is_begun = (output / SNAPSHOT_NAME).is_file()
        if is_begun and load_tokenizer(output).serialized != self.tokenizer.serialized:
            raise ConfigError(f"{output} was trained with another tokenizer")

    def _prepared(self, shards: Path) -> Sequence[Example]:
        corpora = self.run.preparation.corpora if self.run.preparation else {}
        weights = {name: corpus.weight for name, corpus in corpora.items()}
        examples = PreparedExamples(shards, weights, self.config.seed)
        log.info("%d examples, prepared", len(examples))
        return examples

    def _resume(self) -> None:
        path = self.output / SNAPSHOT_NAME
        if path.is_file():
            saved = torch.load(path, map_location="cpu", weights_only=True)
            load_weights(self.model, saved["weights"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.progress = Progress(**saved["progress"])
            torch.set_rng_state(saved["random_state"])
            if torch.cuda.is_available() and saved["cuda_random_states"]:
                torch.cuda.set_rng_state_all(saved["cuda_random_states"])
            log.info("resumed at step %d", self.progress.step)
        self.curves.rewind(self.progress.step)

    def _remember(self) -> None:
        weights = {name: tensor.to("cpu", copy=True) for name, tensor in unique_weights(self.model).items()}
        self.progress.recent = [*self.progress.recent, weights][-self.config.average_checkpoints :]

    def _save_snapshot(self) -> None:
        saved = {
            "weights": self.progress.recent[-1],
            "optimizer": self.optimizer.state_dict(),
            "progress": vars(self.progress),
            "random_state": torch.get_rng_state(),
            "cuda_random_states": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        unfinished = self.output / (SNAPSHOT_NAME + ".part")
        torch.save(saved, unfinished)
        unfinished.replace(self.output / SNAPSHOT_NAME)

    def train(self, max_steps: int | None = None) -> float:
        """Train to the configured end, or to max_steps if that comes first.

        Returns:
            The best dev BLEU, mean of both directions.
        """
        last = min(self.config.max_steps, max_steps or self.config.max_steps)
        steps = tqdm(total=last, initial=self.progress.step, unit="step", dynamic_ncols=True)
        started, tokens = time.monotonic(), 0
        batches = self._batches()
        while self.progress.step < last and self.progress.evaluations_without_gain < self.config.patience:
            loss, count = self._step(next(batches))
            steps.update()
            tokens += count
            step = self.progress.step
            if step % 50 == 0 or step == last:
                rate = tokens / (time.monotonic() - started)
                steps.set_postfix(loss=f"{loss:.3f}", tokens_per_second=f"{rate:.0f}")
                self.curves.add_step(step, loss, learning_rate(step, self.config), rate)
                started, tokens = time.monotonic(), 0
            is_evaluated = step % self.config.evaluate_steps == 0 or step == last
            if is_evaluated or step % self.config.snapshot_steps == 0:
                self._remember()
                if is_evaluated:
                    self._evaluate()
                self._save_snapshot()
                started, tokens = time.monotonic(), 0
        steps.close()
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
        self.model.train()
        self.progress.step += 1
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.progress.step, self.config)
        batch = make_batch([self.examples[i] for i in indices], self.special_ids)
        target_output = batch.target_output.to(self.device)
        with autocast(self.device, self.config.precision):
            logits = self.model(batch.source.to(self.device), batch.target_input.to(self.device))  # (B, T, V)
        loss = nn.functional.cross_entropy(
            logits.float().flatten(0, 1),
            target_output.flatten(),
            ignore_index=self.special_ids.padding,
            label_smoothing=self.config.label_smoothing,
        )
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.optimizer.step()
        count = int((batch.target_output != self.special_ids.padding).sum())
        self.progress.target_tokens += count
        return float(loss.detach()), count

    def _evaluate(self) -> None:
        current = {name: tensor.clone() for name, tensor in unique_weights(self.model).items()}
        load_weights(self.model, average(self.progress.recent))
        scores = self.dev_quality()
        bleu = sum(quality.bleu for quality in scores.values()) / len(scores)
        step = self.progress.step
        log.info("step %d: %s", step, {k: (round(q.bleu, 2), round(q.chrf, 2)) for k, q in scores.items()})
        self.curves.add_evaluation(step, {k: (q.bleu, q.chrf) for k, q in scores.items()})
        self.progress.evaluations_without_gain += 1
        if bleu > self.progress.best_bleu:
            self.progress.best_bleu, self.progress.evaluations_without_gain = bleu, 0
            save_checkpoint(self.output / BEST_FOLDER, self.model, self.tokenizer, torch.float16)
            self._save_sentences()
        load_weights(self.model, current)
        self.curves.draw()

    def _save_sentences(self) -> None:
        lines = "".join(f"{a}\t{b}\n" for a, b in self.dev_pairs)
        (self.output / BEST_FOLDER / "sentences.tsv").write_text(lines, encoding="utf-8")

    def dev_quality(self) -> dict[str, Any]:
        """BLEU and chrF of greedy translations of the dev pairs, by direction "en-it"."""
        self.model.eval()
        first, second = self.run.data.languages
        scores = {}
        for one, other, pairs in (
            (first, second, self.dev_pairs),
            (second, first, [(b, a) for a, b in self.dev_pairs]),
        ):
            sources = [self.tokenizer.encode_source(a, other, source_language=one) for a, _ in pairs]
            scores[f"{one}-{other}"] = evaluate(self._translate(sources), [b for _, b in pairs])
        return scores

    def _translate(self, sources: list[list[int]]) -> list[str]:
        texts = [""] * len(sources)
        order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
        for start in range(0, len(order), DEV_BATCH):
            chosen = order[start : start + DEV_BATCH]
            source = pad([sources[i] for i in chosen], self.special_ids.padding).to(self.device)
            limit = 2 * source.shape[1] + 10
            with autocast(self.device, self.config.precision):
                rows = greedy_search_batch(self.model, source, source == self.special_ids.padding, limit)
            for i, row in zip(chosen, rows, strict=True):
                texts[i] = self.tokenizer.detokenize(row)
        return texts


def _sample(pairs: list[tuple[str, str]], count: int, seed: int) -> list[tuple[str, str]]:
    return random.Random(seed).sample(pairs, min(count, len(pairs)))
