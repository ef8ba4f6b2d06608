"""How fast a model's runners work, measured while they do, and how much work a text is expected to be."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from server.work.options import SearchOptions

_MEMORY_SECONDS = 0.5  # of running time; what is older counts by 1 / e
_FRESH_SECONDS = 10.0  # a number of hypotheses that has not run for longer is as good as unknown
_FEWEST_ROUNDS = 32  # before that nothing is known: the first ones are slow
_MOST_TIMES = 4
_LENGTH_MEMORY = 0.99  # a text counts by so much less with each that comes after it
_LONGEST_TIMES = 4  # a target counts as so many times its source at most: some texts never end


@dataclass(frozen=True, slots=True)
class _Measured:
    """Rounds of like numbers of hypotheses: their faded sums, and when the last one was."""

    seconds: float = 0.0
    num_hypotheses: float = 0.0
    num_rounds: float = 0.0
    last: float = -math.inf

    def cost(self, num_hypotheses: int) -> float:
        """Seconds for each of so many: a step of fewer takes as long, one of more by the square root longer.

        The latter is hopeful, so that what has never run is tried and then known.
        """
        usual = self.num_hypotheses / self.num_rounds
        step = self.seconds / self.num_rounds
        if num_hypotheses <= usual:
            return step / num_hypotheses
        return step / usual / math.sqrt(max(1.0, num_hypotheses / (2 * usual)))


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
        self._measured: dict[int, _Measured] = {}  # by bits of the number of hypotheses
        self._num_rounds = 0
        self._num_source_tokens = self._num_target_tokens = 1000.0  # faded sums

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
        earlier = self._measured.get(bits, _Measured())
        self._measured[bits] = _Measured(
            kept * earlier.seconds + seconds,
            kept * earlier.num_hypotheses + num_hypotheses,
            kept * earlier.num_rounds + 1,
            time.monotonic(),
        )

    def observe_length(self, num_source_tokens: int, num_target_tokens: int) -> None:
        """Learn how long a text's translation was."""
        num_counted = min(num_target_tokens, _LONGEST_TIMES * num_source_tokens)
        self._num_source_tokens = _LENGTH_MEMORY * self._num_source_tokens + num_source_tokens
        self._num_target_tokens = _LENGTH_MEMORY * self._num_target_tokens + num_counted

    def expected_tokens(self, options: SearchOptions, num_source_tokens: int) -> float:
        """Target tokens that a source is expected to get, within its limit."""
        limit = options.target_limit(num_source_tokens)
        ratio = self._num_target_tokens / self._num_source_tokens
        return min(limit, ratio * num_source_tokens + 1)

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
        """Seconds for each of so many hypotheses, by what is known of the next smaller number or larger."""
        if self._num_rounds < _FEWEST_ROUNDS:
            return None
        measured = dict(sorted(self._measured.copy().items()))  # a copy: another runner may add to it
        newest = max(each.last for each in measured.values())
        fresh = {bits: m for bits, m in measured.items() if m.last >= newest - _FRESH_SECONDS}
        smaller = [bits for bits in fresh if bits <= num_hypotheses.bit_length()]
        return fresh[max(smaller, default=min(fresh))].cost(num_hypotheses)
