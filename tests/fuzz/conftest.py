"""How long to look: a moment in a plain run, and as long as `make fuzz` is let."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("fuzz", max_examples=20_000, suppress_health_check=list(HealthCheck))
