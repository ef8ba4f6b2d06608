"""What tokenizers of one SentencePiece file have in common. Knows nothing of PyTorch."""

from __future__ import annotations

import sentencepiece

from model.text.tokenizer import TokenizerError


class OneVocabulary:
    """A SentencePiece model whose ids mean the same piece in a source and in a target.

    Args:
        model: The serialised SentencePiece model.

    Raises:
        TokenizerError: The model is damaged.
    """

    def __init__(self, model: bytes) -> None:
        self._model = model
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)
        except RuntimeError as error:
            raise TokenizerError(f"not a SentencePiece model: {error}") from error

    @property
    def size(self) -> int:
        """V, the number of pieces."""
        return int(self._processor.GetPieceSize())

    @property
    def source_size(self) -> int:
        """V, which source and target share."""
        return self.size

    @property
    def has_one_vocabulary(self) -> bool:
        """True: there is one file."""
        return True

    def first_target_token(self, target_language: str) -> int | None:  # noqa: ARG002 - whichever it is
        """None: a target begins with its text."""
        return None

    def piece(self, token_id: int) -> str:
        """The piece behind an id, "▁" marking a space."""
        return str(self._processor.IdToPiece(token_id))

    def source_piece(self, token_id: int) -> str:
        """The piece behind an id: of a source and of a target the same."""
        return self.piece(token_id)
