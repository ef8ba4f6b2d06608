"""What a server does before it serves: repeat the artifact's own translations."""

from __future__ import annotations

import dataclasses

import pytest

from export.manifest import ArtifactError
from server.engine.engine import Engine
from server.engine.session import ModelSession
from server.models import _self_check

POISON = 333  # as `poisoned_session` has it


@pytest.mark.parametrize("num_slots", [1, 4])
@pytest.mark.parametrize("kind", ["tiny_session", "recurrent_session"])
def test_an_artifact_repeats_its_translations(
    request: pytest.FixtureRequest, kind: str, num_slots: int
) -> None:
    session: ModelSession = request.getfixturevalue(kind)
    engine = Engine(session, num_slots)
    _self_check(engine, session.manifest)
    assert (engine.num_running, engine.num_waiting) == (0, 0)


@pytest.mark.parametrize("field", ["greedy", "beam"])
def test_another_translation_is_refused(tiny_session: ModelSession, field: str) -> None:
    expected = dataclasses.replace(tiny_session.manifest.self_check, **{field: (5, 5, 3)})  # type: ignore[arg-type]
    manifest = dataclasses.replace(tiny_session.manifest, self_check=expected)
    with pytest.raises(ArtifactError, match=r"tiny fails its self-check: .* the artifact has \[5, 5, 3\]"):
        _self_check(Engine(tiny_session, 2), manifest)


@pytest.mark.parametrize("piece", [POISON, 10**6], ids=["no number", "no such piece"])
def test_a_translation_that_fails_is_refused(poisoned_session: ModelSession, piece: int) -> None:
    """In the encoder too, where nothing is left to step."""
    expected = dataclasses.replace(poisoned_session.manifest.self_check, source=(300, piece, 3))
    manifest = dataclasses.replace(poisoned_session.manifest, self_check=expected)
    with pytest.raises(ArtifactError, match="tiny fails its self-check: "):
        _self_check(Engine(poisoned_session, 2), manifest)
