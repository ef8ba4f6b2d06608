"""Draws a card's scores: BLEU by the length of the source, and how much is carried over intact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from server.evaluation.report import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_scores(path: Path, rows: Sequence[Row], carried_over: Mapping[str, float]) -> None:
    """Draw them as a PNG: a panel for each direction, and one for the kinds of text if there are any.

    Args:
        carried_over: The share of each kind, from 0 to 1.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra, and slow: only for those who draw

    directions = list(dict.fromkeys(str(row.translated.direction) for row in rows))
    num_panels = len(directions) + bool(carried_over)
    figure = Figure(figsize=(4.5 * num_panels, 3.6), layout="constrained")
    panels = iter(figure.subplots(1, num_panels, squeeze=False)[0])
    for direction in directions:
        _draw_lengths(
            next(panels), direction, [row for row in rows if str(row.translated.direction) == direction]
        )
    if carried_over:
        _draw_kinds(next(panels), carried_over)
    figure.savefig(path, dpi=90)


def _draw_lengths(axes: Axes, direction: str, rows: Sequence[Row]) -> None:
    for row in rows:
        if row.scores is not None:
            bleu = [quality.bleu for _, quality in row.scores.lengths.values()]
            axes.plot(list(row.scores.lengths), bleu, marker="o", label=row.test_set)
    axes.set(title=direction, xlabel="words of the source", ylabel="BLEU")
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=8)


def _draw_kinds(axes: Axes, carried_over: Mapping[str, float]) -> None:
    kinds = [kind.replace("_", " ") for kind in carried_over]
    bars = axes.barh(kinds, [100 * share for share in carried_over.values()])
    axes.invert_yaxis()  # the first on top
    axes.bar_label(bars, fmt="%.0f", padding=2, fontsize=8)
    axes.set(title="carried over intact", xlabel="% of texts", xlim=(0, 110))
