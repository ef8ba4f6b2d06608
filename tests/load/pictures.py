"""The bench's pictures for the documentation, drawn from the stored curves alone.

python -m tests.load.pictures --build build --output docs
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import StrMethodFormatter

from tests.architectures.plots import Line, draw_lines, picture
from tests.load.curve_store import BATCHES, LENGTHS, SERVED, Point, read_curves
from tests.load.loadgen import LATENCY_BOUND_MILLISECONDS

Systems = Mapping[str, list[Point]]


def draw_pictures(build: Path, output: Path) -> list[Path]:
    """Draw what `build` has points of; returns the SVG files."""
    curves = read_curves(build)
    written = []
    for model, systems in curves.get(SERVED, {}).items():
        written.append(output / f"bench-served-{model}.svg")
        with picture(written[-1], 2) as (throughput, latency):
            _draw_throughput(throughput, systems)
            _draw_latency(latency, systems)
    for section, draw in ((BATCHES, _draw_batches), (LENGTHS, _draw_lengths)):
        if models := curves.get(section):
            written.append(output / f"bench-{section}.svg")
            _draw_models(written[-1], models, draw)
    return written


def _draw_models(path: Path, models: Mapping[str, Systems], draw: Callable[[Axes, Systems], None]) -> None:
    with picture(path, len(models)) as panels:
        for axes, (model, systems) in zip(panels, models.items(), strict=True):
            draw(axes, systems)
            axes.set_title(f"{axes.get_title()}, {model} model")


def _line(points: list[Point], x: str, y: str) -> Line:
    return [point[x] for point in points], [point[y] for point in points]


def _draw_throughput(axes: Axes, systems: Systems) -> None:
    lines = {name: _line(points, "rate", "completed_rate") for name, points in systems.items()}
    draw_lines(axes, lines, marker="o", title="requests answered a second")
    axes.set_xlabel("requests offered a second")
    axes.set_ylim(bottom=0)


def _draw_latency(axes: Axes, systems: Systems) -> None:
    """The 99th percentile as a line with the bound, the median dashed."""
    lines = {f"{name}, p99": _line(points, "rate", "p99_milliseconds") for name, points in systems.items()}
    draw_lines(axes, lines, marker="o", title="latency in ms")
    for i, (name, points) in enumerate(systems.items()):
        x, y = _line(points, "rate", "p50_milliseconds")
        axes.plot(x, y, color=f"C{i}", linestyle="dashed", linewidth=1, label=f"{name}, p50")
    axes.axhline(LATENCY_BOUND_MILLISECONDS, color="0.4", linestyle="dotted", linewidth=1)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.set_xlabel("requests offered a second")
    axes.legend()


def _draw_batches(axes: Axes, systems: Systems) -> None:
    lines = {name: _line(points, "batch", "target_tokens_per_second") for name, points in systems.items()}
    draw_lines(axes, lines, marker="o", title="target tokens/s")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.set_xlabel("sentences at once")
    axes.set_ylim(bottom=0)


def _draw_lengths(axes: Axes, systems: Systems) -> None:
    lines = {name: _line(points, "target_tokens", "milliseconds") for name, points in systems.items()}
    draw_lines(axes, lines, marker="o", title="ms for one sentence")
    axes.set_xlabel("target tokens")
    axes.set_ylim(bottom=0)


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description="Draw the bench's pictures.")
    parser.add_argument("--build", type=Path, default=Path("build"), help="folder with the curves")
    parser.add_argument("--output", type=Path, default=Path("docs"))
    arguments = parser.parse_args()
    for path in draw_pictures(arguments.build, arguments.output):
        print(path)


if __name__ == "__main__":
    main()
