"""A corpus' files, filtered, without duplicates, in another order, and with texts of several sentences."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from model.preparation.buckets import Buckets
from model.preparation.config import CorpusConfig
from model.preparation.filters import FilterConfig, broken_rule
from model.preparation.readers import Languages, Pair, read

Texts = tuple[str, str]


@dataclass
class FileCounts:
    """What became of a file's pairs.

    Args:
        read: Pairs in it.
        kept: Of these, how many are learned from.
        dropped: The others, by the rule that they broke, or as "duplicate".
    """

    read: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, kw_only=True)
class CleanCorpus:
    """Pairs on disk that may be learned from.

    Args:
        path: A JSON array of two texts a line.
        counts: By file.
    """

    path: Path
    counts: dict[str, FileCounts]

    @property
    def num_pairs(self) -> int:
        """Pairs kept, texts of several sentences aside."""
        return sum(count.kept for count in self.counts.values())

    def pairs(self) -> Iterator[Texts]:
        """Every pair, and every text of several sentences."""
        with self.path.open(encoding="utf-8", newline="\n") as lines:
            for line in lines:
                first, second = json.loads(line)
                yield first, second


def clean_corpus(
    corpus: CorpusConfig,
    filters: FilterConfig,
    languages: Languages,
    data: Path,
    path: Path,
    seed: int,
) -> CleanCorpus:
    """Filter a corpus into a file.

    Args:
        data: Folder with the corpus' files.
        path: Where the pairs go; files of pairs on their way lie beside it.

    Raises:
        DataError: a file cannot be read.
    """
    counts = {name: FileCounts() for name in corpus.files}
    chance = Random(seed)
    folder = path.with_suffix(".buckets")
    folder.mkdir()
    with Buckets(folder) as buckets, path.open("w", encoding="utf-8") as clean:
        for name, count in counts.items():
            pairs = _filtered(read(data, name, languages), filters, count)
            for origin, (first, second) in _with_joined(name, pairs, corpus, chance):
                buckets.add(origin, first, second)
        for _, first, second in buckets.unique(seed):
            clean.write(json.dumps((first, second), ensure_ascii=False) + "\n")
        for name, count in counts.items():
            count.kept -= buckets.duplicates[name]
            count.dropped["duplicate"] = buckets.duplicates[name]
    return CleanCorpus(path=path, counts=counts)


def _filtered(pairs: Iterator[Pair], filters: FilterConfig, count: FileCounts) -> Iterator[Texts]:
    for pair in pairs:
        first, second = pair.first.strip(), pair.second.strip()
        count.read += 1
        if rule := broken_rule(first, second, filters):
            count.dropped[rule] += 1
        else:
            count.kept += 1
            yield first, second


def _with_joined(
    name: str, pairs: Iterator[Texts], corpus: CorpusConfig, chance: Random
) -> Iterator[tuple[str, Texts]]:
    """The pairs of a file, and behind some of them that one and those before it in one text, of no file.

    A model that saw only short sentences has never seen the later positions (Kondo et al. 2021,
    arXiv:2104.08478).
    """
    last: deque[Texts] = deque(maxlen=corpus.max_joined)
    for pair in pairs:
        yield name, pair
        last.append(pair)
        if len(last) > 1 and chance.random() < corpus.joined:
            part = list(last)[-chance.randint(2, len(last)) :]
            yield "", (" ".join(a for a, _ in part), " ".join(b for _, b in part))
