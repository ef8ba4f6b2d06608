"""How the study's pictures look: one style, small SVG files that do not change unless the figures do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_STYLE: dict[Any, Any] = {  # matplotlib names every key in its type
    "svg.fonttype": "none",
    "svg.hashsalt": "traghetto",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.grid": True,
    "grid.linewidth": 0.4,
    "grid.alpha": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.4,
    "legend.frameon": False,
    "legend.fontsize": 8,
}
_WIDTH, _HEIGHT = 4.6, 3.4

Line = tuple[Sequence[float], Sequence[float]]


@contextmanager
def picture(path: Path, num_panels: int) -> Iterator[list[Axes]]:
    """Panels side by side, written to `path` at the end."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH * num_panels, _HEIGHT), layout="constrained", facecolor="white")
        yield list(figure.subplots(1, num_panels, squeeze=False)[0])
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None, "Creator": None})
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("".join(f"{line.rstrip()}\n" for line in lines), encoding="utf-8")


def draw_lines(axes: Axes, lines: Mapping[str, Line], marker: str | None = None, title: str = "") -> None:
    """A line for each name; a name has its colour in every panel where the order is the same."""
    for name, (x, y) in lines.items():
        axes.plot(x, y, label=name, marker=marker, markersize=3)
    axes.set_title(title)
    axes.legend()


def draw_bars(axes: Axes, values: Mapping[str, float], title: str, style: str = "{:.2f}") -> None:
    """A bar for each name, with its value."""
    bars = axes.barh(list(values), list(values.values()), color="C0", height=0.6)
    axes.bar_label(bars, [style.format(value) for value in values.values()], padding=3, fontsize=8)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.15)
    axes.set_title(title)
