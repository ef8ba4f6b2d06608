"""Serves on the stand-in while its card fails: once, and then for good.

python -m tests.cuda.failing LIBRARIES ARTIFACT

It prints, as JSON, what became of the texts of each round, and whether the device counts as lost.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

from tests.cuda.probe import MAX_BEAM_SIZE, NUM_SLOTS, load_standin

ILLEGAL_ADDRESS = 700  # an error that a context does not recover from


def main(libraries: Path, folder: Path) -> None:
    """Translate before, across and after a failure, and then on a card that is lost."""
    runtime = load_standin(libraries)
    # Only now: ONNX Runtime looks for CUDA when it is imported.
    from export.contract.manifest import load_manifest  # noqa: PLC0415
    from server.engine.engine import Engine  # noqa: PLC0415
    from server.engine.session import ModelSession, SessionConfig  # noqa: PLC0415
    from server.models.failures import is_device_lost  # noqa: PLC0415
    from server.models.warm_up import warm_up  # noqa: PLC0415
    from server.telemetry.metrics import Metrics  # noqa: PLC0415
    from server.work.busy_runners import BusyRunners  # noqa: PLC0415
    from server.work.worker import Worker  # noqa: PLC0415

    manifest = load_manifest(folder)
    session = ModelSession.load(folder, manifest, SessionConfig(device="cuda"), threading.RLock())

    def run_all_shapes(engine: Engine) -> None:
        warm_up(engine, manifest, MAX_BEAM_SIZE, by_rows=True)

    engine = Engine(session, NUM_SLOTS)
    worker = Worker("standin", [engine], Metrics(), 99, BusyRunners(), run_all_shapes, prepare=run_all_shapes)
    worker.start()
    rounds = [outcomes(worker)]
    runtime.standin_fail(ILLEGAL_ADDRESS, 0)
    rounds += [outcomes(worker), outcomes(worker)]
    runtime.standin_fail(ILLEGAL_ADDRESS, 1)
    rounds.append(outcomes(worker))
    worker._runners[0].thread.join(60)
    print(json.dumps({"rounds": rounds, "is_lost": is_device_lost(worker.failure)}))


def outcomes(worker: object) -> list[str]:
    """What becomes of as many texts as there are slots: translated, or the name of the error."""
    from server.engine.sequence import Beam  # noqa: PLC0415
    from server.errors import RequestError  # noqa: PLC0415
    from server.work.job import Job  # noqa: PLC0415
    from server.work.options import SearchOptions  # noqa: PLC0415
    from server.work.worker import Worker  # noqa: PLC0415

    assert isinstance(worker, Worker)
    options = SearchOptions(method=Beam(beam_size=1), length_penalty=1.0, max_target_tokens=6)
    jobs = [Job(source=(300, 301 + i, 302, 3), options=options, deadline=None) for i in range(NUM_SLOTS)]
    ends = []
    for _, future in worker.submit(jobs):
        try:
            future.result(120)
            ends.append("translated")
        except RequestError as error:
            ends.append(type(error).__name__)
    return ends


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
