"""Draws deploy/grafana/preview.png from real servers on a good day: `make dashboard-preview`."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.deploy.drawing import draw
from tests.deploy.rule_files import ROOT
from tests.deploy.traffic import GOOD_DAY
from tests.deploy.watched import watched_servers

PREVIEW = ROOT / "deploy/grafana/preview.png"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="of load (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=PREVIEW)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        watched_servers(Path(folder), arguments.seconds, GOOD_DAY) as watched,
    ):
        draw(watched, arguments.output)
    print(f"{arguments.output}: {arguments.output.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
