"""The loaded models by name and by language pair."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from export.contract.manifest import ArtifactError
from model.text.tokenizer import listed_directions
from server.errors import NotServed, quoted
from server.models.languages import distance
from server.models.loading import LoadedModel


def _tag(language: str) -> str:
    """A tag as it is compared: without regard to case, and with the hyphens that it should have."""
    return language.lower().replace("_", "-")


class Models:
    """Loaded models by name; for a pair the first that serves it.

    Raises:
        ArtifactError: two have the same name.
    """

    def __init__(self, models: list[LoadedModel]) -> None:
        self._by_name = {model.name: model for model in models}
        if len(self._by_name) < len(models):
            raise ArtifactError(f"two artifacts share a name: {', '.join(sorted(m.name for m in models))}")
        self._listed: dict[str, str] = {}  # what is served, for people, by a model's name or of all
        self._spelled = {
            model.name: {(a.lower(), b.lower()): (a, b) for a, b in model.manifest.language_pairs}
            for model in models
        }
        # A model may have tens of thousands of pairs: no call goes through them, but through the languages.
        self._offered = {
            name: tuple(frozenset(pair[side] for pair in pairs) for side in (0, 1))
            for name, pairs in self._spelled.items()
        }
        self._by_pair: dict[tuple[str, str], LoadedModel] = {}
        for model in models:
            for pair in self._spelled[model.name]:
                self._by_pair.setdefault(pair, model)

    def __iter__(self) -> Iterator[LoadedModel]:
        return iter(sorted(self._by_name.values(), key=lambda model: model.name))

    @property
    def in_order(self) -> list[LoadedModel]:
        """In order of preference."""
        return list(self._by_name.values())

    def find(
        self, name: str, source_language: str, target_language: str
    ) -> tuple[LoadedModel, tuple[str, str]]:
        """The model for a pair, and the pair as the model spells it.

        Of models that serve no such pair the one of the nearest is taken, as en-it for en-US and it.

        Raises:
            NotServed: no such model or pair; names what is served.
        """
        if name and name not in self._by_name:
            served = ", ".join(sorted(self._by_name))
            raise NotServed("model", quoted(name), f"no model {quoted(name)}; served: {served}")
        pair = (_tag(source_language), _tag(target_language))
        model = self._by_name[name] if name else self._by_pair.get(pair)
        if model is not None and (spelled := self._spelled[model.name].get(pair)) is not None:
            return model, spelled
        if (nearest := self._nearest(name, pair)) is not None:
            return nearest
        pair_name = quoted(f"{source_language}-{target_language}")
        by = f" by model {name!r}" if name else ""
        raise NotServed(
            "language_pair", pair_name, f"the pair {pair_name} is not served{by}; served: {self._pairs(name)}"
        )

    def _nearest(self, name: str, pair: tuple[str, str]) -> tuple[LoadedModel, tuple[str, str]] | None:
        """The model whose pair is the same in another spelling, or with another region."""
        best: tuple[int, LoadedModel, tuple[str, str]] | None = None
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
            models = [self._by_name[name]] if name else self.in_order
            pairs = sorted({pair for m in models for pair in m.manifest.language_pairs})
            self._listed[name] = listed_directions(pairs)
        return self._listed[name]


def _near(wanted: str, tags: frozenset[str]) -> dict[str, int]:
    """How far the tags are that mean the same language."""
    distances = {tag: distance(wanted, tag) for tag in tags}
    return {tag: number for tag, number in distances.items() if number is not None}
