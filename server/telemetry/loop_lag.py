"""How late the event loop is: what waits in it waits that much longer."""

from __future__ import annotations

import asyncio

from prometheus_client import Histogram

INTERVAL_SECONDS = 0.25


async def measure_lag(histogram: Histogram, interval_seconds: float = INTERVAL_SECONDS) -> None:
    """Until cancelled, sleep and observe by how much each sleep was too long."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + interval_seconds
        await asyncio.sleep(interval_seconds)
        histogram.observe(max(0.0, loop.time() - due))
