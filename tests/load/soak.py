"""A long run with random lengths and methods: does the server's memory grow?  `make soak`."""

from __future__ import annotations

import argparse
import json
import random
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from model.text.parallel_text import read_pairs
from server.evaluation.serving import running_server
from traghetto import CallError, Client, TextError

_ROOT = Path(__file__).parents[2]
_SENTENCES = _ROOT / "tests/data/en-it.tsv"
_ARTIFACTS = (_ROOT / "export/artifacts/en-it", _ROOT / "export/artifacts/en-it-lstm")
NUM_CLIENTS = 12
MAX_JOINED = 8  # sentences in one text
BEAM_SIZES = (1, 1, 2, 4, 5, 8)
SAMPLE_SECONDS = 5.0
MEBIBYTE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Soak:
    """What was seen.

    Args:
        rss_mib: Resident memory of the server, every SAMPLE_SECONDS.
        growth_mib_per_minute: Slope of a line through the second half.
    """

    seconds: float
    num_texts: int
    num_failed: int
    slowest_seconds: float
    rss_mib: list[float]
    growth_mib_per_minute: float


def _resident_mib(process_id: int) -> float:
    pages = int(Path(f"/proc/{process_id}/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / MEBIBYTE


def _children() -> list[int]:
    """Processes that this thread has started: the server."""
    listed = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text(encoding="ascii")
    return [int(word) for word in listed.split()]


class _Client:
    """Translates random texts until it is told to stop."""

    def __init__(self, address: str, texts: Sequence[str], seed: int) -> None:
        self.num_texts = self.num_failed = 0
        self.slowest_seconds = 0.0
        self.is_stopped = False
        self._address, self._texts, self._random = address, texts, random.Random(seed)
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with Client(self._address, timeout_seconds=120) as client:
            while not self.is_stopped:
                texts = [self._text() for _ in range(self._random.randint(1, 6))]
                model = self._random.choice([path.name for path in _ARTIFACTS])
                self.num_texts += len(texts)
                started = time.monotonic()
                try:
                    results = client.translate(
                        texts, "en", "it", model=model, beam_size=self._random.choice(BEAM_SIZES)
                    )
                except CallError:
                    self.num_failed += len(texts)
                else:
                    self.num_failed += sum(isinstance(result, TextError) for result in results)
                self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - started)

    def _text(self) -> str:
        return " ".join(self._random.choice(self._texts) for _ in range(self._random.randint(1, MAX_JOINED)))


def soak(seconds: float, seed: int = 1) -> Soak:
    """Load a server with both bundled models for some time and watch its resident memory."""
    texts = [english for english, _ in read_pairs(_SENTENCES)]
    with running_server(*_ARTIFACTS) as address:
        (process_id,) = _children()
        clients = [_Client(address, texts, seed + i) for i in range(NUM_CLIENTS)]
        for client in clients:
            client.thread.start()
        started, sizes = time.monotonic(), []
        while time.monotonic() - started < seconds:
            time.sleep(SAMPLE_SECONDS)
            sizes.append(_resident_mib(process_id))
        for client in clients:
            client.is_stopped = True
        for client in clients:
            client.thread.join()
    later = sizes[len(sizes) // 2 :]
    slope = statistics.linear_regression(range(len(later)), later).slope if len(later) > 1 else 0.0
    return Soak(
        seconds=time.monotonic() - started,
        num_texts=sum(client.num_texts for client in clients),
        num_failed=sum(client.num_failed for client in clients),
        slowest_seconds=max(client.slowest_seconds for client in clients),
        rss_mib=sizes,
        growth_mib_per_minute=slope * 60 / SAMPLE_SECONDS,
    )


def main() -> None:
    """Run it and print the figures."""
    parser = argparse.ArgumentParser(prog="tests.load.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--build", type=Path, default=_ROOT / "build")
    arguments = parser.parse_args()
    found = soak(arguments.seconds)
    (arguments.build / "soak.json").write_text(json.dumps(asdict(found), indent=1) + "\n", encoding="utf-8")
    minutes = range(0, len(found.rss_mib), round(60 / SAMPLE_SECONDS))
    print(f"{found.num_texts} texts in {found.seconds:.0f} s, {found.num_failed} failed")
    print(f"slowest call: {found.slowest_seconds:.1f} s")
    print("resident MiB, each minute:", *(f"{found.rss_mib[i]:.0f}" for i in minutes))
    print(f"growth in the second half: {found.growth_mib_per_minute:+.2f} MiB a minute")


if __name__ == "__main__":
    main()
