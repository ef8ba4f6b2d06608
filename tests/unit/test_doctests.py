"""Every example in a docstring is true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

PACKAGES = ("export", "model", "server", "traghetto")
# Their examples call a server: tests/e2e/test_client_examples.py runs them.
CLIENTS = ("traghetto.async_client", "traghetto.sync_client")
FINDER = doctest.DocTestFinder(exclude_empty=True)
MODULES = [
    module.name
    for package in PACKAGES
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.")
    if module.name not in CLIENTS and not module.name.startswith("traghetto.pb")  # generated
]


def examples(name: str) -> list[doctest.DocTest]:
    module = importlib.import_module(name)
    return [test for test in FINDER.find(module, name) if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_a_module_s_examples_are_true(name: str) -> None:
    for test in examples(name):
        result = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS).run(test)
        assert result.failed == 0, f"{test.name}: {result.failed} of {result.attempted} examples fail"


def test_there_are_examples() -> None:
    assert sum(len(examples(name)) for name in MODULES) > 0
