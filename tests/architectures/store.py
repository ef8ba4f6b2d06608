"""Results as JSON files: a study goes on where it was, and a report is drawn without measuring again."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def measured(path: Path, kind: type[T], measure: Callable[[], T]) -> T:
    """What was measured before, or is now.

    Args:
        kind: A dataclass whose fields JSON can hold.
    """
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        result: Any = measure()
        text = json.dumps(dataclasses.asdict(result), indent=1, ensure_ascii=False) + "\n"
        path.write_text(text, encoding="utf-8")
    return read(path, kind)


def read(path: Path, kind: type[T]) -> T:
    """What was measured before."""
    return kind(**json.loads(path.read_text(encoding="utf-8")))
