"""Trains small models of every architecture and measures them: `make architectures DATA=DIR`."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch

from tests.architectures.measurements import measure, measure_served
from tests.architectures.report import write_report
from tests.architectures.runs import train
from tests.architectures.variants import Places

_ROOT = Path(__file__).parents[2]
_STAGES = {"train": train, "measure": measure, "serve": measure_served, "report": write_report}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tests.architectures.study", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the Tatoeba files")
    parser.add_argument("--build", type=Path, default=_ROOT / "build/architectures", help="keeps the runs")
    parser.add_argument(
        "--only", choices=_STAGES, action="append", help="stages, all by default; what is done stays done"
    )
    return parser


def main() -> None:
    """Run the study."""
    arguments = _parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    places = Places(data=arguments.data, build=arguments.build)
    for name, stage in _STAGES.items():
        if not arguments.only or name in arguments.only:
            stage(places)


if __name__ == "__main__":
    main()
