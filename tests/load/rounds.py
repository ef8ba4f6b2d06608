"""Paired rounds: ours and a peer by turns in one run, and the row that comes of it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from model.evaluation.quality import Quality

Measurement = Callable[[], float]
_PAUSE_SECONDS = 0.3  # OpenMP's threads spin for 0.2 s after their work, on a core that the next one needs


@dataclass(frozen=True, kw_only=True)
class Figure:
    """How much faster ours is than a peer.

    Args:
        name: What was measured.
        model: On which model.
        peer: Against whom, in which precision.
        peer_setting: How the peer was set up, its best.
        unit: Of the two medians; of times, less is better.
        ratio_median: Ours over the peer's speed, the median of the paired rounds: above 1 ours is faster.
        ratio_min, ratio_max: The worst and the best round.
        ours_median, peer_median: Each by itself.
        num_rounds: After a warm-up.
        num_sentences: In each round.
        ours_bleu, ours_chrf, peer_bleu, peer_chrf: On the same sentences, where there are references.
    """

    name: str
    model: str
    peer: str
    peer_setting: str = ""
    unit: str
    ratio_median: float
    ratio_min: float
    ratio_max: float
    ours_median: float
    peer_median: float
    num_rounds: int
    num_sentences: int = 0
    ours_bleu: float | None = None
    ours_chrf: float | None = None
    peer_bleu: float | None = None
    peer_chrf: float | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """Which row it is: a new figure of the same key replaces an older one."""
        return (self.name, self.model, self.peer)


def figure(
    row: tuple[str, str, str],
    rounds: tuple[Sequence[float], Sequence[float]],
    unit: str,
    *,
    less_is_better: bool = False,
    peer_setting: str = "",
    num_sentences: int = 0,
    quality: tuple[Quality, Quality] | None = None,
) -> Figure:
    """The row of paired measurements.

    Args:
        row: Its name, model and peer.
        rounds: What was measured of ours and of the peer, round by round.
        unit: Of what was measured.
        less_is_better: It is a time rather than a rate.
        quality: Of ours and of the peer.
    """
    ours, peer = rounds
    ratios = [b / a if less_is_better else a / b for a, b in zip(ours, peer, strict=True)]
    name, model, against = row
    return Figure(
        name=name,
        model=model,
        peer=against,
        peer_setting=peer_setting,
        unit=unit,
        ratio_median=statistics.median(ratios),
        ratio_min=min(ratios),
        ratio_max=max(ratios),
        ours_median=statistics.median(ours),
        peer_median=statistics.median(peer),
        num_rounds=len(ratios),
        num_sentences=num_sentences,
        ours_bleu=quality[0].bleu if quality else None,
        ours_chrf=quality[0].chrf if quality else None,
        peer_bleu=quality[1].bleu if quality else None,
        peer_chrf=quality[1].chrf if quality else None,
    )


def paired_rounds(ours: Measurement, peer: Measurement, num_rounds: int) -> tuple[list[float], list[float]]:
    """Measure both by turns, each first in every other round, after one run of each that does not count.

    Returns:
        The rounds of ours and of the peer.
    """
    found: tuple[list[float], list[float]] = ([], [])
    for i in range(num_rounds + 1):
        order = ((0, ours), (1, peer)) if i % 2 else ((1, peer), (0, ours))
        for which, measure in order:
            time.sleep(_PAUSE_SECONDS)
            value = measure()
            if i > 0:
                found[which].append(value)
    return found
