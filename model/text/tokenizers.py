"""The kinds of tokenizer that a checkpoint or an artifact may hold. Knows nothing of PyTorch."""

from __future__ import annotations

from pathlib import Path

from model.text.one_direction_tokenizer import LANGUAGES_NAME, OneDirectionTokenizer
from model.text.piece_map_tokenizer import PIECES_NAME, TARGET_NAME, PieceMapTokenizer
from model.text.sentencepiece_tokenizer import FILE_NAME, SentencePieceTokenizer
from model.text.tokenizer import Tokenizer, TokenizerError

# Beside FILE_NAME, of the kinds that need more.
OPTIONAL_FILES = (LANGUAGES_NAME, PIECES_NAME, TARGET_NAME)


def load_tokenizer(folder: Path) -> Tokenizer:
    """Read the tokenizer of a checkpoint or an artifact, of whichever kind its files are.

    Raises:
        TokenizerError: the folder holds none, or a damaged one.
    """
    if not (folder / FILE_NAME).is_file():
        raise TokenizerError(f"{folder} has no {FILE_NAME}")
    if (folder / PIECES_NAME).is_file():
        return PieceMapTokenizer.load(folder)
    if (folder / LANGUAGES_NAME).is_file():
        return OneDirectionTokenizer.load(folder)
    return SentencePieceTokenizer.load(folder)
