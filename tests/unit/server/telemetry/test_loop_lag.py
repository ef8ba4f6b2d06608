"""A loop that somebody blocks is seen to be late."""

from __future__ import annotations

import asyncio
import time

from server.telemetry.loop_lag import measure_lag
from server.telemetry.metrics import Metrics

NAME = "translator_event_loop_lag_seconds"
PATIENCE_SECONDS = 60.0


def test_a_blocked_loop_is_one_late_wake() -> None:
    metrics = Metrics()

    def value(suffix: str, **labels: str) -> float:
        found = metrics.registry.get_sample_value(NAME + suffix, labels)
        assert found is not None
        return found

    async def run() -> None:
        task = asyncio.create_task(measure_lag(metrics.event_loop_lag, 0.01))
        await asyncio.sleep(0)
        time.sleep(1.2)  # noqa: ASYNC251 - what no coroutine should do
        until = time.monotonic() + PATIENCE_SECONDS
        while value("_count") < 3:
            assert time.monotonic() < until
            await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(run())
    late = value("_count") - value("_bucket", le="1.0")
    assert late >= 1  # more, where the machine itself stood still
    assert value("_sum") >= 1.19
