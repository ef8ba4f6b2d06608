"""Images are named by whoever deploys: what is not named cannot be pulled, and what is named is pinned."""

from __future__ import annotations

import re

import pytest

from tests.deploy.manifests import FOLDER, OVERLAYS, PLACEHOLDERS, Manifests, load

PINNED = re.compile(r"[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)+@sha256:[0-9a-f]{64}")
# A repository's name, as container runtimes take it: no capitals.
REPOSITORY = re.compile(r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")


@pytest.mark.parametrize("folder", ["base", *(f"overlays/{name}" for name in OVERLAYS)])
def test_an_image_that_nobody_set_is_no_image_at_all(folder: str) -> None:
    images = load(FOLDER / folder).images
    assert set(images) <= set(PLACEHOLDERS)
    assert not any(REPOSITORY.fullmatch(image) for image in images)


def test_one_entry_for_each_image_sets_and_pins_them_all(manifests: Manifests) -> None:
    assert manifests.images
    assert [image for image in manifests.images if not PINNED.fullmatch(image)] == []


def test_no_file_names_a_digest_of_its_own() -> None:
    texts = {path: path.read_text() for path in FOLDER.rglob("*.yaml")}
    assert len(texts) > 20
    assert [path for path, text in texts.items() if "sha256:" in text] == []
