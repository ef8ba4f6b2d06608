"""The models that are served, by name and by language pair."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType

from export.contract.manifest import ArtifactError
from model.text.tokenizer import listed_directions
from server.errors import NotServed, quoted
from server.models.languages import distance
from server.models.served_model import ServedModel

AUTO = "auto"  # the source language that is to be found out
_MAX_TARGETS = 1000  # clients write one language in many ways
Step = tuple[ServedModel, tuple[str, str]]  # a model, and a pair as it spells it
_Offered = dict[str, tuple[frozenset[str], ...]]
NO_DEFAULTS: Mapping[str, str] = MappingProxyType({})


def tag_of(language: str) -> str:
    """A tag as it is compared: without regard to case, and with the hyphens that it should have."""
    return language.lower().replace("_", "-")


class Models:
    """Models by name; for a pair its default, or else the first that serves it.

    Args:
        defaults: The names of the models of pairs, by the pairs as they are listed, `en-it`.
        pivots: Languages through which two models may translate what none does, the preferred first.

    Raises:
        ArtifactError: two have the same name, or a default is not served.
    """

    def __init__(
        self,
        models: list[ServedModel],
        defaults: Mapping[str, str] = NO_DEFAULTS,
        pivots: Sequence[str] = (),
    ) -> None:
        self._pivots = pivots
        self._by_name = {model.name: model for model in models}
        if len(self._by_name) < len(models):
            raise ArtifactError(f"two artifacts share a name: {', '.join(sorted(m.name for m in models))}")
        self._listed: dict[str, str] = {}  # what is served, for people, by a model's name or of all
        self._spelled = {
            model.name: {(a.lower(), b.lower()): (a, b) for a, b in model.manifest.language_pairs}
            for model in models
        }
        self._offered = _languages_of(self._spelled)
        self._sources: dict[tuple[str, str], dict[str, str]] = {}  # by a model's name and a target
        self._by_pair: dict[tuple[str, str], list[ServedModel]] = {}
        for model in models:
            for pair in self._spelled[model.name]:
                self._by_pair.setdefault(pair, []).append(model)
        self._prefer(defaults)

    def _take_allowed(
        self, others: Models, may_use: Callable[[str], bool], may_translate: Callable[[tuple[str, str]], bool]
    ) -> None:
        """Become of other models those, by name and by pair, that may be used; their order stays."""
        pairs = {pair for pair in others._by_pair if may_translate(pair)}
        self._pivots, self._listed, self._sources = others._pivots, {}, {}
        spelled = {
            name: {pair: tags for pair, tags in spelled.items() if pair in pairs}
            for name, spelled in others._spelled.items()
            if may_use(name)
        }
        self._spelled = {name: spellings for name, spellings in spelled.items() if spellings}
        self._offered = _languages_of(self._spelled)
        self._by_name = {n: model for n, model in others._by_name.items() if n in self._spelled}
        allowed = {
            pair: [model for model in others._by_pair[pair] if model.name in self._by_name] for pair in pairs
        }
        self._by_pair = {pair: models for pair, models in allowed.items() if models}

    def _prefer(self, defaults: Mapping[str, str]) -> None:
        """Put the default of a pair before the other models of it.

        Raises:
            ArtifactError: names each default that is not served.
        """
        pairs = {"-".join(pair): pair for pair in self._by_pair} if defaults else {}
        faults = []
        for listed, name in defaults.items():
            models = self._by_pair[pairs[tag_of(listed)]] if tag_of(listed) in pairs else []
            if name not in {model.name for model in models}:
                serving = ", ".join(model.name for model in models) or "no model"
                faults.append(f"model {name!r} of --default-models does not serve {listed}: {serving} does")
            models.sort(key=lambda model: model.name != name)
        if faults:
            raise ArtifactError("; ".join(faults))

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(sorted(self._by_name.values(), key=lambda model: model.name))

    def pairs(self) -> Iterator[tuple[tuple[str, str], list[ServedModel]]]:
        """Each pair, as its default spells it, with the models that serve it, its default first; ordered."""
        for pair, models in sorted(self._by_pair.items()):
            yield self._spelled[models[0].name][pair], models

    def pivot_pairs(self) -> Iterator[tuple[tuple[str, str], list[Step]]]:
        """Each pair that is translated through another language, and how; ordered."""
        found: dict[tuple[str, str], list[Step]] = {}
        for pivot in map(tag_of, self._pivots):
            ways_in = [self.find("", *pair) for pair in self._by_pair if pair[1] == pivot]
            ways_out = [self.find("", *pair) for pair in self._by_pair if pair[0] == pivot]
            for both in itertools.product(ways_in, ways_out):
                found.setdefault(_ends(both), [*both])
        # A call for a pair that is near to another one may get that instead.
        related = Counter(map(_primary, {*found, *self._by_pair}))
        for pair, steps in sorted(found.items()):
            got = steps if related[_primary(pair)] == 1 else self.route("", *pair)
            if len(got) > 1 and _ends(got) == pair and pair[0] != pair[1]:
                yield (got[0][1][0], got[-1][1][1]), got

    @property
    def in_order(self) -> list[ServedModel]:
        """In order of preference."""
        return list(self._by_name.values())

    def find(self, name: str, source_language: str, target_language: str) -> Step:
        """The model for a pair, and the pair as the model spells it.

        Of models that serve no such pair the one of the nearest is taken, as en-it for en-US and it.

        Raises:
            NotServed: no such model or pair; names what is served.
        """
        if name and name not in self._by_name:
            served = ", ".join(sorted(self._by_name))
            raise NotServed("model", quoted(name), f"no model {quoted(name)}; served: {served}")
        pair = (tag_of(source_language), tag_of(target_language))
        model = self._by_name[name] if name else next(iter(self._by_pair.get(pair, ())), None)
        if model is not None and (spelled := self._spelled[model.name].get(pair)) is not None:
            return model, spelled
        if (nearest := self._nearest(name, pair)) is not None:
            return nearest
        pair_name = quoted(f"{source_language}-{target_language}")
        by = f" by model {name!r}" if name else ""
        raise NotServed(
            "language_pair", pair_name, f"the pair {pair_name} is not served{by}; served: {self._pairs(name)}"
        )

    def route(self, name: str, source_language: str, target_language: str) -> list[Step]:
        """How a pair is translated: by one model, or where none serves it by two, through another language.

        Of the pivots the first is taken for which both ways are served. A model that is named works alone.

        Raises:
            NotServed: no such model or pair, nor a way through a pivot; names what is served.
        """
        try:
            return [self.find(name, source_language, target_language)]
        except NotServed:
            for pivot in () if name else self._pivots:
                with suppress(NotServed):
                    first = self.find("", source_language, pivot)
                    return [first, self.find("", first[1][1], target_language)]
            raise

    def sources(self, name: str, target_language: str, languages: Sequence[str]) -> dict[str, str]:
        """Those of some languages that are served into a target, each as the model spells it.

        Args:
            name: Of the model; empty for any.

        Raises:
            NotServed: none is.
        """
        key = (name, target_language)
        if key not in self._sources:
            found: dict[str, str] = {}
            for language in languages:
                with suppress(NotServed):
                    found[language] = self.route(name, language, target_language)[0][1][0]
            if not found:
                self.find(name, AUTO, target_language)
            if len(self._sources) >= _MAX_TARGETS:
                self._sources.clear()
            self._sources[key] = found
        return self._sources[key]

    def _nearest(self, name: str, pair: tuple[str, str]) -> Step | None:
        """The model whose pair is the same in another spelling, or with another region."""
        best: tuple[int, ServedModel, tuple[str, str]] | None = None
        for model in [self._by_name[name]] if name else self.in_order:
            offered = self._offered[model.name]
            first, second = (_near(wanted, tags) for wanted, tags in zip(pair, offered, strict=True))
            for (source, there), (target, back) in itertools.product(first.items(), second.items()):
                spelled = self._spelled[model.name].get((source, target))
                if spelled is not None and (best is None or there + back < best[0]):
                    best = (there + back, model, spelled)
        return best and best[1:]

    def _pairs(self, name: str) -> str:
        if name not in self._listed:
            names = [name] if name else list(self._by_name)
            pairs = sorted({tags for name in names for tags in self._spelled[name].values()})
            self._listed[name] = listed_directions(pairs)
        return self._listed[name]


def _languages_of(spelled: Mapping[str, Mapping[tuple[str, str], tuple[str, str]]]) -> _Offered:
    """The languages of each model's pairs, by side.

    A model may have tens of thousands of pairs: no call goes through them, but through the languages.
    """
    return {
        name: tuple(frozenset(pair[side] for pair in pairs) for side in (0, 1))
        for name, pairs in spelled.items()
    }


def _ends(steps: Sequence[Step]) -> tuple[str, str]:
    """From which language steps lead into which."""
    return tag_of(steps[0][1][0]), tag_of(steps[-1][1][1])


def _primary(pair: tuple[str, str]) -> tuple[str, str]:
    """The languages of a pair without region and script."""
    return pair[0].partition("-")[0], pair[1].partition("-")[0]


def _near(wanted: str, tags: frozenset[str]) -> dict[str, int]:
    """How far the tags are that mean the same language."""
    distances = {tag: distance(wanted, tag) for tag in tags}
    return {tag: number for tag, number in distances.items() if number is not None}
