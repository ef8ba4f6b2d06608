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


def test_what_older_checkpoints_lack_is_written_only_if_it_is_not_the_default() -> None:
    plain = to_fields(model_config({"vocabulary_size": 600}))
    later = {"decoder_layer": "ssru", "start_embedding": "zero", "output_bias": True, "norm_epsilon": 1e-9}
    later |= {"position_layout": "halves", "position_denominator": "half_less_one"}
    assert not later.keys() & plain.keys()
    config = model_config({"vocabulary_size": 600, **later, "target_limit": {"factor": 2.5, "extra": 0}})
    assert to_fields(config) == {**plain, **later, "target_limit": {"factor": 2.5, "extra": 0}}
    assert model_config(json.loads(to_json(config))) == config


def test_an_imported_models_fields_are_written_and_read() -> None:
    fields = {"vocabulary_size": 600, "source_vocabulary_size": 500, "scale_embeddings": False}
    config = model_config({**fields, "length_penalty": {"kind": "power", "alpha": 0.6}})
    assert (config.num_source_pieces, config.length_penalty.kind) == (500, "power")
    assert to_fields(config)["length_penalty"] == {"kind": "power", "alpha": 0.6}
    assert model_config(json.loads(to_json(config))) == config
    with pytest.raises(ConfigError, match="source_vocabulary_size is 0, must be at least 1"):
        model_config({"vocabulary_size": 600, "source_vocabulary_size": 0})
    for penalty, message in (({"kind": "sum"}, "kind is 'sum'"), ({"alpha": -1.0}, "alpha is -1.0")):
        with pytest.raises(ConfigError, match=rf"model\.length_penalty: {message}"):
            model_config({"vocabulary_size": 600, "length_penalty": penalty})


def test_an_impossible_target_limit_is_named() -> None:
    fields = {"vocabulary_size": 600, "target_limit": {"factor": 0.0, "extra": 0}}
    with pytest.raises(ConfigError, match=r"model\.target_limit: a target limit of 0\.0 times"):
        model_config(fields)
