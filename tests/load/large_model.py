"""A model of the size of NLLB-200-distilled-600M, its weights made up: each command's time and memory.

`make large-model`: it says nothing that means anything, and is as large as the published one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from transformers import M2M100Config, M2M100ForConditionalGeneration

from tests.m2m_100_files import configuration, spm_bytes, write_nllb_tokenizer
from tests.opus_mt_files import write_json
from tests.running_server import run_server
from traghetto import Client, Translation

GIB = 1 << 30
_SENTENCEPIECE: Any = import_module("sentencepiece.sentencepiece_model_pb2")  # it has no types
NUM_PIECES = 256_000
LAYERS = 12
WORDS = ("cat", "dog", "sleeps", "under", "table", "house", "runs", "home", "small", "green")
LIMITS = (
    "--max-source-tokens=32",
    "--max-target-tokens=16",
)  # longer ones would take hours


def main() -> int:
    """Make, import, export and serve; a row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=LAYERS, help="of the encoder, and of the decoder")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--folder", type=Path, help="where all files go, and those that are there are used")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder: Path = arguments.folder or Path(temporary)
        published, checkpoint, artifact = folder / "published", folder / "checkpoint", folder / "artifact"
        if not published.exists():
            _write(published, arguments.layers)
        texts = folder / "texts.txt"
        texts.write_text("".join(f"{text}\n" for text in _texts()), encoding="utf-8")
        print(
            f"weights: {(published / 'model.safetensors').stat().st_size / GIB:.2f} GiB in fp32", flush=True
        )
        _run("traghetto-import", published, "--output", checkpoint, "--languages", "en", "it")
        precision = ("--precision", arguments.precision, *LIMITS)
        _run("traghetto-export", checkpoint, "--output", artifact, "--sources", texts, *precision)
        _serve(artifact, folder / "serve.log")
    return 0


def _texts() -> Iterator[str]:
    for i in range(100):
        yield " ".join(WORDS[(i * k + k) % len(WORDS)] for k in range(1, 3 + i % 4)) + f" {i}."


def _write(folder: Path, num_layers: int) -> None:
    size = write_nllb_tokenizer(folder, _pieces())
    fields: dict[str, Any] = configuration(size, d_model=1024, max_position_embeddings=1024)
    for part in ("encoder", "decoder"):
        fields |= {f"{part}_layers": num_layers, f"{part}_attention_heads": 16, f"{part}_ffn_dim": 4096}
    torch.manual_seed(0)
    M2M100ForConditionalGeneration(M2M100Config(**fields)).save_pretrained(folder, max_shard_size="100GB")
    write_json(folder / "config.json", fields)


def _pieces() -> bytes:
    """A small BPE, and behind its pieces as many as the published one has, of which no text has any."""
    model: Any = _SENTENCEPIECE.ModelProto.FromString(spm_bytes(list(_texts())))
    lowest = min(piece.score for piece in model.pieces)
    for i in range(NUM_PIECES - len(model.pieces)):
        model.pieces.add(piece=f"▁unused{i}", score=lowest - 1 - i)
    return bytes(model.SerializeToString())


def _run(command: str, *arguments: str | Path) -> None:
    """Run a command of ours, and say how long it took and the most memory that it had."""
    started = time.monotonic()
    program = Path(sys.executable).with_name(command)
    process = subprocess.Popen([program, *arguments])
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    print(f"{command}: {seconds:.0f} s, at most {usage.ru_maxrss * 1024 / GIB:.2f} GiB", flush=True)
    if status:
        raise SystemExit(os.waitstatus_to_exitcode(status))


def _serve(artifact: Path, log: Path) -> None:
    started = time.monotonic()
    with run_server(log, artifact, "--slots=4", "--pool-gib=1") as server, Client(server.address) as client:
        ready = time.monotonic()
        (result,) = client.translate([next(_texts())], "en", "it", beam_size=1)
        answered = time.monotonic()
        resident = server.scrape()["process_resident_memory_bytes"] / GIB
        assert isinstance(result, Translation), result
    print(
        f"traghetto-serve: ready after {ready - started:.0f} s, {result.target_tokens} tokens in "
        f"{answered - ready:.2f} s, {resident:.2f} GiB"
    )


if __name__ == "__main__":
    sys.exit(main())
