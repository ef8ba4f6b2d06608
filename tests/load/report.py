"""What the bench says: a table for people, build/bench.json for programs."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.load.gemm_rate import GemmRate, operations_per_token, token_limit
from tests.load.overhead import Overhead
from tests.load.rounds import Figure
from tests.load.subjects import NUM_CORES


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a run of the bench found.

    Args:
        rows: Ratios to peers.
        rates: Of the int8 products.
        overheads: By model, what serving adds to a single request.
    """

    rows: Sequence[Figure] = ()
    rates: Sequence[GemmRate] = ()
    overheads: Mapping[str, Overhead] = field(default_factory=dict)


_LIBRARIES = ("onnxruntime", "ctranslate2", "transformers", "torch", "numpy", "mlcommons-loadgen")
_COLUMNS = "{:<22} {:<8} {:<17} {:>6} {:>6} {:>6}  {:>9} {:>9} {:<16} {:>12} {:>12}  {}"
_DECODING_ROW = ("bulk_greedy", "base", "ctranslate2-int8")


def table(rows: Sequence[Figure]) -> str:
    """One line for each row; ratios are ours over the peer's speed."""
    titles = ("row", "model", "peer", "median", "min", "max", "ours", "peer", "unit")
    lines = [_COLUMNS.format(*titles, "BLEU/chrF", "peer's", "peer's setting")]
    for row in rows:
        ratios = (f"{ratio:.2f}" for ratio in (row.ratio_median, row.ratio_min, row.ratio_max))
        medians = (f"{value:,.1f}" for value in (row.ours_median, row.peer_median))
        qualities = (_quality(row.ours_bleu, row.ours_chrf), _quality(row.peer_bleu, row.peer_chrf))
        lines.append(_COLUMNS.format(*row.key, *ratios, *medians, row.unit, *qualities, row.peer_setting))
    return "\n".join(line.rstrip() for line in lines)


def _quality(bleu: float | None, chrf: float | None) -> str:
    return "-" if bleu is None or chrf is None else f"{bleu:.2f}/{chrf:.2f}"


def gemm_table(rates: Sequence[GemmRate], rows: Sequence[Figure]) -> str:
    """The rate of each shape, and the share of the limit that decoding reaches, where that was measured."""
    lines = [f"int8 products of the base model, {NUM_CORES} cores, 10^9 operations/s:"]
    lines += [f"  {r.shape.name:<28} {r.shape.rows:>4} rows {r.gops:>7,.0f}" for r in rates]
    limit, work = token_limit(rates), operations_per_token(rates)
    lines.append(
        f"  {work / 1e6:.0f} million operations a target token at {work * limit / 1e9:,.0f}: "
        f"at most {limit:,.0f} target tokens/s"
    )
    reached = [row for row in rows if row.key == _DECODING_ROW]
    lines += [
        f"  reached: ours {row.ours_median / limit:.0%}, {row.peer} {row.peer_median / limit:.0%}"
        for row in reached
    ]
    return "\n".join(lines)


def overhead_lines(overheads: Mapping[str, Overhead]) -> str:
    """One line for each model."""
    return "\n".join(
        f"single request, {model}: {found.client_milliseconds:.2f} ms for a client, "
        f"{found.server_milliseconds:.2f} ms in the server, "
        f"{found.added_milliseconds:.2f} ms more than in the engine"
        for model, found in overheads.items()
    )


def write(path: Path, measured: Measured, *, keep: bool) -> list[Figure]:
    """Write what was measured.

    Args:
        keep: What is in the file and was not measured now stays in it.

    Returns:
        All rows in the file.
    """
    old = json.loads(path.read_text(encoding="utf-8")) if keep and path.is_file() else {}
    by_key = {row.key: row for row in (Figure(**fields) for fields in old.get("rows", ()))}
    by_key |= {row.key: row for row in measured.rows}
    overheads = {
        model: dataclasses.asdict(found) | {"added_milliseconds": found.added_milliseconds}
        for model, found in measured.overheads.items()
    }
    content = {
        "rows": [dataclasses.asdict(row) for row in by_key.values()],
        "gemm": [dataclasses.asdict(rate) for rate in measured.rates] or old.get("gemm", []),
        "single_request_overhead": old.get("single_request_overhead", {}) | overheads,
        "versions": {name: importlib.metadata.version(name) for name in _LIBRARIES},
        "machine": _machine(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return list(by_key.values())


def _machine() -> dict[str, Any]:
    return {
        "processor": _processor(),
        "load_average": os.getloadavg()[0],
        "num_cores": NUM_CORES,
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    """Its name and what int8 arithmetic it has, where Linux tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    facts: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    extensions = [flag for flag in facts.get("flags", "").split() if "vnni" in flag or "amx_int8" in flag]
    return " ".join((facts.get("model name", platform.processor()), *extensions))
