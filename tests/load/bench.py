"""The bench, `make bench`: ours and its peers side by side in one run on the same weights and sentences."""

from __future__ import annotations

import argparse
import logging
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from tests.load import report
from tests.load.bulk import bulk_rows, shortlist_rows
from tests.load.gemm_rate import measure_gemm_rates
from tests.load.latency import latency_rows
from tests.load.report import Measured
from tests.load.rounds import Figure
from tests.load.served import ServedError, served_rows, single_request_overheads
from tests.load.served_limits import QUICK, THOROUGH, Effort
from tests.load.subjects import MODELS, Subject, subject

log = logging.getLogger("traghetto.bench")

_ROOT = Path(__file__).parents[2]
_GEMM = "gemm_rate"
_IN_PROCESS: dict[str, Callable[[str, Subject, int], Iterable[Figure]]] = {
    "bulk_greedy": bulk_rows,
    "bulk_beam4": bulk_rows,
    "bulk_greedy_shortlist": shortlist_rows,
    "latency_greedy": latency_rows,
    "latency_beam4": latency_rows,
}
_SERVED = "served_rate_p99"
_OVERHEAD = "single_request_overhead"
NAMES = (_GEMM, *_IN_PROCESS, _OVERHEAD, _SERVED)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure.

    Args:
        data: The folder with test sets for the bundled model; None takes the sentences of the tests.
        build: The folder for what is made and found.
        names: Of NAMES.
        models: Of MODELS.
        num_rounds: Paired rounds of each row.
        effort: How long the servers are offered each rate.
    """

    data: Path | None
    build: Path
    names: tuple[str, ...]
    models: tuple[str, ...]
    num_rounds: int
    effort: Effort = THOROUGH


def measure(plan: Plan) -> Measured:
    """Every row, one after the other; the rates of the products first, on an idle machine."""
    rates = measure_gemm_rates() if _GEMM in plan.names else []
    rows: list[Figure] = []
    chosen = [name for name in _IN_PROCESS if name in plan.names]
    for model in plan.models if chosen else ():
        prepared = subject(model, plan.build, plan.data)
        for name in chosen:
            for row in _IN_PROCESS[name](name, prepared, plan.num_rounds):
                log.info("%s", report.table([row]).splitlines()[1])
                rows.append(row)
    overheads = {}
    if _OVERHEAD in plan.names:
        overheads = single_request_overheads(plan.build, models=plan.models, data=plan.data)
    if _SERVED in plan.names:
        for model in plan.models:
            try:
                rows += served_rows(
                    plan.build, models=[model], rounds=plan.num_rounds, data=plan.data, effort=plan.effort
                )
            except ServedError as error:  # the other rows were measured all the same
                log.error("%s: %s", model, error)  # noqa: TRY400 - its message says all
    return Measured(rows=rows, rates=rates, overheads=overheads)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tests.load.bench", description=__doc__)
    parser.add_argument(
        "--data", type=Path, help="folder with test sets (default: the sentences of the tests)"
    )
    parser.add_argument("--build", type=Path, default=_ROOT / "build", help="keeps models and bench.json")
    parser.add_argument(
        "--only", nargs="+", choices=NAMES, help="these rows; others stay as they are in the file"
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--rounds", type=int, default=5, help="paired rounds (default: %(default)s)")
    parser.add_argument(
        "--quick", action="store_true", help="offer each rate for a third of the time: rougher served limits"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the bench."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    log.setLevel(logging.INFO)
    warnings.simplefilter("ignore")  # of libraries, about themselves
    torch.set_num_threads(1)
    plan = Plan(
        data=given.data,
        build=given.build,
        names=tuple(given.only or NAMES),
        models=tuple(given.models),
        num_rounds=given.rounds,
        effort=QUICK if given.quick else THOROUGH,
    )
    measured = measure(plan)
    is_partial = given.only is not None or plan.models != MODELS
    stored = report.write(given.build / "bench.json", measured, keep=is_partial)
    if measured.rows:
        print(report.table(measured.rows))
    if measured.overheads:
        print(report.overhead_lines(measured.overheads))
    if measured.rates:
        print(report.gemm_table(measured.rates, stored))


if __name__ == "__main__":
    main()
