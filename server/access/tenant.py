"""Who a call is from, and what it may."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType

from server.work.fair_order import Priority

Pair = tuple[str, str]
Limits = Mapping[str, int]  # by a quota's name
REQUESTS, TOKENS, TEXTS = QUOTAS = ("requests_per_minute", "tokens_per_minute", "concurrent_texts")


@dataclass(frozen=True, kw_only=True, eq=False)
class Tenant:
    """One of those that the access file lists.

    Args:
        name: As the file calls it.
        models: Those that it may use; None for all.
        pairs: Patterns of pairs, in lower case, as en-it or en-*; None for all.
        priority: The highest that its calls may have.
        limits: Its quotas, by their names; one that is not there has no limit.
        is_admin: Whether it may call the admin service.
    """

    name: str
    models: frozenset[str] | None = None
    pairs: tuple[str, ...] | None = None
    priority: Priority = Priority.INTERACTIVE
    limits: Limits = field(default_factory=lambda: MappingProxyType({}))
    is_admin: bool = False

    @property
    def sees_all(self) -> bool:
        """Whether it may use every model for every pair."""
        return self.models is None and self.pairs is None

    def may_use(self, model: str) -> bool:
        """Whether it may use a model at all."""
        return self.models is None or model in self.models

    @property
    def may_translate(self) -> Callable[[Pair], bool]:
        """Tells of a pair, whatever the case of its tags, whether it may be translated."""
        patterns = self.pairs
        if patterns is None:
            return lambda _: True
        return lambda pair: any(fnmatchcase("-".join(pair).lower(), pattern) for pattern in patterns)
