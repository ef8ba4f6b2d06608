"""Draws every picture of the report from what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.architectures import attention_weights, gradients, speed
from tests.architectures.held_out import BUCKETS
from tests.architectures.measurements import (
    gradients_of,
    lengths_of,
    random_scores,
    searches_of,
    served_of,
    source_use_of,
    speed_of,
)
from tests.architectures.plots import Line, draw_bars, draw_lines, picture
from tests.architectures.runs import Curve, read_curve
from tests.architectures.variants import (
    BY_LENGTH,
    HEADS,
    HOT,
    NORM,
    POSITIONS,
    SCALE,
    SCORES,
    WITH_ATTENTION,
    WITHOUT_ATTENTION,
    Places,
)

_SMOOTHED_POINTS = 6
_LOSS = "training loss, nats a token"
_TOKENS = "target tokens, millions"


def smoothed(values: Sequence[float]) -> list[float]:
    """The mean of each point and the few before it."""
    return [statistics.fmean(values[max(0, i + 1 - _SMOOTHED_POINTS) : i + 1]) for i in range(len(values))]


def _by_tokens(curve: Curve) -> Line:
    return [tokens / 1e6 for tokens in curve.tokens], smoothed(curve.losses)


def _by_seconds(curve: Curve) -> Line:
    return curve.seconds, smoothed(curve.losses)


def _curves(
    places: Places, variants: Sequence[str], line: Callable[[Curve], Line] = _by_tokens
) -> dict[str, Line]:
    """Training curves; the first, steep points are left out."""
    found = {}
    for variant in variants:
        x, y = line(read_curve(places.run(variant)))
        found[variant] = (x[_SMOOTHED_POINTS:], y[_SMOOTHED_POINTS:])
    return found


def draw_learning(places: Places, path: Path) -> None:
    """All recurrent models and the Transformer, by tokens and by seconds."""
    with picture(path, 3) as (without, with_attention, by_seconds):
        draw_lines(without, _curves(places, WITHOUT_ATTENTION), title="without attention")
        draw_lines(with_attention, _curves(places, (*WITH_ATTENTION, "transformer")), title="with attention")
        shown = (*WITH_ATTENTION, "transformer")
        draw_lines(by_seconds, _curves(places, shown, _by_seconds), title="the same by time")
        without.set(xlabel=_TOKENS, ylabel=_LOSS)
        with_attention.set(xlabel=_TOKENS)
        by_seconds.set(xlabel="processor seconds of one core")
        for axes in (with_attention, by_seconds):
            axes.sharey(without)


def draw_bottleneck(places: Places, path: Path) -> None:
    """Quality by length of the source."""
    found = {variant: lengths_of(places, variant) for variant in BY_LENGTH}
    middles = [(first + last) / 2 for first, last in BUCKETS]
    with picture(path, 3) as (bleu, loss, saved):
        draw_lines(bleu, {v: (middles, found[v].bleu) for v in BY_LENGTH}, "o")
        draw_lines(loss, {v: (middles, found[v].losses) for v in BY_LENGTH}, "o")
        draw_lines(saved, {v: (middles, source_use_of(places, v).saved_nats) for v in BY_LENGTH}, "o")
        saved.set(xlabel="source tokens", ylabel="nats a target that its source saves")
        bleu.set(xlabel="source tokens", ylabel="BLEU, greedy")
        loss.set(xlabel="source tokens", ylabel="held-out loss, nats a token")


def draw_gradients(places: Places, path: Path) -> None:
    """Gradients by distance, over the one at distance 0."""
    found = {variant: gradients_of(places, variant) for variant in gradients.VARIANTS}
    distances = list(range(gradients.LENGTH))

    def relative(values: list[float]) -> Line:
        return distances, [value / values[0] for value in values]

    with picture(path, 2) as (fresh, trained):
        draw_lines(fresh, {v: relative(found[v].fresh) for v in found}, title="first weights")
        draw_lines(trained, {v: relative(found[v].trained) for v in found}, title="trained")
        for axes in (fresh, trained):
            axes.set_yscale("log")
            axes.set(xlabel="distance, tokens")
        fresh.set(ylabel="gradient's norm, over that at distance 0")


def draw_speed(places: Places, path: Path) -> None:
    """Cost of a training step by length."""
    found = speed_of(places)
    with picture(path, 3) as (rate, alone, kept):
        title = f"batches of {speed.BATCH_TOKENS} tokens"
        draw_lines(rate, {v: (speed.LENGTHS, y) for v, y in found.tokens_per_second.items()}, "o", title)
        draw_lines(alone, {v: (speed.LENGTHS, y) for v, y in found.alone.items()}, "o", "one sentence")
        draw_lines(
            kept, {v: (speed.LENGTHS, [b / 1024 for b in y]) for v, y in found.saved_bytes.items()}, "o"
        )
        alone.sharey(rate)
        for axes in (rate, alone, kept):
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.set(xlabel="source and target tokens, each")
            axes.set_xticks(speed.LENGTHS, [str(length) for length in speed.LENGTHS])
        rate.set(ylabel="target tokens a second, one core")
        kept.set(ylabel="KiB kept for the backward pass, a target token")


def draw_scores(places: Places, path: Path) -> None:
    """The scores of attention."""
    with picture(path, 2) as (loss, held_out):
        draw_lines(loss, _curves(places, SCORES))
        loss.set(xlabel=_TOKENS, ylabel=_LOSS)
        values = {variant: lengths_of(places, variant).loss for variant in SCORES}
        draw_bars(held_out, values, "held-out loss, nats a token", "{:.3f}")


def _draw_group(places: Places, path: Path, variants: Sequence[str]) -> None:
    middles = [(first + last) / 2 for first, last in BUCKETS]
    with picture(path, 2) as (loss, by_length):
        draw_lines(loss, _curves(places, variants))
        loss.set(xlabel=_TOKENS, ylabel=_LOSS)
        lines: dict[str, Line] = {v: (middles, lengths_of(places, v).losses) for v in variants}
        draw_lines(by_length, lines, "o")
        by_length.set(xlabel="source tokens", ylabel="held-out loss, nats a token")


def draw_scale(places: Places, path: Path) -> None:
    """With and without √D: training, and what it does to random vectors."""
    found, sizes = random_scores(places), attention_weights.HEAD_SIZES
    with picture(path, 3) as (loss, entropy, slope):
        draw_lines(loss, _curves(places, SCALE))
        loss.set(xlabel=_TOKENS, ylabel=_LOSS)
        draw_lines(entropy, {"scaled": (sizes, found.entropy), "not": (sizes, found.unscaled_entropy)}, "o")
        draw_lines(slope, {"scaled": (sizes, found.slope), "not": (sizes, found.unscaled_slope)}, "o")
        for axes in (entropy, slope):
            axes.set_xscale("log", base=2)
            axes.set_xticks(sizes, [str(size) for size in sizes])
            axes.set(xlabel="head size D, random vectors", ylim=(0, None))
        entropy.set(ylabel="entropy over that of equal weights")
        slope.set(ylabel="softmax's slope, median")


def draw_norm(places: Places, path: Path) -> None:
    """Pre- and post-norm, at the study's rate and at a higher one."""
    with picture(path, 2) as (usual, hot):
        draw_lines(usual, _curves(places, NORM), title="the study's learning rate")
        draw_lines(hot, _curves(places, HOT), title="three times as high, in a tenth of the warm-up")
        usual.set(xlabel=_TOKENS, ylabel=_LOSS)
        hot.set(xlabel=_TOKENS)


