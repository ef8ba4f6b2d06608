"""The glossaries of a call, as TranslateRequest has them, and their faults."""

from __future__ import annotations

import asyncio
import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from server.api.option_faults import MAX_LISTED
from server.documents.glossary import Glossary, Term, term_faults
from server.errors import Violation, quoted
from traghetto.pb.translation.v1 import translation_pb2 as pb

MAX_TERMS = 1024
MAX_NAMES = 8
_MAX_KNOWN = 16
_MAX_LISTED_NAMES, _MAX_QUOTED = 4, 16  # names, and characters of each, in a fault


class GlossaryReader:
    """Reads the glossaries of calls; of the event loop's thread.

    It knows the last ones: a client has the same terms in all its calls, and 1,000 take 30 ms to check and
    to order, as long as several sentences to translate.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Glossary] = OrderedDict()

    async def read(
        self, message: pb.TranslateRequest, named: Mapping[str, Glossary]
    ) -> tuple[list[Glossary], list[Violation]]:
        """The glossaries of a call, its own terms before those that it names, and what is wrong with them.

        Args:
            named: Those of the server.
        """
        faults = list(itertools.islice(_name_faults(message.glossary_names, named), _MAX_LISTED_NAMES))
        glossaries = [named[name] for name in dict.fromkeys(message.glossary_names) if name in named]
        if len(message.glossary) > MAX_TERMS:
            fault = f"has {len(message.glossary)} terms, must have at most {MAX_TERMS}"
            faults.insert(0, Violation("glossary", fault))
        elif message.glossary:
            own = await self._own(message)
            if isinstance(own, Glossary):
                glossaries.insert(0, own)
            else:
                faults = [*own, *faults]
        return glossaries, faults[:MAX_LISTED]

    async def _own(self, message: pb.TranslateRequest) -> Glossary | list[Violation]:
        key = _terms_alone(message)
        if (known := self._known.get(key)) is not None:
            self._known.move_to_end(key)
            return known
        made = await asyncio.to_thread(_made, key)
        if isinstance(made, Glossary):
            self._known[key] = made
            if len(self._known) > _MAX_KNOWN:
                self._known.popitem(last=False)
        return made


def _terms_alone(message: pb.TranslateRequest) -> bytes:
    """A message of nothing but the terms; to look at each of 1,000 would take five times as long."""
    alone = pb.TranslateRequest()
    alone.CopyFrom(message)
    clear: Callable[[Any], None] = alone.ClearField  # its stub knows literals alone
    for field, _ in message.ListFields():
        if field.name != "glossary":
            clear(field.name)
    alone.DiscardUnknownFields()
    return alone.SerializeToString(deterministic=True)


def _made(message: bytes) -> Glossary | list[Violation]:
    """A glossary, or what is wrong with its terms."""
    glossary = [
        Term(source=term.source, target=term.target, match_case=term.match_case)
        for term in pb.TranslateRequest.FromString(message).glossary
    ]
    faults = list(itertools.islice(term_faults(glossary), MAX_LISTED))
    if not faults:
        return Glossary(glossary)
    return [
        Violation(
            f"glossary[{fault.index}].{fault.side}",
            fault.rule if fault.first is None else f"{fault.rule} glossary[{fault.first}]",
        )
        for fault in faults
    ]


def _name_faults(names: Sequence[str], named: Mapping[str, Glossary]) -> Iterator[Violation]:
    if len(names) > MAX_NAMES:
        yield Violation("glossary_names", f"has {len(names)} names, must have at most {MAX_NAMES}")
        return
    some = [_shown(name) for name in sorted(named)[:_MAX_LISTED_NAMES]]
    listed = ", ".join(some if len(some) == len(named) else [*some, "..."]) or "it has none"
    for i, name in enumerate(names):
        if name not in named:
            rule = f"must be one of the server's: {listed}"
            yield Violation(f"glossary_names[{i}]", f"is {_shown(name)}, {rule}")


def _shown(name: str) -> str:
    return quoted(name if len(name) <= _MAX_QUOTED else name[:_MAX_QUOTED] + "...")
