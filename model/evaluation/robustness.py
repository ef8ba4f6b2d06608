"""Texts that a translation must carry over intact, with rules to judge it by. Knows nothing of PyTorch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.evaluation.robustness_rules import LANGUAGES, RULES, Attempt
from model.text.parallel_text import DataError

KINDS = (
    "numbers",
    "dates_times",
    "prices_units",
    "urls_emails",
    "placeholders",
    "tags",
    "emoji",
    "names",
    "case",
    "punctuation",
    "typography",
    "joined_sentences",
)
_HEADER = ("kind", "source_language", "target_language", "source", "must")
_BETWEEN_RULES = " && "
_ESCAPE = re.compile(r"\\u([0-9a-f]{4})")


@dataclass(frozen=True)
class Rule:
    """One of `robustness_rules.RULES`, and the text that follows its name, if any."""

    name: str
    text: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.text}".rstrip()


@dataclass(frozen=True, kw_only=True)
class RobustnessCase:
    """A source text and the rules that its translation must fulfil.

    Example:
        RobustnessCase(
            kind="placeholders",
            source_language="en",
            target_language="it",
            source="Hello {name}, your order has arrived.",
            rules=(Rule("has", "{name}"), Rule("plain"), Rule("language")),
        )
    """

    kind: str
    source_language: str
    target_language: str
    source: str
    rules: tuple[Rule, ...]

    @property
    def plain_source(self) -> str | None:
        """The text of the rule `like`, if there is one: the source without what is typography alone."""
        return next((rule.text for rule in self.rules if rule.name == "like"), None)


def read_cases(path: Path) -> list[RobustnessCase]:
    r"""The cases of a UTF-8 file: a header, then tab-separated lines; `must` joins rules with ` && `.

    `\u00ad` and the like stand for characters that nobody could see.

    Raises:
        DataError: no such file, or faults in it, each named with its line.
    """
    lines = _lines(path)
    faults = [] if tuple(lines[0].split("\t")) == _HEADER else [f"line 1: must be {' TAB '.join(_HEADER)}"]
    cases: list[RobustnessCase] = []
    line_of_source: dict[str, int] = {}
    for number, line in enumerate(lines[1:], 2):
        found, case = _read_line(line)
        if case and line_of_source.setdefault(case.source, number) != number:
            found.append(f"the source of line {line_of_source[case.source]} again")
        faults += [f"line {number}: {fault}" for fault in found]
        cases += [case] if case else []
    if faults:
        raise DataError("\n".join(f"{path}, {fault}" for fault in faults))
    return cases


def plain_sources(cases: Iterable[RobustnessCase]) -> dict[tuple[str, str], list[str]]:
    """What to translate beside the sources, for the rule `like`: texts by source and target language."""
    found: dict[tuple[str, str], list[str]] = {}
    for case in cases:
        texts = found.setdefault((case.source_language, case.target_language), [])
        if case.plain_source is not None and case.plain_source not in texts:
            texts.append(case.plain_source)
    return {direction: texts for direction, texts in found.items() if texts}


def judge(case: RobustnessCase, translation: str, like_translation: str | None = None) -> list[str]:
    """The rules that a translation does not fulfil, as they stand in the file.

    Args:
        like_translation: The translation of `case.plain_source`, where it has one.

    Raises:
        ValueError: it has one, and its translation is missing.
    """
    if case.plain_source is not None and like_translation is None:
        raise ValueError(
            f"the translation of {case.plain_source!r} is missing, {case.source!r} is judged by it"
        )
    return [str(rule) for rule in case.rules if not _holds(rule, case, translation, like_translation or "")]


def pass_rates(cases: Sequence[RobustnessCase], failures: Sequence[Sequence[str]]) -> dict[str, float]:
    """The share of cases, from 0 to 1, that fulfil all their rules: by kind, for the kinds that occur.

    Args:
        failures: What `judge` said of each case.
    """
    passed: dict[str, list[bool]] = {}
    for case, failed in zip(cases, failures, strict=True):
        passed.setdefault(case.kind, []).append(not failed)
    return {kind: sum(passed[kind]) / len(passed[kind]) for kind in KINDS if kind in passed}


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise DataError(f"no data file {path}")
    try:
        return path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is damaged: {error}") from error


def _read_line(line: str) -> tuple[list[str], RobustnessCase | None]:
    """What is wrong with a line, and its case if it has the right columns."""
    columns = [_ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), column) for column in line.split("\t")]
    if len(columns) != len(_HEADER):
        return [f"{len(columns)} columns, must be {len(_HEADER)}"], None
    kind, source_language, target_language, source, must = columns
    case = RobustnessCase(
        kind=kind,
        source_language=source_language,
        target_language=target_language,
        source=source,
        rules=tuple(Rule(*rule.split(" ", 1)) for rule in must.split(_BETWEEN_RULES)),
    )
    return _faults(case), case


def _faults(case: RobustnessCase) -> list[str]:
    faults = [] if case.kind in KINDS else [f"unknown kind {case.kind!r}, known are {', '.join(KINDS)}"]
    languages = {case.source_language, case.target_language}
    if languages != LANGUAGES:
        direction = f"{case.source_language!r} to {case.target_language!r}"
        faults.append(f"from {direction}, must be from one of {', '.join(sorted(LANGUAGES))} to the other")
    if not case.source.strip():
        faults.append("the source is empty")
    faults += [fault for rule in case.rules for fault in _form_faults(rule)]
    if sum(rule.name == "like" for rule in case.rules) > 1:
        faults.append("'like' stands twice")
    return faults or [
        f"the source itself does not fulfil {str(rule)!r}" for rule in case.rules if not _fits(rule, case)
    ]


def _form_faults(rule: Rule) -> list[str]:
    if rule.name not in RULES:
        return [f"unknown rule {rule.name!r}, known are {', '.join(RULES)}"]
    if RULES[rule.name].takes_text and not rule.text.strip():
        return [f"a text must follow {rule.name!r}"]
    if rule.text and not RULES[rule.name].takes_text:
        return [f"no text may follow {rule.name!r}, not {rule.text!r}"]
    return []


def _fits(rule: Rule, case: RobustnessCase) -> bool:
    """Whether the source, taken for its own translation, fulfils a rule other than its language."""
    return rule.name == "language" or _holds(rule, case, case.source, case.plain_source or "")


def _holds(rule: Rule, case: RobustnessCase, translation: str, like_translation: str) -> bool:
    attempt = Attempt(
        source_language=case.source_language,
        target_language=case.target_language,
        source=case.source,
        translation=translation,
        text=rule.text,
        like_translation=like_translation,
    )
    return RULES[rule.name].holds(attempt)
