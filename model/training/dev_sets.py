"""The dev sets of a run: sampled once, translated greedily in both directions, scored one by one."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from model.evaluation.quality import Quality, evaluate
from model.networks.encoder_decoder import EncoderDecoder
from model.preparation.readers import read_all
from model.searches.beam_search import greedy_search_batch
from model.text.tokenizer import Tokenizer
from model.training.batches import directions_of, pad
from model.training.config import RunConfig
from model.training.schedule import autocast

DEV_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class DevSets:
    """Dev pairs by file, each set as large as the configuration says.

    Args:
        pairs: By the file's name.
        languages: Of the two columns.
        precision: Of matrix products, as in training.
    """

    pairs: dict[str, list[tuple[str, str]]]
    languages: tuple[str, str]
    precision: str

    def quality(
        self, model: EncoderDecoder, tokenizer: Tokenizer, device: torch.device
    ) -> dict[str, Quality]:
        """BLEU and chrF by direction "en-it"; with several files by file and direction."""
        model.eval()
        scores = {}
        for name, pairs in self.pairs.items():
            mark = f"{name} " if len(self.pairs) > 1 else ""
            columns = dict(zip(self.languages, zip(*pairs, strict=True), strict=True))
            for one, other in directions_of(self.languages, tokenizer):
                sources = [tokenizer.encode_source(text, other, source_language=one) for text in columns[one]]
                texts = self._translate(sources, model, tokenizer, device)
                scores[f"{mark}{one}-{other}"] = evaluate(texts, columns[other])
        return scores

    def _translate(
        self, sources: Sequence[list[int]], model: EncoderDecoder, tokenizer: Tokenizer, device: torch.device
    ) -> list[str]:
        texts = [""] * len(sources)
        padding = tokenizer.special_ids.padding
        order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
        for start in range(0, len(order), DEV_BATCH):
            chosen = order[start : start + DEV_BATCH]
            source = pad([sources[i] for i in chosen], padding).to(device)
            limit = 2 * source.shape[1] + 10
            with autocast(device, self.precision):
                rows = greedy_search_batch(model, source, source == padding, limit)
            for i, row in zip(chosen, rows, strict=True):
                texts[i] = tokenizer.detokenize(row)
        return texts

    def write(self, path: Path) -> None:
        """All pairs as tab-separated lines: what an export's proof translates."""
        lines = (f"{a}\t{b}\n" for pairs in self.pairs.values() for a, b in pairs)
        path.write_text("".join(lines), encoding="utf-8")


def load_dev_sets(run: RunConfig, data: Path) -> DevSets:
    """Sample the dev files of a data folder.

    Raises:
        DataError: a file is missing or damaged.
    """
    count, seed = run.data.dev_sentences, run.training.seed
    pairs = {}
    for name in run.data.dev:
        lines = read_all(data, name, run.data.languages)
        pairs[name] = random.Random(seed).sample(lines, min(count, len(lines)))
    return DevSets(pairs=pairs, languages=run.data.languages, precision=run.training.precision)
