"""The series of one model, which come and go with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from prometheus_client import Gauge

if TYPE_CHECKING:
    from server.telemetry.metrics import Metrics


class ModelMetrics:
    """Sets a model's series, and removes at its end all that it has set.

    Args:
        name: The model's, the first label of each series.
    """

    def __init__(self, metrics: Metrics, name: str) -> None:
        self._metrics, self._name = metrics, name
        self._series: list[tuple[Gauge, tuple[str, ...]]] = []

    def follow_presence(self, is_loaded: Callable[[], bool]) -> None:
        """Ask whether it is in memory whenever the metrics are read."""
        self._child(self._metrics.model_loaded).set_function(lambda: float(is_loaded()))

    def set_identity(
        self, *, sha256: str, precision: str, load_seconds: float, warm_up_seconds: float
    ) -> None:
        """Tell which artifact it is."""
        metrics = self._metrics
        self._child(metrics.model_load_seconds).set(load_seconds)
        self._child(metrics.model_warm_up_seconds).set(warm_up_seconds)
        self._child(metrics.model_info, sha256, precision).set(1)

    def set_provider(self, provider: str, requested: str) -> None:
        """Tell the provider that its sessions really use, and the device asked for."""
        self._child(self._metrics.provider_info, provider, requested).set(1)

    def set_capacity(self, *, num_slots: int, max_queue: int) -> None:
        """Tell how many sequences may run, and how many may wait."""
        self._child(self._metrics.slots).set(num_slots)
        self._child(self._metrics.queue_limit).set(max_queue)

    def follow(
        self,
        *,
        num_waiting: Callable[[], float],
        num_waiting_tokens: Callable[[], float],
        num_running: Callable[[], float],
    ) -> None:
        """Ask for its load whenever the metrics are read, from the thread that reads them."""
        self._child(self._metrics.queue_requests).set_function(num_waiting)
        self._child(self._metrics.queue_tokens).set_function(num_waiting_tokens)
        self._child(self._metrics.running_sequences).set_function(num_running)

    def remove(self) -> None:
        """Take all of it out of the metrics."""
        for gauge, labels in self._series:
            gauge.remove(*labels)
        self._series.clear()

    def _child(self, gauge: Gauge, *labels: str) -> Gauge:
        series = (self._name, *labels)
        self._series.append((gauge, series))
        return gauge.labels(*series)