def draw_searches(places: Places, path: Path) -> None:
    """Quality against variety."""
    found = searches_of(places)
    with picture(path, 2) as panels:
        for i, (axes, title) in enumerate(zip(panels, ("single sentences", "four joined"), strict=True)):
            for name, bleu, distinct in zip(found.methods, found.bleu, found.distinct_2, strict=True):
                axes.plot(distinct[i], bleu[i], "o", label=name)
            axes.set(xlabel="distinct-2", ylabel="BLEU")
            axes.set_title(title)
        panels[1].legend()


def draw_served(places: Places, path: Path) -> None:
    """Served models over the Transformer."""
    found = served_of(places)
    rate, latency = found.ratios()
    with picture(path, 2) as (left, right):
        draw_bars(left, rate, "tokens a second, 16 clients")
        for axes in (left, right):
            axes.set(xlabel="over the Transformer's")
        draw_bars(right, latency, "time a token, one text alone")


def draw_all(places: Places, folder: Path) -> None:
    """Every picture."""
    draw_learning(places, folder / "learning.svg")
    draw_bottleneck(places, folder / "bottleneck.svg")
    draw_gradients(places, folder / "gradients.svg")
    draw_speed(places, folder / "speed.svg")
    draw_scores(places, folder / "scores.svg")
    _draw_group(places, folder / "heads.svg", HEADS)
    _draw_group(places, folder / "positions.svg", POSITIONS)
    draw_scale(places, folder / "scale.svg")
    draw_norm(places, folder / "norm.svg")
    draw_searches(places, folder / "searches.svg")
    draw_served(places, folder / "served.svg")
