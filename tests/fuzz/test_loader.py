"""Whatever lies in an artifact's folder, it is read or refused, in bounded time and with one line."""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from export.contract.manifest import MANIFEST_NAME, ArtifactError, load_manifest
from model.shortlist.shortlist import _CHECKSUM, Shortlist, ShortlistError
from tests.fuzz.mutations import mutated

BUNDLED = Path(__file__).parents[2] / "export/artifacts"
MANIFEST = (BUNDLED / "en-it-lstm" / MANIFEST_NAME).read_bytes()
FIELDS: dict[str, Any] = json.loads(MANIFEST)
SHORTLIST = (BUNDLED / "en-it/shortlist.bin").read_bytes()
DELETED = object()
MAX_SECONDS = 5.0
MAX_MESSAGE = 20_000  # characters
# The folder is the same for all examples: only its manifest is written anew.
shares_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([-1, 2**31]),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=5,
)


def paths_of(value: Any, places: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, child in items for path in ((*places, key), *paths_of(child, (*places, key)))]


PATHS = paths_of(FIELDS)


def changed(path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    fields = copy.deepcopy(FIELDS)
    target: Any = fields
    for place in path[:-1]:
        target = target[place]
    if value is DELETED:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return fields


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copied = tmp_path_factory.mktemp("fuzz") / "artifact"
    shutil.copytree(BUNDLED / "en-it-lstm", copied)
    return copied


def load(folder: Path, manifest: bytes) -> None:
    (folder / MANIFEST_NAME).write_bytes(manifest)
    begun = time.process_time()
    try:
        load_manifest(folder)
    except ArtifactError as error:
        message = str(error)
    else:
        message = ""
    assert time.process_time() - begun < MAX_SECONDS
    assert "\n" not in message
    assert len(message) < MAX_MESSAGE


@shares_folder
@given(path=st.sampled_from(PATHS), value=JSON | st.just(DELETED))
def test_a_manifest_with_any_value_anywhere(folder: Path, path: tuple[str | int, ...], value: object) -> None:
    load(folder, json.dumps(changed(path, value)).encode())


@shares_folder
@given(content=mutated(MANIFEST) | st.binary(max_size=100))
def test_a_manifest_of_any_bytes(folder: Path, content: bytes) -> None:
    load(folder, content)


@given(mutated(SHORTLIST[: -_CHECKSUM.size]))
@settings(deadline=None)
def test_a_shortlist_of_any_bytes_with_a_checksum_that_is_right(body: bytes) -> None:
    content = body + _CHECKSUM.pack(zlib.crc32(body))
    with contextlib.suppress(ShortlistError):
        shortlist = Shortlist.from_bytes(content)
        assert shortlist.vocabulary_size
