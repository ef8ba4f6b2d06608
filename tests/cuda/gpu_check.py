"""What docs/gpu.md owes of a real GPU, a line of JSON for each part: `make gpu-check`.

    python -m tests.cuda.gpu_check ARTIFACT [--seconds 420] [--standin LIBRARIES]

The artifact's own graphs on CPU are the reference. A part stands alone: one that fails is told, and one for
which no time is left is named. On the stand-in, which runs no kernel, it is a rehearsal.
"""

from __future__ import annotations

import argparse
import json
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.cuda.probe import load_standin

SOURCE_LENGTHS = (1, 2, 3, 4, 15, 16, 17, 40, 100, 255, 256)
WIDTHS = (1, 4, 16)
NUM_STEPS = 12
NUM_TIMED = 20
SLOTS = 96
Part = Callable[[], dict[str, Any]]


class Check:
    """The artifact on both devices.

    Args:
        folder: The artifact, fp16.
    """

    def __init__(self, folder: Path) -> None:
        # Only now: ONNX Runtime looks for CUDA when it is imported.
        from export.contract.manifest import load_manifest  # noqa: PLC0415
        from server.engine.session import ModelSession, SessionConfig  # noqa: PLC0415

        self.manifest = load_manifest(folder)
        self.on_cpu = ModelSession.load(folder, self.manifest, SessionConfig(device="cpu"))
        self.on_gpu = ModelSession.load(folder, self.manifest, SessionConfig(device="cuda"))
        self.random = np.random.default_rng(1)

    def lanes(self, width: int, rows: int, *sessions: Any) -> list[Any]:
        """A lane of each session."""
        from server.engine.graph_runner import GraphRunner  # noqa: PLC0415
        from server.engine.lane import LaneKey, lane_shape  # noqa: PLC0415
        from server.engine.source_lengths import capacity_for  # noqa: PLC0415
        from server.engine.tensors.lane_tensors import new_lane_tensors  # noqa: PLC0415

        key = LaneKey(width=width, capacity=capacity_for(self.manifest, self.manifest.max_source_tokens))
        shape = replace(lane_shape(self.manifest, key, num_slots=2), rows=max(2, rows))
        return [new_lane_tensors(GraphRunner(session), shape) for session in sessions]

    def join(self, lanes: list[Any], lengths: list[int]) -> None:
        """The same random sources into the first rows of each lane, encoded one by one."""
        vocabulary = self.manifest.vocabulary_size
        for row, length in enumerate(lengths):
            source = self.random.integers(vocabulary // 2, vocabulary, (1, length))
            for lane in lanes:
                lane.encode(source, np.array([length]), np.array([row]))
                lane.reset(row, length)

    def step(self, lanes: list[Any], num_rows: int, width: int) -> list[Any]:
        """The log-probabilities (n, W, V) of each lane, which then go on with the same random tokens."""
        from export.contract.graph_names import GraphName  # noqa: PLC0415
        from server.engine.searches.search import Continuation, keep_places  # noqa: PLC0415

        asked = frozenset((GraphName.LOG_PROBS,))
        scores = [lane.step(max(2, num_rows), asked).log_probs[:num_rows].copy() for lane in lanes]
        vocabulary, continuations = self.manifest.vocabulary_size, {}
        for row in range(num_rows):
            drawn = self.random.integers(0, width, width).tolist()
            tokens = self.random.integers(vocabulary // 2, vocabulary, width).tolist()
            continuations[row] = Continuation([drawn[i] for i in keep_places(drawn)], tokens)
        for lane in lanes:
            lane.advance(continuations)
        return scores

    def parity(self, width: int) -> dict[str, Any]:
        """By source length the largest difference to the CPU's log-probabilities."""
        lengths = [n for n in SOURCE_LENGTHS if n <= self.manifest.max_source_tokens]
        lanes = self.lanes(width, len(lengths), self.on_cpu, self.on_gpu)
        self.join(lanes, lengths)
        pairs = [self.step(lanes, len(lengths), width) for _ in range(NUM_STEPS)]
        differences = np.stack([np.abs(cpu - gpu).max(axis=2) for cpu, gpu in pairs]).max(axis=0)  # (n, W)
        flips = np.mean([(cpu.argmax(2) != gpu.argmax(2)).mean() for cpu, gpu in pairs])
        return {
            "largest difference by source length": dict(
                zip(map(str, lengths), map(float, differences.max(axis=1).round(4)), strict=True)
            ),
            "of the last hypothesis": float(differences[:, -1].max().round(4)),
            "other best tokens": float(flips.round(4)),
        }

    def other_thread(self) -> dict[str, Any]:
        """A lane that another thread goes on with: it captures anew, and its states stay right."""
        lanes = self.lanes(4, 2, self.on_cpu, self.on_gpu)
        self.join(lanes, [7, 33])
        differences: list[float] = []

        def steps() -> None:
            for _ in range(3):
                cpu, gpu = self.step(lanes, 2, 4)
                differences.append(float(np.abs(cpu - gpu).max().round(4)))

        for _ in range(2):
            thread = threading.Thread(target=steps)
            thread.start()
            thread.join()
        return {"largest difference by step, of two threads": differences}

    def alone_and_batched(self) -> dict[str, Any]:
        """How far a row's log-probabilities move with the number of rows beside it."""
        sources, scores = [20] * SLOTS, {}
        for rows in (2, 8, 32, SLOTS):
            self.random = np.random.default_rng(2)
            lanes = self.lanes(1, SLOTS, self.on_gpu)
            self.join(lanes, sources[:rows])
            scores[rows] = self.step(lanes, rows, 1)[0][0]
        return {"difference to 2 rows": {n: float(np.abs(s - scores[2]).max()) for n, s in scores.items()}}

    def step_times(self) -> dict[str, Any]:
        """Median microseconds of a step by width and rows."""
        times = {}
        for width in (1, 4):
            (lane,) = self.lanes(width, SLOTS, self.on_gpu)
            for rows in (2, 8, 32, SLOTS):
                lane.step(rows)
                laps = [_seconds(partial(lane.step, rows)) for _ in range(NUM_TIMED)]
                times[f"width {width}, {rows} rows"] = round(1e6 * statistics.median(laps), 1)
        return {"microseconds": times}

    def parts(self) -> dict[str, Part]:
        """By name, the most important first."""
        parity = {f"parity, width {width}": partial(self.parity, width) for width in WIDTHS}
        return {
            **parity,
            "other thread": self.other_thread,
            "alone and batched": self.alone_and_batched,
            "step times": self.step_times,
        }


def _seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _told(run: Part) -> dict[str, Any]:
    try:
        return run()
    except Exception as error:  # noqa: BLE001 - the other parts go on
        return {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Run the parts as long as there is time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--seconds", type=float, default=420)
    parser.add_argument("--standin", type=Path, help="libraries in place of CUDA's, for a rehearsal")
    arguments = parser.parse_args()
    if arguments.standin:
        load_standin(arguments.standin)
    started = time.monotonic()
    for name, run in Check(arguments.artifact).parts().items():
        began = time.monotonic()
        is_late = began - started > arguments.seconds
        told = {"error": "no time is left"} if is_late else _told(run)
        print(json.dumps({"part": name, "seconds": round(time.monotonic() - began, 2), **told}), flush=True)


if __name__ == "__main__":
    main()
