"""What the table of `make reliability` says of what was seen."""

from __future__ import annotations

from tests.load.disturbances import Burst, Flood, Reloads, Restart
from tests.load.overload import Crowd, Overload
from tests.load.reliability import (
    burst_row,
    crowd_rows,
    flood_row,
    overload_row,
    reloads_row,
    restart_row,
    table,
)


def test_each_ratio_is_of_two_figures_of_the_run() -> None:
    overload = Overload(
        load=3.0,
        deadline_seconds=0.5,
        beam_size=4,
        capacity=100.0,
        goodput_ratio=0.97,
        p99_seconds=0.41,
        health_p99_seconds=0.02,
        codes={"OK": 970, "RESOURCE_EXHAUSTED": 2029, "DEADLINE_EXCEEDED": 1},
    )
    crowds = [
        Crowd(num_bulk_callers=0, p50_seconds=0.1, p99_seconds=0.2, bulk_ratio=0.0),
        Crowd(num_bulk_callers=4, p50_seconds=0.3, p99_seconds=0.5, bulk_ratio=0.93),
    ]
    rows = [
        overload_row(overload),
        *crowd_rows(crowds),
        reloads_row(Reloads(num_reloads=40, start_mib=100, early_mib=300, late_mib=270)),
        restart_row(Restart(num_calls=500, num_lost=5, longest_seconds=2.0, away_seconds=1.5)),
        burst_row(Burst(num_calls=10, seconds=1, codes={"OK": 6, "RESOURCE_EXHAUSTED": 3, "CANCELLED": 1})),
        flood_row(
            Flood(num_calls=50, num_lost=1, alone_seconds=0.2, longest_seconds=0.9, closed_seconds=6.5)
        ),
    ]
    assert [round(row.ratio, 3) for row in rows] == [0.97, 2.5, 0.93, 0.9, 0.01, 0.9, 0.02]
    assert "970 of 3000 calls in time, 1 late" in rows[0].figures


def test_the_table_is_markdown_with_a_line_a_row() -> None:
    row = reloads_row(Reloads(num_reloads=4, start_mib=100, early_mib=200, late_mib=200))
    header, rule, line = table([row])
    assert header.count("|") == rule.count("|") == line.count("|") == 6
    assert line.startswith("| 4 reloads | 100 MiB at the start")
