"""Writes docs/architectures.md: the text of report.md, with the tables of what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template

import torch

from model.training.config import load_run_config
from tests.architectures import gradients, served, speed
from tests.architectures.figures import draw_all
from tests.architectures.held_out import BUCKETS
from tests.architectures.measurements import (
    attention_of,
    gradients_of,
    has_attention,
    lengths_of,
    searches_of,
    served_of,
    source_use_of,
    speed_of,
)
from tests.architectures.runs import read_curve
from tests.architectures.variants import AGAIN, BY_LENGTH, CONFIGS, HOT, SCORES, VARIANTS, Places

_ROOT = Path(__file__).parents[2]
_TEMPLATE = Path(__file__).with_name("report.md")
_OUTPUT = _ROOT / "docs/architectures.md"
_DISTANCES = (0, 1, 5, 10, 20, 40, 59)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---", *["--:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _name(variant: str) -> str:
    return f"`{variant}`"


def _all_table(places: Places) -> str:
    rows = []
    for variant in VARIANTS:
        found, curve = lengths_of(places, variant), read_curve(places.run(variant))
        rows.append(
            [
                _name(variant),
                f"{found.num_parameters / 1e6:.2f} M",
                f"{curve.tokens[-1] / 1e6:.2f} M",
                f"{curve.seconds[-1]:.0f}",
                f"{found.loss:.2f}",
                *(f"{bleu:.1f}" for bleu in found.bleu[:2]),
            ]
        )
    short = [f"BLEU, {first}-{last} tokens" for first, last in BUCKETS[:2]]
    return _table(["variant", "weights", "target tokens", "seconds", "held-out loss", *short], rows)


def _source_use_table(places: Places) -> str:
    rows = [[_name(v), *(f"{nats:.1f}" for nats in source_use_of(places, v).saved_nats)] for v in BY_LENGTH]
    return _table(["nats saved, by source tokens", *(f"{first}-{last}" for first, last in BUCKETS)], rows)


def _gradient_table(places: Places) -> str:
    rows = []
    for variant in gradients.VARIANTS:
        found = gradients_of(places, variant)
        for kind, norms in (("first weights", found.fresh), ("trained", found.trained)):
            rows.append([f"{_name(variant)}, {kind}", *(f"{norms[i] / norms[0]:.0e}" for i in _DISTANCES)])
    return _table(["distance, tokens", *map(str, _DISTANCES)], rows)


def _speed_table(places: Places) -> str:
    found = speed_of(places)
    rows = []
    for kind, figures, unit in (
        ("tokens/s", found.tokens_per_second, 1),
        ("tokens/s, one sentence", found.alone, 1),
        ("KiB kept a token", found.saved_bytes, 1024),
    ):
        for variant, values in figures.items():
            rows.append([f"{_name(variant)}, {kind}", *(f"{value / unit:,.0f}" for value in values)])
    return _table(["source and target tokens, each", *map(str, speed.LENGTHS)], rows)


def _attention_table(places: Places, variants: Sequence[str]) -> str:
    rows = []
    for variant in variants:
        found, quality = attention_of(places, variant), lengths_of(places, variant)
        entropies = [found.entropy.get(kind) for kind in ("source", "encoder", "target")]
        rows.append(
            [
                _name(variant),
                f"{quality.loss:.2f}",
                *(f"{bleu:.1f}" for bleu in quality.bleu[:2]),
                f"{100 * found.anchor_accuracy:.0f} %",
                *("" if entropy is None else f"{entropy:.2f}" for entropy in entropies),
            ]
        )
    short = [f"BLEU, {first}-{last} tokens" for first, last in BUCKETS[:2]]
    entropy = ["entropy: source", "encoder", "target"]
    return _table(["variant", "held-out loss", *short, "anchors met", *entropy], rows)


def _searches_table(places: Places) -> str:
    found = searches_of(places)
    rows = []
    for i, method in enumerate(found.methods):
        row = [method]
        for kind in range(2):
            row += [f"{figures[i][kind]:.1f}" for figures in (found.bleu, found.chrf)]
            row += [f"{figures[i][kind]:.3f}" for figures in (found.distinct_1, found.distinct_2)]
            row.append(f"{100 * found.repeated_4[i][kind]:.1f} %")
        rows.append(row)
    columns = ["BLEU", "chrF", "distinct-1", "distinct-2", "repeated 4-grams"]
    return _table(["method", *columns, *(f"{column}, joined" for column in columns)], rows)


def _served_table(places: Places) -> str:
    found = served_of(places)
    rate, latency = found.ratios()
    rows = []
    for model in rate:
        rates, times = found.tokens_per_second[model], found.milliseconds_per_token[model]
        spread = [a / b for a, b in zip(rates, found.tokens_per_second[served.REFERENCE], strict=True)]
        rows.append(
            [
                _name(model),
                f"{found.target_tokens[model]:.0f}",
                f"{statistics.median(rates):,.0f}",
                f"{rate[model]:.2f} ({min(spread):.2f}-{max(spread):.2f})",
                f"{statistics.median(times):.2f}",
                f"{latency[model]:.2f}",
            ]
        )
    columns = ["tokens a text", "tokens/s", "over the Transformer's (least-most)", "ms a token, alone"]
    return _table(["model", *columns, "over the Transformer's"], rows)


def _chance(places: Places) -> tuple[float, float]:
    """What another seed moves: held-out loss, and BLEU of the first buckets, at most."""
    loss, bleu = [], []
    for again in AGAIN:
        one, other = (lengths_of(places, v) for v in (again.removesuffix("-again"), again))
        loss.append(abs(one.loss - other.loss))
        bleu += [abs(a - b) for a, b in zip(one.bleu[:2], other.bleu[:2], strict=True)]
    return max(loss), max(bleu)


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    name = next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), "a processor"
    )
    return f"{name}, PyTorch {torch.__version__.split('+')[0]}"


def write_report(places: Places) -> None:
    """Draw every picture and fill the tables in."""
    draw_all(places, _OUTPUT.with_suffix(""))
    base = load_run_config(CONFIGS / "transformer.yaml")
    usual = [variant for variant in VARIANTS if variant not in (*HOT, *AGAIN)]
    seed_loss, seed_bleu = _chance(places)
    seconds = sum(read_curve(places.run(variant)).seconds[-1] for variant in VARIANTS)
    text = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        num_variants=len(usual),
        num_pairs=f"{base.data.concatenated_pairs:,}",
        vocabulary=f"{base.model.vocabulary_size:,}",
        num_steps=f"{base.training.max_steps:,}",
        num_tokens=f"{read_curve(places.run('transformer')).tokens[-1] / 1e6:.2f}",
        seed_loss=f"{seed_loss:.2f}",
        seed_bleu=f"{seed_bleu:.1f}",
        minutes=f"{seconds / 60:.0f}",
        processor=_processor(),
        rounds=served.ROUNDS,
        all_table=_all_table(places),
        source_use_table=_source_use_table(places),
        gradient_table=_gradient_table(places),
        speed_table=_speed_table(places),
        scores_table=_attention_table(places, SCORES),
        attention_table=_attention_table(
            places, [v for v in usual if has_attention(v) and v not in (*SCORES, *AGAIN)]
        ),
        searches_table=_searches_table(places),
        served_table=_served_table(places),
    )
    _OUTPUT.write_text(text, encoding="utf-8")
