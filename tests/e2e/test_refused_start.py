"""Whatever an operator gets wrong ends the server at once, and is told by name."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from tests.copied_artifact import copied_artifact

ServeInVain = Callable[..., subprocess.CompletedProcess[str]]


def test_a_damaged_artifact_is_not_served(serve_in_vain: ServeInVain, artifact: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(artifact, damaged)
    weights = damaged / "weights.bin"
    content = bytearray(weights.read_bytes())
    before = sha256(content).hexdigest()
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    ended = serve_in_vain(damaged)
    assert ended.returncode == 2
    assert all(word in ended.stderr for word in ("weights.bin", before, sha256(content).hexdigest()))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--device=cuda"], ["cuda"]),
        (["--listen=0.0.0.0:0"], ["0.0.0.0:0", "--allow-plaintext"]),
        (["--admin-listen=0.0.0.0:0"], ["--admin-listen 0.0.0.0:0", "--allow-plaintext"]),
        (["--slots=0", "--threads=0", "--runners=-1"], ["--slots", "--threads", "--runners"]),
        (["--pool-gib=0.001"], ["en-it", "each of its 1 runners", "0.001 of the 0.001 GiB", "--pool-gib"]),
        (
            ["--pool-gib=0.25", "--runners=4", "--slots=64", "--max-beam-size=64"],
            ["each of its 4 runners", "64 slots, beams of 64", "0.0625 of the 0.25 GiB", "--max-beam-size"],
        ),
        (["no/such/folder"], ["no/such/folder", "manifest.json"]),
        (["."], ["manifest.json"]),
    ],
    ids=[
        "no GPU",
        "plain text",
        "open admin",
        "numbers",
        "pools",
        "pools of several runners",
        "no folder",
        "no artifact",
    ],
)
def test_a_server_that_cannot_serve_says_why(
    serve_in_vain: ServeInVain, artifact: Path, arguments: list[str], words: list[str]
) -> None:
    ended = serve_in_vain(artifact, *arguments)
    assert ended.returncode == 2
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("traghetto-serve: ")
    assert all(word in last for word in words)
    assert "Traceback" not in ended.stderr
    assert "ready" not in ended.stdout


@pytest.mark.parametrize("place", ["listen", "metrics-listen", "health-listen", "admin-listen"])
def test_a_port_that_is_taken_ends_the_server(serve_in_vain: ServeInVain, artifact: Path, place: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = serve_in_vain(artifact, f"--{place}=127.0.0.1:{port}")
    assert ended.returncode == 1
    assert f"traghetto-serve: cannot listen on 127.0.0.1:{port}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_two_artifacts_of_one_name_are_refused(serve_in_vain: ServeInVain, artifact: Path) -> None:
    ended = serve_in_vain(artifact, artifact)
    assert ended.returncode == 2
    assert "two artifacts share a name: en-it, en-it" in ended.stderr


@pytest.mark.parametrize("search", ["greedy", "beam"])
def test_an_artifact_that_fails_its_self_check_is_not_served(
    serve_in_vain: ServeInVain, artifact: Path, tmp_path: Path, search: str
) -> None:
    """As on a processor whose int8 arithmetic saturates."""
    other = tmp_path / "other"
    with copied_artifact(artifact, other) as manifest:
        manifest["self_check"][search][0] += 1
    ended = serve_in_vain(other)
    assert ended.returncode == 2
    assert "fails its self-check" in ended.stderr


def test_an_artifact_without_its_proof_is_not_served(
    serve_in_vain: ServeInVain, artifact: Path, tmp_path: Path
) -> None:
    unproven = tmp_path / "unproven"
    with copied_artifact(artifact, unproven) as manifest:
        del manifest["files"]["proof.json"]
    ended = serve_in_vain(unproven)
    assert ended.returncode == 2
    assert "without its proof" in ended.stderr
