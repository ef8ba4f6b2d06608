"""Pairs as examples of both directions: put into other forms, tokenized, and written as shards."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random

from model.preparation.augment import Augmenter, in_title_case
from model.preparation.inventions import Inventions
from model.preparation.shards import ShardWriter
from model.text.tokenizer import Tokenizer

Texts = tuple[str, str]
Direction = tuple[str, str, str]  # source, target, the target's language

_NAME = re.compile(r"(?<=[a-zà-ù,] )[A-Z][^\W\d_]{2,}\b")
_SLOT = re.compile(r"\{(name|number|url|email|placeholder)(?:_\w+)?\}")


def names_in(pairs: Iterable[Texts]) -> list[str]:
    """Words with a capital inside a sentence that stand on both sides: names that are written alike.

    Example:
        >>> names_in([("I met Rossi on Monday.", "Lunedì ho visto Rossi.")])
        ['Rossi']
    """
    names: set[str] = set()
    for first, second in pairs:
        names |= set(_NAME.findall(first)) & set(_NAME.findall(second))
    return sorted(names)


def directions(
    pairs: Iterable[Texts],
    languages: tuple[str, str],
    augmenter: Augmenter | None,
    title_case: float,
    chance: Random,
) -> Iterator[Direction]:
    """Each pair from the first language into the second, and back.

    Args:
        augmenter: Puts pairs into other forms; None leaves them as they are.
        title_case: Share of sources that come in title case, with a target as it is: headlines.
    """
    for pair in pairs:
        first, second = augmenter.form(*pair) if augmenter else pair
        for source, target, language in ((first, second, languages[1]), (second, first, languages[0])):
            is_headline = chance.random() < title_case
            yield in_title_case(source) if is_headline else source, target, language


def filled_templates(
    templates: list[Texts], count: int, inventions: Inventions, chance: Random
) -> Iterator[Texts]:
    """Pairs made from templates: a slot of one name, {name} or {name_2}, has one filling on both sides.

    Raises:
        KeyError: a slot stands on the second side alone.
    """
    for _ in range(count if templates else 0):
        first, second = chance.choice(templates)
        fillings = {match.group(): getattr(inventions, match[1])() for match in _SLOT.finditer(first)}
        yield (
            _SLOT.sub(lambda match, fillings=fillings: fillings[match.group()], first),  # type: ignore[misc]
            _SLOT.sub(lambda match, fillings=fillings: fillings[match.group()], second),  # type: ignore[misc]
        )


def write_examples(
    examples: Iterable[Direction], tokenizer: Tokenizer, max_tokens: int, folder: Path
) -> tuple[int, int]:
    """Tokenize examples into a corpus' shards.

    Returns:
        How many were written, and how many were left out because a side has more than max_tokens tokens.
    """
    num_written = num_too_long = 0
    with ShardWriter(folder) as writer:
        for source_text, target_text, language in examples:
            source = tokenizer.encode_source(source_text, language)
            target = tokenizer.encode_target(target_text, target_language=language)
            if max(len(source), len(target)) > max_tokens:
                num_too_long += 1
            else:
                writer.add(source, target)
                num_written += 1
    return num_written, num_too_long
