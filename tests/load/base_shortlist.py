"""A crafted shortlist for the base model, with the numbers of one that was learned from text."""

from __future__ import annotations

import numpy as np

from model.shortlist.shortlist import Shortlist, ShortlistTable
from model.text.sentencepiece_tokenizer import END_ID
from model.text.tokenizer import Tokenizer
from tests.load.base_weights import FIRST_WORD_ID, NUM_FREQUENT, VOCABULARY_SIZE

# As in the bundled model's, where 604 words are candidates of every sentence.
_TARGETS_PER_TOKEN = 12


def base_shortlist(tokenizer: Tokenizer) -> Shortlist:
    """For each language the same table: the frequent words for every sentence, others by Zipf's law.

    A sentence of 20 tokens then has about 1,100 candidates, 32 of them together 3,600; of the bundled model's
    they have 900 and 2,200.
    """
    ranks = np.random.default_rng(0).random((VOCABULARY_SIZE, _TARGETS_PER_TOKEN))
    words = np.floor((VOCABULARY_SIZE - FIRST_WORD_ID) ** ranks).astype(np.int64) - 1
    is_always = np.zeros(VOCABULARY_SIZE, np.bool_)
    is_always[[END_ID, *range(FIRST_WORD_ID, FIRST_WORD_ID + NUM_FREQUENT)]] = True
    table = ShortlistTable(
        is_always=is_always,
        offsets=np.arange(VOCABULARY_SIZE + 1) * _TARGETS_PER_TOKEN,
        targets=(FIRST_WORD_ID + words).ravel(),
    )
    return Shortlist(
        VOCABULARY_SIZE, {tokenizer.encode_source("", code)[0]: table for code in tokenizer.languages}
    )
