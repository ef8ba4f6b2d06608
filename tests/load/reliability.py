"""All that docs/reliability.md measures, in one run and as one table: `make reliability SECONDS=10`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from server.evaluation.serving import running_server
from tests.load.disturbances import (
    OWN_ANSWERS,
    Burst,
    Flood,
    Reloads,
    Restart,
    measure_burst,
    measure_flood,
    measure_reloads,
    measure_restart,
)
from tests.load.overload import Crowd, Overload, measure_crowds, measure_overloads
from tests.running_server import ARTIFACT

_BURSTS = (1000, 4000)
_NUM_RELOADS = 40
_HEADER = ("measured", "figures", "ratio", "goal", "of what")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A measurement.

    Args:
        ratio: Of two figures of this very run, as `meaning` says.
        goal: What it should be.
    """

    name: str
    figures: str
    ratio: float
    goal: str
    meaning: str


def overload_row(seen: Overload) -> Row:
    """How much of what it can the server does while more is asked of it."""
    num_calls = sum(seen.codes.values())
    num_in_time, num_late = (seen.codes.get(code, 0) for code in ("OK", "DEADLINE_EXCEEDED"))
    return Row(
        name=f"{seen.load:g} times the load, {seen.deadline_seconds:g} s, beam {seen.beam_size}",
        figures=f"{num_in_time} of {num_calls} calls in time, {num_late} late, "
        f"p99 {seen.p99_seconds:.2f} s, health p99 {1000 * seen.health_p99_seconds:.0f} ms",
        ratio=seen.goodput_ratio,
        goal="≥ 0.95",
        meaning="in time a second, to capacity",
    )


def crowd_rows(crowds: Iterable[Crowd]) -> Iterator[Row]:
    """How single callers fare beside bulk, and bulk beside them; the first crowd has no bulk."""
    alone, *others = crowds
    for crowd in others:
        yield Row(
            name=f"20 single callers beside {crowd.num_bulk_callers} of 1,000 texts a call",
            figures=f"p50 {crowd.p50_seconds:.2f} s, p99 {crowd.p99_seconds:.2f} s; alone "
            f"{alone.p50_seconds:.2f} and {alone.p99_seconds:.2f} s",
            ratio=crowd.p99_seconds / alone.p99_seconds,
            goal="≤ 3",
            meaning="p99, to that alone",
        )
        yield Row(
            name=f"{crowd.num_bulk_callers} of 1,000 texts a call beside 20 single callers",
            figures="",
            ratio=crowd.bulk_ratio,
            goal="≥ 0.9",
            meaning="texts a second, to those alone",
        )


def reloads_row(seen: Reloads) -> Row:
    """Whether memory grows with the number of reloads."""
    return Row(
        name=f"{seen.num_reloads} reloads",
        figures=f"{seen.start_mib:.0f} MiB at the start, {seen.early_mib:.0f} at most in the first half, "
        f"{seen.late_mib:.0f} in the second",
        ratio=seen.late_mib / seen.early_mib,
        goal="≤ 1.1",
        meaning="most memory of the second half, to that of the first",
    )


def restart_row(seen: Restart) -> Row:
    """How many calls a kill costs."""
    return Row(
        name="killed with -9 and started again",
        figures=f"{seen.num_lost} of {seen.num_calls} calls lost, the longest took "
        f"{seen.longest_seconds:.1f} s, the server was away for {seen.away_seconds:.1f} s",
        ratio=seen.num_lost / seen.num_calls,
        goal="0",
        meaning="calls lost, to all",
    )


def burst_row(seen: Burst) -> Row:
    """Whether the server itself answers each call of a burst."""
    codes = ", ".join(f"{count} {code}" for code, count in sorted(seen.codes.items()))
    return Row(
        name=f"{seen.num_calls} calls at once",
        figures=f"{codes}, in {seen.seconds:.1f} s",
        ratio=sum(seen.codes.get(code, 0) for code in OWN_ANSWERS) / seen.num_calls,
        goal="1",
        meaning="answered, or refused by name, to all",
    )


def flood_row(seen: Flood) -> Row:
    """What a connection that cancels calls without end costs the others."""
    closed = "not closed" if seen.closed_seconds is None else f"closed after {seen.closed_seconds:.1f} s"
    return Row(
        name="a connection that begins calls and cancels them, without end",
        figures=f"{closed}; of others' {seen.num_calls} calls {seen.num_lost} lost, the longest took "
        f"{seen.longest_seconds:.2f} s, alone {seen.alone_seconds:.2f} s",
        ratio=seen.num_lost / seen.num_calls,
        goal="0",
        meaning="calls of others lost, to all",
    )


def table(rows: Iterable[Row]) -> Iterator[str]:
    """Lines of Markdown, each as soon as its row is there."""
    yield f"| {' | '.join(_HEADER)} |"
    yield "|---" * len(_HEADER) + "|"
    for row in rows:
        yield f"| {row.name} | {row.figures} | {row.ratio:.3g} | {row.goal} | {row.meaning} |"


def _overloads(seconds: float) -> Iterator[Row]:
    with running_server(ARTIFACT) as address:
        yield from map(overload_row, measure_overloads(address, seconds))


def _crowds(seconds: float) -> Iterator[Row]:
    with running_server(ARTIFACT) as address:
        yield from crowd_rows(asyncio.run(measure_crowds(address, seconds)))


def _bursts(_: float) -> Iterator[Row]:
    with running_server(ARTIFACT) as address:
        for num_calls in _BURSTS:
            yield burst_row(measure_burst(address, num_calls))


def _flood(seconds: float) -> Iterator[Row]:
    with running_server(ARTIFACT) as address:
        yield flood_row(measure_flood(address, seconds))


def _reloads(_: float) -> Iterator[Row]:
    yield reloads_row(measure_reloads(_NUM_RELOADS))


def _restart(seconds: float) -> Iterator[Row]:
    yield restart_row(measure_restart(seconds))


_MEASUREMENTS: dict[str, Callable[[float], Iterator[Row]]] = {
    "overload": _overloads,
    "crowds": _crowds,
    "bursts": _bursts,
    "flood": _flood,
    "reloads": _reloads,
    "restart": _restart,
}


def main() -> None:
    """Measure and print; nothing is kept."""
    parser = argparse.ArgumentParser(prog="tests.load.reliability", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each figure")
    parser.add_argument("--only", nargs="+", choices=_MEASUREMENTS, default=list(_MEASUREMENTS))
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    print(f"{cores} cores, Python {sys.version.split()[0]}, {arguments.seconds:g} s a figure\n", flush=True)
    rows = (row for name in arguments.only for row in _MEASUREMENTS[name](arguments.seconds))
    for line in table(rows):
        print(line, flush=True)


if __name__ == "__main__":
    main()
