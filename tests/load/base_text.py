"""Sentences for the base model: words of one token each; the first says how long the target gets."""

from __future__ import annotations

import itertools
import random
from typing import Any

from sentencepiece import sentencepiece_model_pb2

from model.text.sentencepiece_tokenizer import (
    END_ID,
    PADDING_ID,
    START_ID,
    UNKNOWN_ID,
    SentencePieceTokenizer,
    language_tag,
)
from model.text.tokenizer import Tokenizer
from tests.load.base_weights import FIRST_WORD_ID, MAX_TARGET_LENGTH, VOCABULARY_SIZE

LANGUAGES = ("en", "it")  # nobody's: artifacts have a pair, and every text may be either
_SPECIAL = {PADDING_ID: "<pad>", UNKNOWN_ID: "<unk>", START_ID: "<s>", END_ID: "</s>"}
_NUM_WORDS = VOCABULARY_SIZE - FIRST_WORD_ID
_MEDIAN_LENGTH, _LENGTH_SPREAD = 17.5, 0.5  # log-normal, as real sentences are: mean 20
_SHORTEST, _LONGEST = 5, 60


def base_tokenizer() -> Tokenizer:
    """Knows 64 length markers, `len1` to `len64`, and as many words `w0`, `w1`, ... as fit."""
    proto: Any = sentencepiece_model_pb2  # its classes are made at run time
    model = proto.ModelProto()
    kinds = model.SentencePiece
    for piece in _SPECIAL.values():
        kind = kinds.UNKNOWN if piece == "<unk>" else kinds.CONTROL
        model.pieces.add(piece=piece, score=0.0, type=kind)
    for language in LANGUAGES:
        model.pieces.add(piece=language_tag(language), score=0.0, type=kinds.CONTROL)
    for word in itertools.chain(
        (f"len{n + 1}" for n in range(MAX_TARGET_LENGTH)), (f"w{n}" for n in range(_NUM_WORDS))
    ):
        model.pieces.add(piece=f"▁{word}", score=-10.0, type=kinds.NORMAL)
    trainer = model.trainer_spec
    trainer.model_type = proto.TrainerSpec.UNIGRAM
    trainer.vocab_size = VOCABULARY_SIZE
    trainer.pad_id, trainer.unk_id, trainer.bos_id, trainer.eos_id = _SPECIAL
    trainer.pad_piece, trainer.unk_piece, trainer.bos_piece, trainer.eos_piece = _SPECIAL.values()
    model.normalizer_spec.name = "identity"
    return SentencePieceTokenizer(model.SerializeToString())


def base_text(num_source_tokens: int, num_target_tokens: int, choice: random.Random) -> str:
    """A text of given lengths, with the tag, the marker and END_ID on both sides counted."""
    words = [f"w{choice.randrange(_NUM_WORDS)}" for _ in range(num_source_tokens - 3)]
    return " ".join((f"len{num_target_tokens}", *words))


def base_texts(count: int, seed: int) -> list[str]:
    """Texts whose source lengths are as mixed as real sentences', targets about as long."""
    choice = random.Random(seed)
    texts = []
    for _ in range(count):
        source = round(choice.lognormvariate(0, _LENGTH_SPREAD) * _MEDIAN_LENGTH)
        source = min(max(source, _SHORTEST), _LONGEST)
        target = min(max(round(source * choice.gauss(1, 0.1)), _SHORTEST), MAX_TARGET_LENGTH)
        texts.append(base_text(source, target, choice))
    return texts


def target_length(text: str) -> int:
    """How many tokens its target has in every system, END_ID included."""
    return int(text.split(" ", 1)[0].removeprefix("len"))
