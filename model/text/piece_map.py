"""Which id each piece has where a model's ids are not those of its SentencePiece files, and which languages.

Knows nothing of PyTorch or SentencePiece: it is the content of `pieces.json` in a checkpoint or an artifact.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from model.text.tokenizer import TokenizerError

END_PIECE = "</s>"
UNKNOWN_PIECE = "<unk>"
_MARK = re.compile(r">>.+<<")


def is_language_mark(piece: str) -> bool:
    """Whether a piece asks for a language, as OPUS-MT's do.

    >>> is_language_mark(">>pt_BR<<"), is_language_mark("▁>>")
    (True, False)
    """
    return _MARK.fullmatch(piece) is not None


@dataclass(frozen=True, kw_only=True)
class PieceMap:
    """The pieces of a model by id, and the languages that it is declared to translate.

    Args:
        source_languages: What a source may be written in; no mark says which.
        target_languages: By each code the piece that opens a source which is translated into it; None where
            there is no such mark.
        source_pieces: By id.
        target_pieces: By id; None where source and target share their pieces.
        padding: The id that fills a batch's shorter rows.
        start: The id that a decoder is fed first.
        source_marks: By each source language the piece that says that a source is in it; empty where there
            are no such marks.
        source_marks_follow: They stand behind a source's end, and not before its text.
        first_target_pieces: By each target language the piece that every target in it begins with; empty
            where targets begin as they like.
        control_pieces: What no text becomes and what leaves no trace in one, besides the pieces above.

    Raises:
        TokenizerError: lists a piece that stands twice, one that every vocabulary must have and that lacks,
            and ids and languages that are impossible.
    """

    source_languages: tuple[str, ...]
    target_languages: Mapping[str, str | None]
    source_pieces: tuple[str, ...]
    target_pieces: tuple[str, ...] | None = None
    padding: int
    start: int
    source_marks: Mapping[str, str] = field(default_factory=dict)
    source_marks_follow: bool = False
    first_target_pieces: Mapping[str, str] = field(default_factory=dict)
    control_pieces: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        faults = [*_piece_faults("source", self.source_pieces), *_piece_faults("target", self.last_pieces)]
        faults += [
            f"the {name} {value} is no id, must be 0 to {limit - 1}"
            for name, value, limit in (
                ("padding", self.padding, min(len(self.source_pieces), len(self.last_pieces))),
                ("start", self.start, len(self.last_pieces)),
            )
            if not 0 <= value < limit
        ]
        sources = set(self.source_pieces)
        targets = sources if self.target_pieces is None else set(self.target_pieces)
        faults += [
            f"{mark!r}, which asks for {language}, is no piece of the source"
            for language, mark in self.target_languages.items()
            if mark is not None and mark not in sources
        ]
        faults += _language_faults("source", self.source_languages, self.source_marks, sources)
        faults += _language_faults("target", self.target_languages, self.first_target_pieces, targets)
        if not self.directions or "" in {*self.source_languages, *self.target_languages}:
            faults.append(
                f"languages are {', '.join(map(repr, self.source_languages))} and "
                f"{', '.join(map(repr, self.target_languages))}, must be two different codes"
            )
        if faults:
            raise TokenizerError("pieces do not fit: " + "; ".join(dict.fromkeys(faults)))

    @property
    def last_pieces(self) -> tuple[str, ...]:
        """The target's pieces by id, its own or those of both."""
        return self.source_pieces if self.target_pieces is None else self.target_pieces

    @property
    def directions(self) -> tuple[tuple[str, str], ...]:
        """Each source language with each other target language."""
        return tuple((a, b) for a in self.source_languages for b in self.target_languages if a != b)

    def to_json(self) -> str:
        """The content of `pieces.json`."""
        fields = {
            "source_languages": self.source_languages,
            "target_languages": dict(self.target_languages),
            "padding": self.padding,
            "start": self.start,
            "source_pieces": self.source_pieces,
            "target_pieces": self.target_pieces,
        }
        # Later ones: without them the content, and with it a checkpoint's hash, is what it was.
        later = {
            "source_marks": dict(self.source_marks),
            "source_marks_follow": self.source_marks_follow,
            "first_target_pieces": dict(self.first_target_pieces),
            "control_pieces": self.control_pieces,
        }
        fields |= {name: value for name, value in later.items() if value}
        return json.dumps(fields, ensure_ascii=False, indent=0) + "\n"


def piece_map_of(content: str) -> PieceMap:
    """Read what `PieceMap.to_json` wrote.

    Raises:
        TokenizerError: It is damaged.
    """
    try:
        fields = json.loads(content)
        target_pieces = fields["target_pieces"]
        return PieceMap(
            source_languages=_texts(fields["source_languages"]),
            target_languages=_marks(fields["target_languages"]),
            source_pieces=_texts(fields["source_pieces"]),
            target_pieces=None if target_pieces is None else _texts(target_pieces),
            padding=_id(fields["padding"]),
            start=_id(fields["start"]),
            source_marks=_pieces_by_language(fields.get("source_marks", {})),
            source_marks_follow=_flag(fields.get("source_marks_follow", False)),
            first_target_pieces=_pieces_by_language(fields.get("first_target_pieces", {})),
            control_pieces=_texts(fields.get("control_pieces", [])),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TokenizerError(f"damaged: {error!r}") from error


def _piece_faults(side: str, pieces: Sequence[str]) -> list[str]:
    faults = [
        f"{piece!r} is no piece of the {side}" for piece in (END_PIECE, UNKNOWN_PIECE) if piece not in pieces
    ]
    twice = [piece for piece, count in Counter(pieces).items() if count > 1]
    return faults + ([f"twice in the {side}: {', '.join(map(repr, twice))}"] if twice else [])


def _language_faults(
    side: str, languages: Iterable[str], marks: Mapping[str, str], known: set[str]
) -> list[str]:
    """Marks must be of all languages of a side or of none, and be pieces of it."""
    if not marks:
        return []
    faults = [f"no piece marks the {side} language {name}" for name in languages if name not in marks]
    return faults + [
        f"{mark!r}, which marks the {side} language {name}, is no piece"
        for name, mark in marks.items()
        if mark not in known
    ]


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError("no list of texts")
    return tuple(value)


def _marks(value: Any) -> dict[str, str | None]:
    if not isinstance(value, dict) or not all(
        mark is None or isinstance(mark, str) for mark in value.values()
    ):
        raise TypeError("no mapping of languages to marks")
    return value


def _pieces_by_language(value: Any) -> dict[str, str]:
    if None in (marks := _marks(value)).values():
        raise TypeError("a language without a mark")
    return {language: str(mark) for language, mark in marks.items()}


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _id(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is no id")
    return value
