"""How fast a model's runners work, measured while they do, and how much work a text is expected to be."""

from __future__ import annotations

import math

from server.work.options import SearchOptions

_MEMORY_SECONDS = 0.5  # of running time; what is older counts by 1 / e
_FEWEST_ROUNDS = 32  # before that nothing is known: the first ones are slow
_MOST_TIMES = 4
_RATIO_TEXTS = 100  # likewise, of the length ratio


class Pace:
    """Seconds that a decoder step takes, by how many hypotheses it advances, and target tokens by source.

    Work is counted in hypothesis tokens: one hypothesis advanced by one token. A step of many costs less for
    each, so the cost is kept by powers of two of their number. Any thread may call any method: what two of
    them write at once is one measurement lost.

    Args:
        num_runners: That share the work.

    >>> pace = Pace(num_runners=2)
    >>> pace.seconds(work=100, num_hypotheses=8) is None
    True
    >>> for _ in range(100):
    ...     pace.observe(num_hypotheses=4, seconds=0.04)
    >>> round(pace.seconds(work=100, num_hypotheses=8), 6)
    0.5
    """

    def __init__(self, num_runners: int) -> None:
        self._num_runners = num_runners
        # Seconds, hypotheses advanced and rounds, faded, by bits of the number of hypotheses.
        self._measured: dict[int, tuple[float, float, float]] = {}
        self._num_rounds = 0
        self._length_ratio = 1.0

    def observe(self, num_hypotheses: int, seconds: float) -> None:
        """Learn how long a runner took for a round in which so many hypotheses advanced by a token.

        One that took much longer than expected counts as `_MOST_TIMES` as long: a machine that stood still
        for a moment is not slow.
        """
        self._num_rounds += 1
        bits = num_hypotheses.bit_length()
        kept = max(math.exp(-seconds / _MEMORY_SECONDS), 0.5)
        if (expected := self._cost_at(num_hypotheses)) is not None:
            seconds = min(seconds, _MOST_TIMES * expected * num_hypotheses)
        earlier = self._measured.get(bits, (0.0, 0.0, 0.0))
        self._measured[bits] = (
            kept * earlier[0] + seconds,
            kept * earlier[1] + num_hypotheses,
            kept * earlier[2] + 1,
        )

    def observe_length(self, num_source_tokens: int, num_target_tokens: int) -> None:
        """Learn how long a text's translation was."""
        self._length_ratio += (num_target_tokens / num_source_tokens - self._length_ratio) / _RATIO_TEXTS

    def expected_tokens(self, options: SearchOptions, num_source_tokens: int) -> float:
        """Target tokens that a source is expected to get, within its limit."""
        limit = options.target_limit(num_source_tokens)
        return min(limit, self._length_ratio * num_source_tokens + 1)

    def work(self, options: SearchOptions, num_source_tokens: int) -> float:
        """Hypothesis tokens that a source is expected to take."""
        return options.method.width * self.expected_tokens(options, num_source_tokens)

    def seconds(self, work: float, num_hypotheses: int) -> float | None:
        """Seconds in which all runners do some work while so many hypotheses run; None if unmeasured."""
        num_runners = min(self._num_runners, max(num_hypotheses, 1))
        cost = self._cost_at(max(num_hypotheses, 1) // num_runners)
        return None if cost is None else work * cost / num_runners

    def step_seconds(self, num_hypotheses: int) -> float | None:
        """Seconds between two tokens of a text while so many hypotheses run; None before any measurement."""
        count = max(1, num_hypotheses // self._num_runners)
        cost = self._cost_at(count)
        return None if cost is None else count * cost

    def _cost_at(self, num_hypotheses: int) -> float | None:
        """The cost that is known of the nearest number; fewer hypotheses take as long as those for a step."""
        if self._num_rounds < _FEWEST_ROUNDS:
            return None
        bits = num_hypotheses.bit_length()
        smaller = [known for known in self._measured if known <= bits]
        nearest = max(smaller) if smaller else min(self._measured)
        seconds, hypotheses, rounds = self._measured[nearest]
        return seconds / min(hypotheses, rounds * num_hypotheses)
