"""The shipped configuration, changed so that a minute passes in a second.

Every range in brackets, every `for` and Alertmanager's intervals are divided by 60, and scrapes and
evaluations come every second. Nothing else is touched: the names of recorded series keep their window, the
thresholds stay.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.deploy.rule_files import PROMETHEUS, RULE_FILES, load

FASTER = 60
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = r"(\d+)([smhd])"


def shortened(rules: str) -> str:
    """A rule file's text with each range and `for` divided."""
    rules = re.sub(rf"\[{_DURATION}\]", lambda found: f"[{_divided(found)}]", rules)
    return re.sub(rf"(?m)^(\s*for: ){_DURATION}$", lambda found: f"{found[1]}{_divided(found, 2)}", rules)


def fast_rules(folder: Path) -> list[str]:
    """Shortened copies of the rule files."""
    for path in RULE_FILES:
        (folder / path.name).write_text(shortened(path.read_text(encoding="utf-8")), encoding="utf-8")
    return [str(folder / path.name) for path in RULE_FILES]


def prometheus_config(targets: list[str], rule_files: list[str], alertmanager: str = "") -> dict[str, Any]:
    """deploy/prometheus/prometheus.yml in fast time, for these servers."""
    config: dict[str, Any] = load(PROMETHEUS / "prometheus.yml")
    # A scrape must end within its interval, on a busy machine too: no shorter than a second.
    config["global"] = dict.fromkeys(config["global"], "1s")
    config["rule_files"] = rule_files
    config["scrape_configs"][0]["static_configs"][0]["targets"] = targets
    if alertmanager:
        config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [alertmanager]
    else:
        del config["alerting"]
    return config


def alertmanager_config(receiver: str) -> dict[str, Any]:
    """deploy/prometheus/alertmanager.yml in fast time, its webhooks sent to a receiver's address."""
    config: dict[str, Any] = load(PROMETHEUS / "alertmanager.yml")
    for route in (config["route"], *config["route"]["routes"]):
        route |= {name: _fast(route[name]) for name in route if name.endswith(("_wait", "_interval"))}
    for one in config["receivers"]:
        for hook in one["webhook_configs"]:
            hook["url"] = f"http://{receiver}/{one['name']}"
    return config


def _fast(duration: str) -> str:
    found = re.fullmatch(_DURATION, duration)
    assert found, duration
    return _divided(found)


def _divided(found: re.Match[str], first: int = 1) -> str:
    milliseconds = int(found[first]) * _SECONDS[found[first + 1]] * 1000 // FASTER
    return f"{milliseconds}ms"
