"""Draws the dashboard's panels into one picture: our own rendering, near to Grafana's in places alone."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.deploy.panel_queries import DashboardPanel, PanelQuery, panels
from tests.deploy.watched import Found, Watched

_GRID = 24  # columns
_CELL_INCHES = (0.75, 0.36)
_DOTS = 58  # an inch
_MANY_LABELS = 6
_LONGEST_LEGEND = 44
_NOTHING = "not given by these servers"
_MEBIBYTE = 1 << 20


def draw(watched: Watched, output: Path) -> list[str]:
    """Ask every panel's queries and draw what they give.

    Returns:
        The titles of panels that nothing was found for.
    """
    found = panels(with_rows=True)
    empty = []
    height = max(panel.place[1] + panel.place[3] for panel in found)
    figure = plt.figure(figsize=(_GRID * _CELL_INCHES[0], height * _CELL_INCHES[1]))
    for panel in found:
        x, y, w, h = panel.place
        if panel.kind == "row":
            figure.text(
                0.006, 1 - (y + 0.75) / height, panel.title, fontsize=13, weight="bold", color="#333333"
            )
            continue
        box = ((x + 0.75) / _GRID, 1 - (y + h - 1.0) / height, (w - 1.05) / _GRID, (h - 2.2) / height)
        if not _draw_panel(figure, box, panel, watched):
            empty.append(panel.title)
    figure.savefig(output, dpi=_DOTS, pil_kwargs={"optimize": True})
    plt.close(figure)
    return empty


def _draw_panel(
    figure: Figure, box: tuple[float, float, float, float], panel: DashboardPanel, watched: Watched
) -> bool:
    axes = figure.add_axes(box)
    mark = " (fixture)" if "Foreign series" in panel.description else ""
    axes.set_title(panel.title + mark, fontsize=9, loc="left")
    axes.tick_params(labelsize=7)
    answers = [(query, watched.ask(query.expr)) for query in panel.queries]
    if not any(found for _, found in answers):
        axes.set_axis_off()
        axes.text(0.5, 0.5, _NOTHING, ha="center", color="gray")
    elif panel.kind == "stat":
        _draw_numbers(axes, answers, panel.unit)
    elif panel.kind == "heatmap":
        _draw_heat_map(axes, answers[0][1], watched.start)
    else:
        _draw_lines(axes, answers, panel, watched.start)
    return any(found for _, found in answers)


def _draw_numbers(axes: Axes, answers: list[tuple[PanelQuery, Found]], unit: str) -> None:
    axes.set_axis_off()
    shown = [
        (_legend(query, labels), samples[-1][1]) for query, found in answers for labels, samples in found
    ]
    for n, (legend, value) in enumerate(shown):
        at = 1 - (n + 0.5) / len(shown)
        text = f"{value:.2%}" if unit == "percentunit" else f"{value:,.0f}"
        axes.text(0.5, at + 0.06, text, ha="center", va="bottom", fontsize=16)
        axes.text(0.5, at, legend, ha="center", va="top", fontsize=7, color="gray")


def _draw_lines(
    axes: Axes, answers: list[tuple[PanelQuery, Found]], panel: DashboardPanel, start: float
) -> None:
    num_lines = 0
    scale, unit = {
        "bytes": (_MEBIBYTE, "MiB"),
        "none": (1, ""),
        "percentunit": (1, "share"),
        "reqps": (1, "1/s"),
    }.get(panel.unit, (1, panel.unit))
    for query, found in answers:
        for labels, samples in found:
            axes.plot(
                [at - start for at, _ in samples],
                [value / scale for _, value in samples],
                label=_legend(query, labels),
                linewidth=1.2,
                clip_on=False,  # or a line at 0 would hide behind the axis
            )
            num_lines += 1
    highest = max(value for _, found in answers for _, samples in found for _, value in samples) / scale
    axes.set_ylim(0, highest * 1.15 or 1)
    axes.set_ylabel(unit, fontsize=7)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=6, loc="best", ncols=1 + num_lines // _MANY_LABELS, framealpha=0.6)


def _draw_heat_map(axes: Axes, found: Found, start: float) -> None:
    """Cumulative buckets become shares of their own, one row each."""
    columns: dict[float, dict[float, float]] = defaultdict(dict)
    for labels, samples in found:
        for at, value in samples:
            columns[at][float(labels["le"])] = value
    times, edges = sorted(columns), sorted({edge for column in columns.values() for edge in column})
    cumulative = np.array([[columns[at].get(edge, 0.0) for at in times] for edge in edges])
    counts = np.diff(cumulative, axis=0, prepend=0.0)
    axes.imshow(
        np.sqrt(counts.clip(0)),
        aspect="auto",
        origin="lower",
        cmap="Oranges",
        extent=(times[0] - start, times[-1] - start, -0.5, len(edges) - 0.5),
    )
    shown = range(0, len(edges), 3)
    axes.set_yticks(shown, [f"≤ {edges[n]:g}" for n in shown])


def _legend(query: PanelQuery, labels: dict[str, str]) -> str:
    text = query.legend
    for name, value in labels.items():
        text = text.replace(f"{{{{{name}}}}}", value)
    text = text.replace("{{pod}}", "").replace("{{exported_pod}}", "")  # whichever it has not
    return text if len(text) <= _LONGEST_LEGEND else text[:_LONGEST_LEGEND] + "…"
