"""Serves an fp16 artifact on the stand-in for a card, for the log of what was asked of it.

python -m tests.cuda.probe LIBRARIES ARTIFACT    (environment: see standin/runtime.c; WITHOUT_CUDNN=1)

It prints where ONNX Runtime has placed each graph's nodes. No translation is right: no kernel runs.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

LIBRARIES = ("cudart.so.13", "cuda.so.1", "cublasLt.so.13", "cublas.so.13", "curand.so.10", "cudnn.so.9")
NUM_SLOTS = 6
MAX_BEAM_SIZE = 4
NUM_COPIES = 200
TARGET_TOKENS = 6


def load_standin(folder: Path) -> ctypes.CDLL:
    """Put the libraries in the place of CUDA's; they are found by their names from then on."""
    names = [name for name in LIBRARIES if not (name.startswith("cudnn") and os.environ.get("WITHOUT_CUDNN"))]
    loaded = [ctypes.CDLL(str(folder / f"lib{name}"), mode=ctypes.RTLD_GLOBAL) for name in names]
    return loaded[0]


def main(libraries: Path, folder: Path) -> None:
    """Load, warm up and serve, each under a heading of the log."""
    runtime = load_standin(libraries)
    # Only now: ONNX Runtime looks for CUDA when it is imported.
    from export.contract.manifest import load_manifest  # noqa: PLC0415
    from server.config import ServerConfig  # noqa: PLC0415
    from server.engine.engine import Engine, StepReport  # noqa: PLC0415
    from server.engine.session import ModelSession, SessionConfig  # noqa: PLC0415
    from server.models.loading import _engines  # noqa: PLC0415
    from server.models.warm_up import warm_up  # noqa: PLC0415
    from server.telemetry.metrics import Metrics  # noqa: PLC0415
    from server.work.busy_runners import BusyRunners  # noqa: PLC0415
    from server.work.worker import Worker  # noqa: PLC0415

    def mark(text: str) -> None:
        runtime.standin_mark(text.encode())

    class MarkedEngine(Engine):
        def decode_step(self) -> StepReport | None:
            mark(f"step {self.num_running}")
            report = super().decode_step()
            mark("between steps")
            return report

    manifest = load_manifest(folder)
    mark("load")
    session = ModelSession.load(folder, manifest, SessionConfig(device="cuda"), threading.RLock())

    def prepare(engine: Engine) -> None:
        mark("warm-up")
        warm_up(engine, manifest, MAX_BEAM_SIZE, by_rows=True)
        mark("ready")

    config = ServerConfig(artifacts=(folder,), slots=NUM_SLOTS, max_beam_size=MAX_BEAM_SIZE)
    (limited,) = _engines(session, config)
    engine = MarkedEngine(session, NUM_SLOTS, limited.max_pool_bytes)
    worker = Worker("standin", [engine], Metrics(), 99, BusyRunners(), prepare=prepare)
    worker.start()
    for width in (1, MAX_BEAM_SIZE):
        mark(f"serve {width}")
        serve(worker, width)
    mark("stop")
    worker.stop()
    mark("copies")
    copy_columns(session)
    mark("end")
    print(json.dumps({"pool_bytes": limited.max_pool_bytes, "placement": placement(folder)}))


def serve(worker: Any, width: int) -> None:
    """As many texts as there are slots."""
    from server.engine.sequence import Beam  # noqa: PLC0415
    from server.work.job import Job  # noqa: PLC0415
    from server.work.options import SearchOptions  # noqa: PLC0415

    options = SearchOptions(method=Beam(beam_size=width), length_penalty=1.0, max_target_tokens=TARGET_TOKENS)
    jobs = [Job(source=(300, 301 + i, 302, 3), options=options, deadline=None) for i in range(NUM_SLOTS)]
    for _, future in worker.submit(jobs):
        future.result(120)


def copy_columns(session: Any) -> None:
    """Hypotheses that are reordered, on their way into the next step."""
    from server.engine.graph_runner import GraphRunner  # noqa: PLC0415
    from server.engine.tensors.cuda import CudaStorage  # noqa: PLC0415
    from server.engine.tensors.lane_shape import LaneShape  # noqa: PLC0415

    if not session.manifest.caches:
        return
    shape = LaneShape(rows=NUM_SLOTS, width=MAX_BEAM_SIZE, source_capacity=16, columns=NUM_COPIES + 1)
    storage = CudaStorage(GraphRunner(session), shape)
    storage.copy_columns(0, 1, 0, NUM_COPIES)
    storage.prepare_step()


def placement(folder: Path) -> dict[str, dict[str, list[str]]]:
    """By graph and provider the operators of its nodes."""
    import onnxruntime  # noqa: PLC0415

    from server.engine.device import providers_of  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    placed: dict[str, dict[str, list[str]]] = {}
    for path in sorted(folder.glob("*.onnx")):
        session = onnxruntime.InferenceSession(
            str(path),
            options,
            providers=providers_of("cuda", path.stem),
            disabled_optimizers=["SkipLayerNormFusion"],
        )
        by_provider: dict[str, list[str]] = defaultdict(list)
        for part in session.get_provider_graph_assignment_info():
            by_provider[part.ep_name] += [node.op_type for node in part.get_nodes()]
        placed[path.stem] = by_provider
    return placed


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
