"""traghetto-bulk, killed and started again, beside what a server answers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.running_server import PATIENCE_SECONDS, RECURRENT, StartServer
from traghetto import Client, Translation

BLOCK_ROWS = 10
FIRST = "00000-00000000.jsonl"


def corpus() -> list[str]:
    """A block that is soon done, and two behind it that are not."""
    path = Path(__file__).parents[1] / "data/varied-english.txt"
    sentences = path.read_text(encoding="utf-8").splitlines()
    short = [f"I have {number} cats." for number in range(BLOCK_ROWS)]
    return short + [" ".join(sentences[first : first + 10]) for first in range(2 * BLOCK_ROWS)]


def start(folder: Path) -> subprocess.Popen[str]:
    arguments = ["--artifact", str(RECURRENT), "--source=en", "--target=it", "--actors=1"]
    files = [str(folder / "corpus.txt"), f"--output={folder / 'out'}", f"--block-rows={BLOCK_ROWS}"]
    return subprocess.Popen(
        [sys.executable, "-m", "server.commands.bulk", *files, *arguments],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def written(path: Path) -> tuple[int, int]:
    """Another file would have another number, or at least another time."""
    return path.stat().st_ino, path.stat().st_mtime_ns


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_run_that_was_killed_goes_on_and_has_each_row_once(
    tmp_path: Path, start_server: StartServer
) -> None:
    texts = corpus()
    (tmp_path / "corpus.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    output = tmp_path / "out"
    with start(tmp_path) as process:
        wait_for(output / FIRST, process)
        os.killpg(process.pid, signal.SIGKILL)
    before = written(output / FIRST)
    assert len(list(output.glob("*.jsonl"))) < 3

    with start(tmp_path) as process:
        with start_server(RECURRENT) as server, Client(server.address) as client:
            expected = [
                result.text
                for result in client.translate(texts, "en", "it")
                if isinstance(result, Translation)
            ]
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
    last = said.splitlines()[-1]  # above it may be warnings of Ray's
    assert (process.returncode, last) == (0, f"traghetto-bulk: 30 rows in {output}, 0 of them with an error")

    assert written(output / FIRST) == before
    files = sorted(output.glob("*.jsonl"))
    assert {path.name for path in output.iterdir()} == {"manifest.json", *(path.name for path in files)}
    rows = [json.loads(line) for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    assert [row["row"] for row in rows] == list(range(30))
    assert [row["text"] for row in rows] == texts
    assert [row["translation"] for row in rows] == expected
