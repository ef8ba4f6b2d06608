"""The base model on disk: its checkpoint and its artifact, made once and used again while they fit."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from export.artifact import build_artifact
from export.limits import Limits
from export.proof.sentences import MIN_PAIRS
from model.checkpoint import load_checkpoint, save_checkpoint
from tests.load.base_shortlist import base_shortlist
from tests.load.base_text import base_text, base_texts, base_tokenizer, target_length
from tests.load.base_weights import base_model

__all__ = ["base_artifact", "base_checkpoint", "base_texts", "target_length"]

_ROOT = Path(__file__).parents[2]
_NAME = "base"
_STAMP = ".made-from"  # beside the folder, a hash of the sources that made it


def base_checkpoint(folder: Path) -> Path:
    """Write the base model's checkpoint unless it is there; returns the folder."""

    def write() -> None:
        save_checkpoint(folder, base_model(), base_tokenizer())

    _make(folder, sorted((_ROOT / "tests/load").glob("base_*.py")), write)
    return folder


def base_artifact(build: Path, precision: str = "int8") -> Path:
    """Export the base model with its proof unless that is done, in about two minutes.

    Args:
        build: The folder for what is made; the artifact lies in bench/artifacts.
        precision: As for `build_artifact`.
    """
    checkpoint = base_checkpoint(build / "bench/base")
    folder = build / "bench/artifacts" / f"{_NAME}-{precision}"

    def write() -> None:
        model, tokenizer = load_checkpoint(checkpoint)
        build_artifact(
            model,
            tokenizer,
            folder,
            precision=precision,
            pairs=_pairs(),
            shortlist=base_shortlist(tokenizer),
            limits=Limits(),
            max_bleu_loss=100.0,  # there is nothing to translate
        )

    sources = [p for part in ("export", "model", "tests/load") for p in sorted((_ROOT / part).rglob("*.py"))]
    _make(folder, [p for p in sources if "load" not in p.parts or p.name.startswith("base_")], write)
    return folder


def _pairs() -> list[tuple[str, str]]:
    """Short ones: a proof runs them through slow searches in PyTorch."""
    choice = random.Random(0)
    lengths = [choice.choices((3, 4, 5, 12), weights=(8, 8, 8, 1), k=2) for _ in range(2 * MIN_PAIRS)]
    texts = [base_text(source, target, choice) for source, target in lengths]
    return list(zip(texts[::2], texts[1::2], strict=True))


def _make(folder: Path, sources: Iterable[Path], write: Callable[[], None]) -> None:
    """Write a folder again when the sources that made it have changed."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    stamp = folder.with_name(folder.name + _STAMP)
    if folder.is_dir() and stamp.is_file() and stamp.read_text(encoding="utf-8") == digest:
        return
    shutil.rmtree(folder, ignore_errors=True)
    write()
    stamp.write_text(digest, encoding="utf-8")
