"""The tokenizer of the models that are trained here: one SentencePiece vocabulary for all languages."""

from __future__ import annotations

import io
import itertools
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from model.text.normalisation import normalisation_rules, rules_as_tsv
from model.text.one_vocabulary import OneVocabulary
from model.text.special_ids import DEFAULT_SPECIAL_IDS, SpecialIds
from model.text.tokenizer import TokenizerError

PADDING_ID = DEFAULT_SPECIAL_IDS.padding
UNKNOWN_ID = DEFAULT_SPECIAL_IDS.unknown
START_ID = DEFAULT_SPECIAL_IDS.start
END_ID = DEFAULT_SPECIAL_IDS.end
FILE_NAME = "tokenizer.model"
# Private-use characters, a piece each: what stands for something that must come out as it went in.
PLACEHOLDER_CHARACTERS = "".join(map(chr, range(0xE000, 0xE008)))
# What text cannot do without, however rare it is in the corpora; the rest of Unicode is written in bytes.
_REQUIRED_CHARACTERS = "%&@€£$#/_{}[]()<>=+*\\|~^°«»“”–—…§©®™•½²³"  # noqa: RUF001 - its dash is meant


def language_tag(language: str) -> str:
    """The piece that opens a source sentence and says which language to translate into.

    >>> language_tag("it")
    '<2it>'
    """
    return f"<2{language}>"


class SentencePieceTokenizer(OneVocabulary):
    """A joint vocabulary for all languages, with byte fallback, so that no character is lost.

    A source sentence is encoded as `[tag of the target language, pieces..., END_ID]`: the tag lets
    one model serve several directions (Johnson et al. 2017, arXiv:1611.04558). Tags are control
    pieces: text that merely looks like one is encoded as text.

    Args:
        model: The serialised SentencePiece model.

    Raises:
        TokenizerError: The model is damaged or its special ids are not ours.
    """

    def __init__(self, model: bytes) -> None:
        super().__init__(model)
        ids = tuple(getattr(self._processor, name)() for name in ("pad_id", "unk_id", "bos_id", "eos_id"))
        if ids != (PADDING_ID, UNKNOWN_ID, START_ID, END_ID):
            raise TokenizerError(
                f"special ids (padding, unknown, start, end) are {ids}, must be (0, 1, 2, 3)"
            )

    @classmethod
    def load(cls, folder: Path) -> SentencePieceTokenizer:
        """Read the tokenizer that `save` wrote.

        Raises:
            TokenizerError: The file is damaged or its special ids are not ours.
        """
        return cls((folder / FILE_NAME).read_bytes())

    def save(self, folder: Path) -> None:
        """Write the SentencePiece model as tokenizer.model."""
        (folder / FILE_NAME).write_bytes(self._model)

    @property
    def special_ids(self) -> SpecialIds:
        """The ids that `train_tokenizer` gives every vocabulary."""
        return DEFAULT_SPECIAL_IDS

    @property
    def serialized(self) -> bytes:
        """The SentencePiece model as it was read."""
        return self._model

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages it has a tag for, in the order they were given in training."""
        tags = (re.fullmatch(r"<2(.+)>", self.piece(i)) for i in range(END_ID + 1, self.size))
        return tuple(tag[1] for tag in tags if tag)

    @property
    def directions(self) -> tuple[tuple[str, str], ...]:
        """From each language to each other one: a tag says which, and nothing where a source is from."""
        return tuple(itertools.permutations(self.languages, 2))

    def encode_source(
        self,
        text: str,
        target_language: str,
        *,
        source_language: str | None = None,  # noqa: ARG002 - no mark says which language a source is in
    ) -> list[int]:
        """Source text as ids, the target language's tag first and END_ID last.

        Raises:
            TokenizerError: The tokenizer has no tag for this language.
        """
        tag = self._processor.PieceToId(language_tag(target_language))
        if tag == UNKNOWN_ID:
            raise TokenizerError(f"no tag for the language {target_language!r}")
        return [tag, *self._processor.EncodeAsIds(text), END_ID]

    def encode_target(
        self,
        text: str,
        *,
        target_language: str | None = None,  # noqa: ARG002 - no target begins with its language
    ) -> list[int]:
        """Target text as ids, END_ID last and no START_ID."""
        return [*self._processor.EncodeAsIds(text), END_ID]

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """Ids to text; special pieces leave no trace."""
        return str(self._processor.DecodeIds([int(i) for i in token_ids]))


def train_tokenizer(
    sentences: Iterable[str], vocabulary_size: int, languages: Sequence[str]
) -> SentencePieceTokenizer:
    """Learn a unigram vocabulary (Kudo 2018, arXiv:1804.10959) from text of all languages together.

    Digits are pieces of their own, and what is in no piece is written in bytes, so that nothing is lost.
    Text is normalised by `model.text.normalisation`, in training and ever after.

    Args:
        sentences: Lines of every language, mixed.
        vocabulary_size: V, special pieces, language tags and 256 byte pieces included.
        languages: Codes that get a tag.

    Raises:
        TokenizerError: The text is too little for so many pieces, or has more characters than pieces.
    """
    with tempfile.NamedTemporaryFile("w", encoding="ascii", suffix=".tsv") as rule:
        rule.write(rules_as_tsv(normalisation_rules()))
        rule.flush()
        try:
            return SentencePieceTokenizer(_train(sentences, vocabulary_size, languages, rule.name))
        except RuntimeError as error:
            raise TokenizerError(f"vocabulary_size is {vocabulary_size}: {error}") from error


def _train(sentences: Iterable[str], vocabulary_size: int, languages: Sequence[str], rule: str) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        vocab_size=vocabulary_size,
        model_type="unigram",
        character_coverage=0.9999,
        byte_fallback=True,
        split_digits=True,
        control_symbols=[language_tag(language) for language in languages],
        user_defined_symbols=list(PLACEHOLDER_CHARACTERS),
        required_chars=_REQUIRED_CHARACTERS,
        normalization_rule_tsv=rule,
        pad_id=PADDING_ID,
        unk_id=UNKNOWN_ID,
        bos_id=START_ID,
        eos_id=END_ID,
        input_sentence_size=1_000_000,
        shuffle_input_sentence=False,
        num_threads=2,
        minloglevel=2,
    )
    return _without_path_of_rule(model.getvalue())


def _without_path_of_rule(serialized: bytes) -> bytes:
    """The model but for the name of the temporary file: the same text gives the same bytes."""
    proto: Any = sentencepiece_model_pb2  # its classes are made at run time
    model = proto.ModelProto.FromString(serialized)
    model.normalizer_spec.ClearField("normalization_rule_tsv")
    content: bytes = model.SerializeToString(deterministic=True)
    return content
