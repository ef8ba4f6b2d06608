"""What a glossary of 1,000 terms in each call adds to the latency of a sentence.

Calls with it and without go by turns, and of each sentence the least time counts: whatever else the machine
does only adds to it.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Mapping
from pathlib import Path

from server.evaluation.serving import running_server
from traghetto import Client

_ROOT = Path(__file__).parents[2]
_NUM_TERMS = 1000
_NUM_SENTENCES = 20


def _least_seconds(
    client: Client, text: str, glossaries: Mapping[str, Mapping[str, str]], beam_size: int, num_rounds: int
) -> dict[str, float]:
    """Of a call with each glossary, after one of each that does not count."""
    least = dict.fromkeys(glossaries, float("inf"))
    for i in range(num_rounds + 1):
        for name, terms in glossaries.items():
            started = time.perf_counter()
            client.translate([text], "en", "it", beam_size=beam_size, glossary=terms)
            if i > 0:
                least[name] = min(least[name], time.perf_counter() - started)
    return least


def _glossaries(text: str) -> dict[str, dict[str, str]]:
    """None; terms that are not in the sentence; and the same with its last word among them."""
    absent = {f"term{i} of law": f"termine{i} di legge" for i in range(_NUM_TERMS)}
    last = re.findall(r"\w+", text)[-1]
    return {
        "no terms": {},
        "1,000 terms, none in the sentence": absent,
        "1,000 terms, one in the sentence": {last: "vettura", **dict(list(absent.items())[1:])},
    }


def main() -> None:
    """Print the mean over the sentences, by beam and glossary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--artifact", type=Path, default=_ROOT / "export" / "artifacts" / "en-it")
    parser.add_argument("--rounds", type=int, default=20)
    parsed = parser.parse_args()
    lines = (_ROOT / "tests" / "data" / "en-it.tsv").read_text().splitlines()
    sentences = [text for line in lines if len((text := line.split("\t")[0]).split()) >= 12]
    with running_server(parsed.artifact) as address, Client(address) as client:
        for beam_size in (1, 4):
            least = [
                _least_seconds(client, text, _glossaries(text), beam_size, parsed.rounds)
                for text in sentences[:_NUM_SENTENCES]
            ]
            means = {name: 1000 * sum(row[name] for row in least) / len(least) for name in least[0]}
            for name, milliseconds in means.items():
                added = 100 * (milliseconds / means["no terms"] - 1)
                print(f"beam {beam_size}, {name}: {milliseconds:.2f} ms, {added:+.1f} %", flush=True)


if __name__ == "__main__":
    main()
