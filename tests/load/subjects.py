"""What the bench measures: a model in every system's form, and the sentences that it translates."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

from model.checkpoint import load_checkpoint
from model.evaluation.quality import Quality, evaluate
from model.networks.transformer import Transformer
from model.text.parallel_text import read_pairs
from model.text.tokenizer import Tokenizer
from model.text.tokenizers import load_tokenizer
from tests.load.base_model import base_artifact, base_checkpoint, base_texts
from tests.load.ctranslate2_peer import ctranslate2_model

MODELS = ("bundled", "base")
NUM_CORES = len(os.sched_getaffinity(0))
_ROOT = Path(__file__).parents[2]
_TEST_SETS = ("tatoeba.test.tsv.gz", "flores.dev.tsv.gz")
_PAIRS_PER_SET = 400
_NUM_BASE_TEXTS = 1000
_BASE_SEED = 7


class Translator(Protocol):
    """Ours or a peer: ids in, ids out."""

    def translate(
        self, sources: Sequence[Sequence[int]], beam_size: int, max_target_tokens: int
    ) -> list[list[int]]:
        """Best targets of source ids (tag and END_ID included), END_ID left out."""

    def translate_one(self, source: Sequence[int], beam_size: int, max_target_tokens: int) -> list[int]:
        """Translate one source alone."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One model and its sentences, in random order.

    Args:
        name: "bundled" or "base".
        checkpoint: Its weights in PyTorch.
        artifact: Ours, in int8.
        build: The folder for what is made of it.
        sources: Token ids, tag and END_ID included.
        references: A person's translations; None where there is nothing to translate.
    """

    name: str
    checkpoint: Path
    artifact: Path
    build: Path
    sources: tuple[tuple[int, ...], ...]
    references: tuple[str, ...] | None

    @cached_property
    def model(self) -> Transformer:
        """Its weights, loaded once."""
        model = load_checkpoint(self.checkpoint)[0]
        assert isinstance(model, Transformer)
        return model

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """Of all its forms."""
        return load_tokenizer(self.checkpoint)

    @cached_property
    def ctranslate2_folder(self) -> Path:
        """Our weights in CTranslate2's int8."""
        folder = self.build / "bench/ctranslate2" / f"{self.name}-int8"
        return ctranslate2_model(self.model, self.tokenizer, folder)

    def first(self, count: int) -> Subject:
        """This text, cut to so many sentences at most."""
        references = None if self.references is None else self.references[:count]
        return replace(self, sources=self.sources[:count], references=references)

    def quality(self, targets: Sequence[Sequence[int]]) -> Quality | None:
        """BLEU and chrF of targets, one for each source, where there are references."""
        if self.references is None:
            return None
        return evaluate([self.tokenizer.detokenize(ids) for ids in targets], self.references)


def subject(name: str, build: Path, data: Path | None) -> Subject:
    """Make what a model needs, where it is not there yet.

    Args:
        name: One of MODELS.
        build: The folder for what is made.
        data: The folder with the test sets for the bundled model; None takes the sentences of the tests.
    """
    return _base(build) if name == "base" else _bundled(build, data)


def _base(build: Path) -> Subject:
    checkpoint = base_checkpoint(build / "bench/base")
    tokenizer = load_tokenizer(checkpoint)
    texts = base_texts(_NUM_BASE_TEXTS, _BASE_SEED)
    return Subject(
        name="base",
        checkpoint=checkpoint,
        artifact=base_artifact(build),
        build=build,
        sources=tuple(tuple(tokenizer.encode_source(text, "it")) for text in texts),
        references=None,
    )


def _bundled(build: Path, data: Path | None) -> Subject:
    checkpoint = _ROOT / "model/pretrained/en-it"
    tokenizer = load_tokenizer(checkpoint)
    both = [
        row
        for english, italian in _pairs(data)
        for row in ((english, "it", italian), (italian, "en", english))
    ]
    random.Random(0).shuffle(both)
    return Subject(
        name="bundled",
        checkpoint=checkpoint,
        artifact=_ROOT / "export/artifacts/en-it",
        build=build,
        sources=tuple(tuple(tokenizer.encode_source(text, language)) for text, language, _ in both),
        references=tuple(reference for _, _, reference in both),
    )


def _pairs(data: Path | None) -> list[tuple[str, str]]:
    """A random part of the test sets, the same in every run."""
    if data is None:
        return read_pairs(_ROOT / "tests/data/en-it.tsv")
    choice = random.Random(0)
    return [pair for name in _TEST_SETS for pair in choice.sample(read_pairs(data / name), _PAIRS_PER_SET)]
