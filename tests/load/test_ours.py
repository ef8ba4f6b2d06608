"""Our engine ends the base model's targets where they should end, in int8 too."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.text.tokenizers import load_tokenizer
from tests.load.base_model import base_artifact
from tests.load.base_text import base_texts, target_length
from tests.load.ours import Ours

_BUILD = Path(__file__).parents[2] / "build"


@pytest.mark.load
@pytest.mark.timeout(900)  # the artifact may have to be exported first
@pytest.mark.parametrize("beam_size", [1, 4])
def test_ours_ends_base_targets_where_they_should(beam_size: int) -> None:
    folder = base_artifact(_BUILD)
    tokenizer = load_tokenizer(folder)
    texts = base_texts(200, seed=7)
    engine = Ours(folder)
    try:
        found = engine.translate([tokenizer.encode_source(text, "it") for text in texts], beam_size, 80)
    finally:
        engine.close()
    assert [len(ids) + 1 for ids in found] == [target_length(text) for text in texts]
