"""What a target gains and loses by how it is searched for: the bundled model, behind the real server."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.evaluation.quality import evaluate
from model.text.parallel_text import read_pairs
from server.evaluation.serving import running_server
from tests.architectures.held_out import TEST_FILE
from tests.architectures.variants import Places
from traghetto import Client, ContrastiveSearch, Sampling, TextError

ARTIFACT = Path(__file__).parents[2] / "export/artifacts/en-it"
NUM_SENTENCES = 400
JOINED = 4  # sentences in a long text
NUM_CLIENTS = 8
_SEED = 3

METHODS: dict[str, dict[str, Any]] = {
    "greedy": {"beam_size": 1},
    "beam 4": {"beam_size": 4},
    "contrastive, 4 and 0.2": {"method": ContrastiveSearch(top_k=4, penalty_alpha=0.2)},
    "contrastive, 4 and 0.6": {"method": ContrastiveSearch(top_k=4, penalty_alpha=0.6)},
    "sampling, top-k 5": {"method": Sampling(top_k=5, seed=_SEED)},
    "sampling, top-p 0.9": {"method": Sampling(top_p=0.9, seed=_SEED)},
    "sampling, temperature 0.5": {"method": Sampling(temperature=0.5, seed=_SEED)},
    "sampling": {"method": Sampling(seed=_SEED)},
}


@dataclass(frozen=True)
class Searches:
    """For each of METHODS, English to Italian: single sentences first, then JOINED at a time.

    Args:
        bleu, chrf: Against one reference.
        distinct_1, distinct_2: Different words, and pairs of them, over all of them (Li et al. 2016,
            arXiv:1510.03055), over all texts together.
        repeated_4: Share of runs of four words that stood in the same text before.
    """

    methods: list[str]
    bleu: list[list[float]]
    chrf: list[list[float]]
    distinct_1: list[list[float]]
    distinct_2: list[list[float]]
    repeated_4: list[list[float]]


def measure_searches(places: Places) -> Searches:
    """Translate the same texts by every method."""
    pairs = random.Random(_SEED).sample(read_pairs(places.data / TEST_FILE), NUM_SENTENCES)
    kinds = [pairs, [_joined(pairs[i : i + JOINED]) for i in range(0, len(pairs), JOINED)]]
    found = Searches(list(METHODS), [], [], [], [], [])
    with running_server(ARTIFACT) as address, Client(address) as client:
        for options in METHODS.values():
            outputs = [_translate(client, [a for a, _ in kind], options) for kind in kinds]
            scores = [
                evaluate(texts, [b for _, b in kind]) for texts, kind in zip(outputs, kinds, strict=True)
            ]
            found.bleu.append([score.bleu for score in scores])
            found.chrf.append([score.chrf for score in scores])
            found.distinct_1.append([distinct(texts, 1) for texts in outputs])
            found.distinct_2.append([distinct(texts, 2) for texts in outputs])
            found.repeated_4.append([repeated(texts, 4) for texts in outputs])
    return found


def _joined(pairs: Sequence[tuple[str, str]]) -> tuple[str, str]:
    return " ".join(a for a, _ in pairs), " ".join(b for _, b in pairs)


def _translate(client: Client, texts: list[str], options: dict[str, Any]) -> list[str]:
    def one(text: str) -> str:
        (result,) = client.translate([text], "en", "it", segmentation="none", **options)
        assert not isinstance(result, TextError), result
        return result.text

    with ThreadPoolExecutor(NUM_CLIENTS) as pool:
        return list(pool.map(one, texts))


def _runs(text: str, length: int) -> list[tuple[str, ...]]:
    words = text.lower().split()
    return [tuple(words[i : i + length]) for i in range(len(words) - length + 1)]


def distinct(texts: Sequence[str], length: int) -> float:
    """Different runs of so many words over all of them."""
    runs = [run for text in texts for run in _runs(text, length)]
    return len(set(runs)) / max(len(runs), 1)


def repeated(texts: Sequence[str], length: int) -> float:
    """Share of runs of so many words that stood in the same text before."""
    runs = [_runs(text, length) for text in texts]
    return 1 - sum(len(set(of_text)) for of_text in runs) / max(sum(map(len, runs)), 1)
