"""What an artifact's graphs are called: the keys in its manifest, and the stems of their files."""

from __future__ import annotations

from enum import StrEnum


class GraphName(StrEnum):
    """One graph of an artifact; each member equals its string and hashes like it.

    Attributes:
        ENCODER: Sources to rows of the memory pools.
        DECODER_STEP: One token of each hypothesis to the next one's logits.
        LOG_PROBS: Logits to log-probabilities.
        CANDIDATES: Log-probabilities to the best of them.
        ATTENTION: A step's queries to its attention, where the step gives queries.
        COPY_CACHES: Columns of the caches over others, where there are caches.
        DECODER_HIDDEN: A decoder step without its output layer, for a shortlist.
        OUTPUT_COLUMNS: The output layer's weights of given tokens, for a shortlist.
        SHORTLIST_LOGITS: Hidden states and such weights to logits, for a shortlist.

    >>> GraphName.DECODER_STEP == "decoder_step"
    True
    >>> f"{GraphName.ENCODER}.onnx"
    'encoder.onnx'
    """

    ENCODER = "encoder"
    DECODER_STEP = "decoder_step"
    LOG_PROBS = "log_probs"
    CANDIDATES = "candidates"
    ATTENTION = "attention"
    COPY_CACHES = "copy_caches"
    DECODER_HIDDEN = "decoder_hidden"
    OUTPUT_COLUMNS = "output_columns"
    SHORTLIST_LOGITS = "shortlist_logits"


OF_EVERY_MODEL = frozenset(
    {GraphName.ENCODER, GraphName.DECODER_STEP, GraphName.LOG_PROBS, GraphName.CANDIDATES}
)
OF_A_SHORTLIST = frozenset({GraphName.DECODER_HIDDEN, GraphName.OUTPUT_COLUMNS, GraphName.SHORTLIST_LOGITS})
