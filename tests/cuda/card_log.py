"""What the stand-in for a card was asked for, from its log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Event:
    """A line of the log, see standin/runtime.c.

    Args:
        thread: Which asked.
        is_capturing: Whether that thread was within a capture.
        kind: What was asked for, such as "launch" or "copy".
        words: What else the line says.
    """

    thread: int
    is_capturing: bool
    kind: str
    words: tuple[str, ...]

    @property
    def waits(self) -> bool:
        """Whether the thread waited for the card."""
        return self.kind == "wait" or (self.kind == "copy" and self.words[-1] == "waits")


@dataclass(frozen=True)
class Section:
    """The events under one heading."""

    heading: str
    events: Sequence[Event]

    def of_kind(self, *kinds: str) -> list[Event]:
        """The events of some kinds."""
        return [event for event in self.events if event.kind in kinds]

    def launches_of(self, kernel: str) -> list[tuple[Event, Event | None]]:
        """Each launch of a kernel whose name contains a word, with the arguments that were logged of it."""
        following = [*self.events, None][1:]
        return [
            (event, after if after is not None and after.kind == "arguments" else None)
            for event, after in zip(self.events, following, strict=True)
            if event.kind == "launch" and kernel in event.words[-1]
        ]


def read_log(path: Path) -> list[Section]:
    """The log by its headings."""
    sections: list[tuple[str, list[Event]]] = [("", [])]
    for event in _events(path):
        if event.kind == "mark":
            sections.append((" ".join(event.words), []))
        else:
            sections[-1][1].append(event)
    return [Section(heading, events) for heading, events in sections]


def _events(path: Path) -> Iterator[Event]:
    for line in path.read_text(encoding="utf-8").splitlines():
        thread, state, kind, *words = line.split()
        yield Event(int(thread), state == "capturing", kind, tuple(words))
