"""What the client's docstrings and its page show is true of the real server."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import traghetto
from tests.running_server import RunningServer
from traghetto import Client

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/client.md"
MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(traghetto.__path__, "traghetto.")
    if not info.name.startswith("traghetto.pb")
)


@pytest.fixture
def names(server: RunningServer) -> Iterator[dict[str, object]]:
    """What examples may use beside their own imports."""
    with Client(server.address) as client:
        yield {"address": server.address, "client": client}


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_docstrings_are_true(module: str, names: dict[str, object]) -> None:
    result = doctest.testmod(importlib.import_module(module), extraglobs=names)
    assert result.failed == 0


def test_both_clients_have_examples() -> None:
    for module in ("traghetto.sync_client", "traghetto.async_client"):
        found = doctest.DocTestFinder().find(importlib.import_module(module))
        assert sum(len(test.examples) for test in found) >= 4


def test_the_programs_of_the_page_run(server: RunningServer, capsys: pytest.CaptureFixture[str]) -> None:
    programs = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(programs) >= 4
    for program in programs:
        exec(program.replace("127.0.0.1:50051", server.address), {})  # noqa: S102 - our own page
    printed = capsys.readouterr().out
    assert "Il gatto è sul tavolo." in printed


def test_the_page_names_every_error() -> None:
    page = PAGE.read_text()
    errors = [name for name in traghetto.__all__ if isinstance(getattr(traghetto, name), type)]
    for name in errors:
        if issubclass(getattr(traghetto, name), traghetto.TraghettoError):
            assert f"`{name}`" in page, name
