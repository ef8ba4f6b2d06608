"""Translators without a model, for texts with markup: they move, change or lose words."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from hypothesis import settings

from server.documents.document import Segmentation
from server.documents.markup.reading import Format, read_marked
from server.documents.markup.words import Weights, word_ranges
from server.documents.warnings import TextWarning
from tests.unit.server.documents.texts import unhurried

brief = settings(unhurried, max_examples=30)  # a page takes longer than a sentence
Translate = Callable[[str], tuple[str, Weights | None]]


def same(text: str) -> tuple[str, None]:
    return text, None


def shuffled(seed: int) -> Translate:
    """Words in another order, and a model that tells which is which."""

    def translate(text: str) -> tuple[str, Weights]:
        words = [text[start:end] for start, end in word_ranges(text)]
        order = list(range(len(words)))
        Random(seed).shuffle(order)
        weights = [[float(source == place) for source in range(len(words))] for place in order]
        return " ".join(words[place] for place in order), weights

    return translate


def forgetful(text: str) -> tuple[str, None]:
    """Fewer words, none of them of the source, and nothing told."""
    return " ".join("parola" for _ in range(len(text.split()) // 2)), None


def translated(
    text: str, form: Format, translate: Translate, segmentation: Segmentation = Segmentation.SENTENCES
) -> str:
    """A text as a translator without a model leaves it."""
    document = read_marked(text, form, "en", segmentation, lambda part: len(part) < 1000)
    inner: dict[tuple[int, int], str] = {}
    targets = []
    for segment in sorted(document.segments, key=lambda segment: not segment.is_inner):
        assert segment.skeleton is not None
        filled = segment.skeleton.filled(*translate(segment.text), {} if segment.is_inner else inner)
        if segment.is_inner:
            inner[segment.start, segment.end] = filled.text
        else:
            targets.append(filled.text)
    return document.joined(targets, ("en", "it"))[0]


def segments_of(text: str, form: Format) -> list[str]:
    """What a model is given."""
    document = read_marked(text, form, "en", Segmentation.SENTENCES, lambda part: len(part) < 1000)
    return [segment.text for segment in document.segments]


def warnings_of(text: str, form: Format) -> tuple[TextWarning, ...]:
    return read_marked(text, form, "en", Segmentation.SENTENCES, lambda _: True).warnings
