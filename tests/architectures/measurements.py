"""Every measurement of a study, each kept in its own file as soon as it is made."""

from __future__ import annotations

import functools
import logging

from model.training.config import load_run_config
from tests.architectures import attention_weights, gradients, lengths, searches, served, source_use, speed
from tests.architectures.attention_weights import AttentionWeights, RandomScores
from tests.architectures.gradients import Gradients
from tests.architectures.lengths import Lengths
from tests.architectures.runs import is_trained
from tests.architectures.searches import Searches
from tests.architectures.served import Served
from tests.architectures.source_use import SourceUse
from tests.architectures.speed import Speed
from tests.architectures.store import measured
from tests.architectures.variants import BY_LENGTH, CONFIGS, VARIANTS, Places

log = logging.getLogger("traghetto.study")


def lengths_of(places: Places, variant: str) -> Lengths:
    """A variant's quality by length."""
    measure = functools.partial(lengths.measure_lengths, places, variant)
    return measured(places.result(f"lengths/{variant}"), Lengths, measure)


def source_use_of(places: Places, variant: str) -> SourceUse:
    """How much of the source a variant uses."""
    measure = functools.partial(source_use.measure_source_use, places, variant)
    return measured(places.result(f"source_use/{variant}"), SourceUse, measure)


def gradients_of(places: Places, variant: str) -> Gradients:
    """A variant's gradients by distance."""
    measure = functools.partial(gradients.measure_gradients, places, variant)
    return measured(places.result(f"gradients/{variant}"), Gradients, measure)


def attention_of(places: Places, variant: str) -> AttentionWeights:
    """What a variant's attention looks at."""
    measure = functools.partial(attention_weights.measure_attention, places, variant)
    return measured(places.result(f"attention/{variant}"), AttentionWeights, measure)


def speed_of(places: Places) -> Speed:
    """Cost of a training step by length."""
    return measured(places.result("speed"), Speed, speed.measure_speed)


def random_scores(places: Places) -> RandomScores:
    """Attention between random vectors."""
    return measured(places.result("random_scores"), RandomScores, attention_weights.measure_random_scores)


def searches_of(places: Places) -> Searches:
    """The bundled model's searches."""
    return measured(places.result("searches"), Searches, functools.partial(searches.measure_searches, places))


def served_of(places: Places) -> Served:
    """Speed behind the server."""
    return measured(places.result("served"), Served, functools.partial(served.measure_served, places))


def has_attention(variant: str) -> bool:
    """Whether a variant's decoder looks back at the source positions."""
    return load_run_config(CONFIGS / f"{variant}.yaml").model.has_attention


def measure(places: Places) -> None:
    """Measure whatever is trained and not measured yet."""
    for variant in VARIANTS:
        if not is_trained(places, variant):
            log.info("%s is not trained yet", variant)
            continue
        log.info("measuring %s", variant)
        lengths_of(places, variant)
        if variant in BY_LENGTH:
            source_use_of(places, variant)
        if variant in gradients.VARIANTS:
            gradients_of(places, variant)
        if has_attention(variant):
            attention_of(places, variant)
    random_scores(places)
    speed_of(places)


def measure_served(places: Places) -> None:
    """Measure what needs the server."""
    searches_of(places)
    served_of(places)
