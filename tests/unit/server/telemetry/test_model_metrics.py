"""A model's series come together and go together."""

from __future__ import annotations

from server.telemetry.metrics import Metrics
from server.telemetry.model_metrics import ModelMetrics


def published(metrics: Metrics, name: str, sha256: str = "ab12", load: int = 0) -> ModelMetrics:
    series = metrics.of_model(name)
    series.set_identity(sha256=sha256, precision="int8", load_seconds=1.5, warm_up_seconds=0.5)
    series.set_provider("CPUExecutionProvider", "auto")
    series.set_capacity(num_slots=96, max_queue=4096)
    series.follow(
        num_waiting=lambda: load, num_waiting_tokens=lambda: 10 * load, num_running=lambda: load + 1
    )
    return series


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Those of models, by name and labels."""
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if "model" in sample.labels
    }


def test_all_that_was_set_is_there_and_all_of_it_goes() -> None:
    metrics = Metrics()
    series = published(metrics, "en-it", load=3)
    assert samples(metrics) == {
        ("translator_model_load_seconds", "en-it"): 1.5,
        ("translator_model_warm_up_seconds", "en-it"): 0.5,
        ("translator_model_info", "ab12", "en-it", "int8"): 1,
        ("translator_execution_provider_info", "CPUExecutionProvider", "auto", "en-it"): 1,
        ("translator_slots", "en-it"): 96,
        ("translator_queue_limit_requests", "en-it"): 4096,
        ("translator_queue_requests", "en-it"): 3,
        ("translator_queue_tokens", "en-it"): 30,
        ("translator_running_sequences", "en-it"): 4,
    }
    series.remove()
    assert samples(metrics) == {}


def test_another_model_stays_and_a_new_one_takes_the_name() -> None:
    metrics = Metrics()
    other = published(metrics, "it-en")
    alone = samples(metrics)
    old = published(metrics, "en-it", "0ld")
    old.remove()
    assert samples(metrics) == alone
    published(metrics, "en-it", "new", load=7)
    assert samples(metrics)["translator_queue_requests", "en-it"] == 7
    assert ("translator_model_info", "en-it", "int8", "new") in samples(metrics)
    other.remove()
    assert {name for _, *names in samples(metrics) for name in names if "-" in name} == {"en-it"}
