"""What a run learns from: its tokenizer, and its examples in memory or prepared on disk."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from model.networks.config import ConfigError
from model.preparation.prepare import is_prepared
from model.preparation.readers import read_all
from model.text.sentencepiece_tokenizer import FILE_NAME, train_tokenizer
from model.text.tokenizer import Tokenizer, TokenizerError, listed_directions
from model.text.tokenizers import load_tokenizer
from model.training.batches import Example, both_directions, concatenated, directions_of
from model.training.config import RunConfig
from model.training.prepared_examples import PreparedExamples
from model.training.snapshots import SNAPSHOT_NAME

log = logging.getLogger("traghetto.train")

Pairs = list[tuple[str, str]]


def training_pairs(run: RunConfig, data: Path) -> Pairs:
    """The pairs of all training files; none of a folder that is prepared, which has examples instead.

    Raises:
        DataError: a file is missing or damaged.
    """
    names = () if is_prepared(data) else run.data.train
    return [pair for name in names for pair in read_all(data, name, run.data.languages)]


def run_tokenizer(
    run: RunConfig, pairs: Pairs, data: Path, output: Path, initial: Tokenizer | None
) -> Tokenizer:
    """The tokenizer of the weights that a run starts from, of its shards, of its output, or a new one.

    Raises:
        ConfigError: it is not the shards', the model's, or that of the run in the output.
    """
    prepared = load_tokenizer(data) if is_prepared(data) else None
    tokenizer = initial or prepared or _learnt(run, pairs, output)
    if prepared and prepared.serialized != tokenizer.serialized:
        raise ConfigError(f"{data} was prepared with another tokenizer than the checkpoint's")
    if tokenizer.special_ids != run.model.special_ids:
        raise ConfigError(
            f"model: special_ids are {run.model.special_ids}, the tokenizer's are {tokenizer.special_ids}"
        )
    if tokenizer.size != run.model.vocabulary_size:
        raise ConfigError(
            f"the tokenizer has {tokenizer.size} pieces, data.vocabulary_size is {run.model.vocabulary_size}"
        )
    if not directions_of(run.data.languages, tokenizer):
        known = listed_directions(tokenizer.directions)
        raise ConfigError(f"data.languages is {list(run.data.languages)}, the model translates {known}")
    if run.data.shortlist_candidates and not _has_tags(tokenizer, run.data.languages):
        raise ConfigError("data.shortlist_candidates is for models with a tag for each target language")
    is_begun = (output / SNAPSHOT_NAME).is_file()
    if is_begun and load_tokenizer(output).serialized != tokenizer.serialized:
        raise ConfigError(f"{output} was trained with another tokenizer")
    return tokenizer


def _has_tags(tokenizer: Tokenizer, languages: tuple[str, str]) -> bool:
    """Whether a tag for the target's language is all that a text is marked with."""
    try:
        for language in languages:
            tokenizer.encode_source("", language)
            tokenizer.encode_target("")
    except TokenizerError:
        return False
    return True


def _learnt(run: RunConfig, pairs: Pairs, output: Path) -> Tokenizer:
    if (output / FILE_NAME).is_file():
        return load_tokenizer(output)
    size = run.model.vocabulary_size
    log.info("learning a vocabulary of %d pieces", size)
    text = dict.fromkeys(sentence for pair in pairs for sentence in pair)
    return train_tokenizer(text, size, run.data.languages)


def examples_of(run: RunConfig, pairs: Pairs, tokenizer: Tokenizer) -> list[Example]:
    """Both directions of all pairs, and of pairs that are joined, as long as they fit."""
    whole = [pair for pair in pairs if all(text.strip() for text in pair)]
    if len(whole) < len(pairs):
        log.warning("%d pairs with an empty side are left out", len(pairs) - len(whole))
    data, limit = run.data, run.data.max_tokens
    joined = concatenated(whole, data.concatenated_pairs, data.max_concatenated, run.training.seed)
    examples = both_directions([*whole, *joined], data.languages, tokenizer)
    kept = [e for e in examples if max(len(e.source), len(e.target)) <= limit]
    left_out = len(examples) - len(kept)
    log.info("%d examples, %d left out as longer than %d tokens", len(kept), left_out, limit)
    return kept


def prepared_examples(run: RunConfig, shards: Path) -> Sequence[Example]:
    """The examples of a prepared folder, each corpus as often as its weight says.

    Raises:
        DataError: the folder is damaged.
    """
    corpora = run.preparation.corpora if run.preparation else {}
    weights = {name: corpus.weight for name, corpus in corpora.items()}
    examples = PreparedExamples(shards, weights, run.training.seed)
    log.info("%d examples, prepared", len(examples))
    return examples
