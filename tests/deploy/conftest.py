"""What the tests of deploy/ share: every way in which the manifests are meant to be put together."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy.manifests import ARCHIVE, COMBINATIONS, OVERLAYS, Manifests, combine, load


@pytest.fixture(scope="session")
def deployments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder to render for the base, each overlay and each combination, with images set."""
    root = tmp_path_factory.mktemp("kubernetes")
    folders = {"base": combine(root / "base", ["base"])}
    folders |= {name: combine(root / name, [f"overlays/{name}"]) for name in OVERLAYS}
    for name, parts in COMBINATIONS.items():
        generators = [ARCHIVE] if "model-download" in parts else []
        folders[name] = combine(root / name, ["base"], parts, configMapGenerator=generators)
    return folders


@pytest.fixture(params=["base", *OVERLAYS, *COMBINATIONS])
def manifests(request: pytest.FixtureRequest, deployments: dict[str, Path]) -> Manifests:
    """Each of them in turn."""
    return load(deployments[request.param])
