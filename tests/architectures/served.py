"""How fast the exported models decode behind the real server, against each other in one run."""

from __future__ import annotations

import logging
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from model.text.tokenizers import load_tokenizer
from server.evaluation.serving import running_server
from tests.architectures.held_out import texts_by_length
from tests.architectures.runs import final_checkpoint
from tests.architectures.variants import SERVED, SERVED_INT8, Places
from traghetto import Client, TextError

log = logging.getLogger("traghetto.study")

ROUNDS = 21
NUM_CLIENTS = 16
NUM_TEXTS = 96  # in each round, by all clients together
NUM_ALONE = 8  # in each round, one after the other
MAX_TARGET_TOKENS = 40
REFERENCE = "transformer"
_BUCKET = 2
_LARGE_LOSS = 100.0  # speed is measured, whatever int8 costs


@dataclass(frozen=True)
class Served:
    """By model, a figure for each round; a model's name ends with its precision if that is int8.

    Args:
        tokens_per_second: Target tokens, NUM_CLIENTS clients at once.
        milliseconds_per_token: Of one text alone, from call to answer, over its target tokens.
        target_tokens: Of a text, the mean: a call costs something whatever its length.
    """

    tokens_per_second: dict[str, list[float]]
    milliseconds_per_token: dict[str, list[float]]
    target_tokens: dict[str, float]

    def ratios(self) -> tuple[dict[str, float], dict[str, float]]:
        """Both over the Transformer's of the same round: medians over rounds."""
        return _over_reference(self.tokens_per_second), _over_reference(self.milliseconds_per_token)


def _over_reference(rounds: dict[str, list[float]]) -> dict[str, float]:
    return {
        name: statistics.median(a / b for a, b in zip(values, rounds[REFERENCE], strict=True))
        for name, values in rounds.items()
    }


def _export(places: Places, variant: str, precision: str) -> Path:
    output = places.build / "artifacts" / (variant if precision == "fp32" else f"{variant}-{precision}")
    log.info("exporting %s", output.name)
    command = [sys.executable, "-m", "export.command", str(final_checkpoint(places, variant))]
    command += ["--output", str(output), "--precision", precision]
    subprocess.run([*command, "--max-bleu-loss", str(_LARGE_LOSS)], check=True, stdout=subprocess.DEVNULL)
    return output


def _translate(client: Client, model: str, texts: list[str]) -> int:
    """One call of one text each; the target tokens of all."""

    def tokens(text: str) -> int:
        (result,) = client.translate(
            [text],
            "en",
            "it",
            model=model,
            beam_size=1,
            max_target_tokens=MAX_TARGET_TOKENS,
            segmentation="none",
        )
        assert not isinstance(result, TextError), result
        return result.target_tokens

    with ThreadPoolExecutor(NUM_CLIENTS) as pool:
        return sum(pool.map(tokens, texts))


def measure_served(places: Places) -> Served:
    """Export and serve; in each round every model has its turn."""
    artifacts = [_export(places, variant, "fp32") for variant in SERVED]
    artifacts += [_export(places, variant, "int8") for variant in SERVED_INT8]
    tokenizer = load_tokenizer(places.build)
    texts = [text.text for text in texts_by_length(places.data, tokenizer, NUM_TEXTS)[_BUCKET][0]]
    names = [artifact.name for artifact in artifacts]
    found = Served({name: [] for name in names}, {name: [] for name in names}, {})
    with running_server(*artifacts) as address, Client(address) as client:
        for name in names:
            _translate(client, name, texts[:NUM_CLIENTS])  # warms up
        for _ in range(ROUNDS):
            for name in names:
                started = time.perf_counter()
                tokens = _translate(client, name, texts)
                found.tokens_per_second[name].append(tokens / (time.perf_counter() - started))
                found.target_tokens[name] = tokens / len(texts)
                found.milliseconds_per_token[name].append(_alone(client, name, texts[:NUM_ALONE]))
    return found


def _alone(client: Client, model: str, texts: list[str]) -> float:
    milliseconds = []
    for text in texts:
        started = time.perf_counter()
        tokens = _translate(client, model, [text])
        milliseconds.append(1000 * (time.perf_counter() - started) / tokens)
    return statistics.median(milliseconds)
