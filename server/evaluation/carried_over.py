"""How often what must come out as it went in does: numbers, names, addresses, placeholders and more."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from model.evaluation.robustness import RobustnessCase, judge, pass_rates, plain_sources
from server.evaluation.translating import Direction, translate
from traghetto import Client


@dataclass(frozen=True, kw_only=True)
class CarriedOver:
    """What became of the cases whose direction the model has.

    Args:
        rates: The share that fulfils all rules, from 0 to 1, by kind.
        num_cases: Of all kinds.
    """

    rates: dict[str, float]
    num_cases: int


def carried_over(
    client: Client, cases: Sequence[RobustnessCase], directions: Collection[Direction], beam_size: int
) -> CarriedOver:
    """Translate the cases of some directions and judge them; a text that fails fulfils nothing.

    Raises:
        CallError: one that every text would meet.
    """
    judged: list[RobustnessCase] = []
    failures: list[list[str]] = []
    for direction in sorted({_direction(case) for case in cases}.intersection(directions), key=str):
        chosen = [case for case in cases if _direction(case) == direction]
        plain = plain_sources(chosen).get((direction.source, direction.target), [])
        sources = [*(case.source for case in chosen), *plain]
        texts, _ = translate(client, sources, direction, beam_size=beam_size)
        plain_texts = dict(zip(plain, texts[len(chosen) :], strict=True))
        judged += chosen
        failures += [_failures(case, text, plain_texts) for case, text in zip(chosen, texts, strict=False)]
    return CarriedOver(rates=pass_rates(judged, failures), num_cases=len(judged))


def _direction(case: RobustnessCase) -> Direction:
    return Direction(source=case.source_language, target=case.target_language)


def _failures(case: RobustnessCase, text: str | None, plain_texts: dict[str, str | None]) -> list[str]:
    like = None if case.plain_source is None else plain_texts[case.plain_source]
    if text is None or (case.plain_source is not None and like is None):
        return ["no translation"]
    return judge(case, text, like)
