"""Special ids of a configuration: in its file where they are not the default."""

from __future__ import annotations

import json

import pytest

from model.networks.config import ConfigError
from model.networks.config_file import model_config, to_fields, to_json
from model.text.special_ids import DEFAULT_SPECIAL_IDS, SpecialIds

MARIAN = {"padding": 58100, "unknown": 1, "start": 58100, "end": 0}


@pytest.mark.parametrize("architecture", ["transformer", "recurrent"])
def test_default_special_ids_are_not_written(architecture: str) -> None:
    config = model_config({"architecture": architecture, "vocabulary_size": 600})
    assert config.special_ids == DEFAULT_SPECIAL_IDS
    assert "special_ids" not in to_fields(config)
    assert model_config(json.loads(to_json(config))) == config


@pytest.mark.parametrize("architecture", ["transformer", "recurrent"])
def test_other_special_ids_are_written_and_read(architecture: str) -> None:
    fields = {"architecture": architecture, "vocabulary_size": 58101, "special_ids": MARIAN}
    config = model_config(fields)
    assert config.special_ids == SpecialIds(**MARIAN)
    assert to_fields(config)["special_ids"] == MARIAN
    assert model_config(json.loads(to_json(config))) == config


def test_special_ids_that_are_no_numbers_are_named() -> None:
    fields = {"vocabulary_size": 600, "special_ids": {**MARIAN, "end": "</s>"}}
    with pytest.raises(ConfigError, match=r"model\.special_ids: end is '</s>', must be a whole number"):
        model_config(fields)
