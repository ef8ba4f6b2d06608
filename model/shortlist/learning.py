"""Learns a vocabulary shortlist from the text that a model was trained on. Knows nothing of PyTorch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.preparation.readers import read_all
from model.shortlist.coverage import measure
from model.shortlist.lexical_alignment import lexical_table, num_links
from model.shortlist.shortlist import Shortlist, ShortlistTable
from model.text.tokenizer import Tokenizer
from model.text.tokenizers import load_tokenizer
from model.training.config import DataConfig

log = logging.getLogger("traghetto.shortlist")

MAX_LINKS = 40_000_000  # 3 GB
# The bundled model's most frequent twelfth is 80 % (Italian) and 88 % (English) of all target tokens, and
# what is always a candidate needs no room in the lists of the source tokens.
FREQUENT_SHARE = 12
# A bound on t(target | source) would cut the lists of frequent tokens, which have the most translations;
# one on the count cuts what rare tokens only happened to meet, and that is most of a table's size.
MIN_COUNT = 0.1

Sentences = list[list[int]]


def learn_shortlist(
    pairs: Sequence[tuple[str, str]],
    languages: tuple[str, str],
    tokenizer: Tokenizer,
    max_targets: int,
    *,
    max_tokens: int = 128,
    max_links: int = MAX_LINKS,
) -> Shortlist:
    """A table for each direction of sentence pairs.

    Args:
        pairs: Training text.
        languages: Of its columns.
        tokenizer: The model's.
        max_targets: Most likely translations kept for each source token.
        max_tokens: Longer sentences are left out, as they are of training.
        max_links: Bounds the memory: of pairs with more links than this together the longest are left
            out, whose links grow with the square of their length and tell the least. The number of all
            pairs left out is logged.

    Raises:
        TokenizerError: The tokenizer has no tag for a language.
    """
    columns = _tokenize(pairs, tokenizer, max_tokens, max_links)
    tables = {}
    for sources, targets, language in ((*columns, languages[1]), (*columns[::-1], languages[0])):
        tag = tokenizer.encode_source("", language)[0]
        tables[tag] = _learn_table(sources, targets, tag, tokenizer, max_targets)
    return Shortlist(tokenizer.size, tables)


def add_shortlist(checkpoint: Path, data: Path, config: DataConfig) -> Shortlist:
    """Learn a shortlist for a checkpoint, write it there and log what it covers of the dev text.

    Args:
        checkpoint: Folder with the model's tokenizer.
        data: Folder with the files that the configuration names.

    Raises:
        DataError: A data file is missing or damaged.
        TokenizerError: The tokenizer has no tag for a language.
    """
    tokenizer = load_tokenizer(checkpoint)
    pairs, dev_pairs = (
        [pair for name in names for pair in read_all(data, name, config.languages)]
        for names in (config.train, config.dev)
    )
    shortlist = learn_shortlist(
        pairs, config.languages, tokenizer, config.shortlist_candidates, max_tokens=config.max_tokens
    )
    shortlist.save(checkpoint)
    for direction, coverage in measure(shortlist, dev_pairs, config.languages, tokenizer).items():
        log.info("shortlist %s, dev: %s", direction, coverage)
    return shortlist


def _tokenize(
    pairs: Sequence[tuple[str, str]], tokenizer: Tokenizer, max_tokens: int, max_links: int
) -> tuple[Sentences, Sentences]:
    """Both columns as ids without tag and END_ID, of the pairs that fit."""
    tokenized = [tuple(tokenizer.encode_target(text)[:-1] for text in pair) for pair in pairs]
    fitting = [pair for pair in tokenized if max(map(len, pair)) + 2 <= max_tokens]  # tag and END_ID
    links = np.array([num_links(*pair) + max(map(len, pair)) for pair in fitting])  # the tag is linked too
    order = np.argsort(links, kind="stable")
    num_kept = int(np.searchsorted(np.cumsum(links[order]), max_links, side="right"))
    kept = [fitting[i] for i in sorted(order[:num_kept].tolist())]
    log.info(
        "learning a shortlist from %d pairs, %d left out as longer than %d tokens, %d over %d links",
        len(kept),
        len(pairs) - len(fitting),
        max_tokens,
        len(fitting) - len(kept),
        max_links,
    )
    return [first for first, _ in kept], [second for _, second in kept]


def _learn_table(
    sources: Sentences, targets: Sentences, tag: int, tokenizer: Tokenizer, max_targets: int
) -> ShortlistTable:
    size = tokenizer.size
    is_always = _always(targets, tokenizer)  # (V)
    table = lexical_table([[tag, *source] for source in sources], targets, size)
    table = table.selected((table.sources != tag) & ~is_always[table.targets])
    table = table.pruned(max_targets, MIN_COUNT)
    offsets = np.searchsorted(table.sources, np.arange(size + 1))  # (V + 1)
    return ShortlistTable(is_always=is_always, offsets=offsets, targets=table.targets)


def _always(targets: Sentences, tokenizer: Tokenizer) -> NDArray[np.bool_]:
    """(V), True for END_ID, digits, punctuation and the most frequent target tokens.

    Not for bytes: they spell what the vocabulary lacks, and that is copied from the source.
    """
    tokens = np.array([token for target in targets for token in target], dtype=np.int64)
    counts = np.bincount(tokens, minlength=tokenizer.size)  # (V)
    frequent = np.argsort(-counts, kind="stable")[: tokenizer.size // FREQUENT_SHARE]
    is_always = np.zeros(tokenizer.size, dtype=np.bool_)
    is_always[frequent[counts[frequent] > 0]] = True
    # Special pieces and bytes, <s> or <0x41>, have letters in their names.
    no_letter = [i for i in range(tokenizer.size) if not any(map(str.isalpha, tokenizer.piece(i)))]
    is_always[[tokenizer.special_ids.end, *no_letter]] = True
    return is_always
