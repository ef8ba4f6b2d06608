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
from model.text.parallel_text import DataError
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
                translate = _Translator(model, tokenizer, device, self.precision, one, other)
                scores[f"{mark}{one}-{other}"] = evaluate(translate(columns[one]), columns[other])
        return scores

    def write(self, path: Path, tokenizer: Tokenizer) -> None:
        """All pairs as tab-separated lines, for an export: languages in the order of the tokenizer."""
        is_turned = [i for i in tokenizer.languages if i in self.languages] == [*reversed(self.languages)]
        lines = []
        for pairs in self.pairs.values():
            for pair in pairs:
                first, second = (" ".join(text.split()) for text in pair)
                lines.append(f"{second}\t{first}\n" if is_turned else f"{first}\t{second}\n")
        path.write_text("".join(lines), encoding="utf-8")


@dataclass(frozen=True)
class _Translator:
    """Greedy translations in one direction."""

    model: EncoderDecoder
    tokenizer: Tokenizer
    device: torch.device
    precision: str
    source_language: str
    target_language: str

    def __call__(self, texts: Sequence[str]) -> list[str]:
        encode = self.tokenizer.encode_source
        sources = [encode(text, self.target_language, source_language=self.source_language) for text in texts]
        translations = [""] * len(sources)
        order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
        for start in range(0, len(order), DEV_BATCH):
            chosen = order[start : start + DEV_BATCH]
            for i, row in zip(chosen, self._rows([sources[i] for i in chosen]), strict=True):
                translations[i] = self.tokenizer.detokenize(row)
        return translations

    def _rows(self, sources: Sequence[list[int]]) -> list[list[int]]:
        source = pad(sources, self.tokenizer.special_ids.padding)  # whose id may also be the end's
        lengths = torch.tensor([len(ids) for ids in sources])
        is_padding = torch.arange(source.shape[1]) >= lengths[:, None]  # (B, S)
        first_token = self.tokenizer.first_target_token(self.target_language)
        with autocast(self.device, self.precision):
            return greedy_search_batch(
                self.model,
                source.to(self.device),
                is_padding.to(self.device),
                2 * source.shape[1] + 10,
                first_token,
            )


def load_dev_sets(run: RunConfig, data: Path) -> DevSets:
    """Sample the dev files of a data folder.

    Raises:
        DataError: a file is missing, damaged or empty.
    """
    count, seed = run.data.dev_sentences, run.training.seed
    pairs = {}
    for name in run.data.dev:
        lines = read_all(data, name, run.data.languages)
        if not lines:
            raise DataError(f"{data / name} has no pair of {' and '.join(run.data.languages)}")
        pairs[name] = random.Random(seed).sample(lines, min(count, len(lines)))
    return DevSets(pairs=pairs, languages=run.data.languages, precision=run.training.precision)
