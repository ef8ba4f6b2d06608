"""Languages as people and foreign files write them: codes, marks, and the names of files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from model.importers.errors import ForeignModelError
from model.text.language_codes import is_language_code
from model.text.piece_map import is_language_mark

ALL_TARGETS = "*"
_PAIR_IN_NAME = re.compile(r"model\.([a-z]{2})([a-z]{2})\.")


def language_code(text: str) -> str:
    """A code in the form in which clients ask for it.

    Raises:
        ForeignModelError: It has no such form.

    >>> language_code("zho_Hans")
    'zho-Hans'
    """
    code = text.replace("_", "-")
    if not is_language_code(code):
        raise ForeignModelError(f"{text!r} is no BCP-47 language code, say with --languages what is meant")
    return code


def language_codes(text: str) -> tuple[str, ...]:
    """Codes with commas between them.

    Raises:
        ForeignModelError: One has not the form of a code, or stands twice.
    """
    codes = tuple(map(language_code, text.split(",")))
    if len(set(codes)) < len(codes):
        raise ForeignModelError(f"languages are {text!r}, must be different codes")
    return codes


def one_each(languages: tuple[str, str]) -> tuple[str, str]:
    """The codes of a model of one direction.

    Raises:
        ForeignModelError: There are several for a side.
    """
    source, target = map(language_codes, languages)
    if len(source) > 1 or len(target) > 1:
        raise ForeignModelError(f"languages are {' and '.join(languages)}, must be one code for each side")
    return source[0], target[0]


def languages_in_name(path: Path) -> tuple[str, str]:
    """Source and target of a model that is called `model.enpt.….bin`.

    Raises:
        ForeignModelError: It is called something else.
    """
    match = _PAIR_IN_NAME.match(path.name)
    if match is None:
        raise ForeignModelError(f"{path.name} does not name its languages: use --languages")
    return match[1], match[2]


def marked_targets(pieces: Iterable[str], targets: str | None) -> dict[str, str | None]:
    """By each target language the mark that asks for it; None where a model has no marks.

    Args:
        pieces: Of the source's vocabulary.
        targets: Codes with commas between them; None or `ALL_TARGETS` for all that there are marks of.

    Raises:
        ForeignModelError: A code has no mark, several codes have none, or there is neither code nor mark.
    """
    by_code = {piece[2:-2].replace("_", "-"): piece for piece in pieces if is_language_mark(piece)}
    if targets is None or (targets == ALL_TARGETS and by_code):
        return {language_code(code): mark for code, mark in by_code.items()}
    codes = language_codes(targets)
    if not by_code:
        if len(codes) > 1:
            raise ForeignModelError(
                f"languages are {', '.join(codes)}, the model has no marks for target languages: name one"
            )
        return dict.fromkeys(codes)
    if unknown := [code for code in codes if code not in by_code]:
        raise ForeignModelError(
            f"the model has no mark for {', '.join(unknown)}, only for {', '.join(sorted(by_code))}"
        )
    return {code: by_code[code] for code in codes}
