"""Pairs on disk, spread by their hash: equal ones meet in one bucket, and each bucket fits in memory.

So duplicates are found, and pairs come out in another order than they came in, however many there are.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

NUM_BUCKETS = 256

Texts = tuple[str, str]


class Buckets:
    """A place for any number of pairs, for use in a `with` block, which empties it.

    Args:
        folder: An empty folder for its files.
    """

    def __init__(self, folder: Path) -> None:
        self.duplicates: Counter[str] = Counter()
        self._paths = [folder / f"{i:03}.jsonl" for i in range(NUM_BUCKETS)]
        self._files = [path.open("w", encoding="utf-8") for path in self._paths]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file, path in zip(self._files, self._paths, strict=True):
            file.close()
            path.unlink(missing_ok=True)

    def add(self, origin: str, first: str, second: str) -> None:
        """Keep a pair.

        Args:
            origin: Which file it is of.
        """
        digest = hashlib.blake2b(f"{first}\0{second}".encode(), digest_size=2).digest()
        bucket = self._files[int.from_bytes(digest) % NUM_BUCKETS]
        bucket.write(json.dumps((origin, first, second), ensure_ascii=False) + "\n")

    def unique(self, seed: int) -> Iterator[tuple[str, str, str]]:
        """Each pair that was added, once: of equal ones the first; in an order that follows from the seed.

        `duplicates` counts the others by their origin.
        """
        chance = Random(seed)
        self.duplicates.clear()
        for file, path in zip(self._files, self._paths, strict=True):
            file.flush()
            pairs: dict[Texts, str] = {}
            with path.open(encoding="utf-8", newline="\n") as lines:
                for line in lines:
                    origin, first, second = json.loads(line)
                    if (first, second) in pairs:
                        self.duplicates[origin] += 1
                    else:
                        pairs[first, second] = origin
            rows = [(origin, *texts) for texts, origin in pairs.items()]
            chance.shuffle(rows)
            yield from rows
