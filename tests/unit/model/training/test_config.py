"""A wrong configuration is refused with every fault in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from model.networks.config import ConfigError, RecurrentConfig, TransformerConfig
from model.networks.config_file import model_config, to_json
from model.training.config import DataConfig, TrainingConfig, load_run_config

CONFIGS = Path(__file__).parents[4] / "model" / "configs"
DATA = {"languages": ["en", "it"], "train": ["train.tsv"], "dev": "dev.tsv", "vocabulary_size": 600}


def write(folder: Path, content: object) -> Path:
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_every_fault_of_a_model_is_listed() -> None:
    with pytest.raises(ConfigError) as caught:
        model_config(
            {
                "vocabulary_size": 0,
                "num_decoder_layers": -2,
                "norm": "middle",
                "activation": "tanh",
                "positions": "rotary",
                "dropout": 1,
            }
        )
    for fault in (
        "vocabulary_size is 0, must be at least 1",
        "num_decoder_layers is -2, must be at least 1",
        "norm is 'middle', must be one of pre, post",
        "activation is 'tanh', must be one of relu, gelu, silu",
        "positions is 'rotary', must be one of sinusoidal, learned, none",
        "dropout is 1, must be in [0, 1)",
    ):
        assert fault in str(caught.value)


def test_every_fault_of_a_recurrent_model_is_listed() -> None:
    with pytest.raises(ConfigError) as caught:
        model_config(
            {
                "architecture": "recurrent",
                "vocabulary_size": 600,
                "embedding_size": 0,
                "model_size": 33,
                "cell": "qrnn",
                "attention": "none",
                "hard_attention": True,
                "decoder": "vaswani",
                "context": "never",
                "dropout": -0.5,
            }
        )
    for fault in (
        "embedding_size is 0, must be at least 1",
        "cell is 'qrnn', must be one of rnn, lstm, gru",
        "decoder is 'vaswani', must be one of luong, bahdanau",
        "context is 'never', must be one of initial_state, every_step",
        "model_size 33 is odd, a bidirectional encoder halves it",
        "attention is 'none', hard_attention and decoder 'bahdanau' need one",
        "dropout is -0.5, must be in [0, 1)",
    ):
        assert fault in str(caught.value)


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(ConfigError, match="architecture is 'rnn', must be one of transformer, recurrent"):
        model_config({"architecture": "rnn", "vocabulary_size": 600})


def test_the_architecture_says_which_configuration_is_read() -> None:
    found = model_config({"architecture": "recurrent", "vocabulary_size": 600, "cell": "gru"})
    assert found == RecurrentConfig(vocabulary_size=600, cell="gru")
    assert isinstance(model_config({"vocabulary_size": 600}), TransformerConfig)


def test_a_word_is_no_switch() -> None:
    with pytest.raises(ConfigError, match="reverse_source is 'yes', must be true or false"):
        model_config({"architecture": "recurrent", "vocabulary_size": 600, "reverse_source": "yes"})


def test_a_run_takes_what_it_does_not_say_from_its_base(tmp_path: Path) -> None:
    base = {"data": DATA, "model": {"num_heads": 2, "norm": "post"}, "training": {"max_steps": 7}}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(base), encoding="utf-8")
    run = load_run_config(write(tmp_path, {"base": "base.yaml", "model": {"norm": "pre"}}))
    assert isinstance(run.model, TransformerConfig)
    assert (run.model.num_heads, run.model.norm, run.training.max_steps) == (2, "pre", 7)


def test_a_file_that_is_its_own_base_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"run\.yaml is its own base"):
        load_run_config(write(tmp_path, {"base": "run.yaml"}))


def test_a_model_must_be_a_mapping_and_its_architecture_a_name(tmp_path: Path) -> None:
    sections = {"data": DATA, "training": {"max_steps": 1}}
    with pytest.raises(ConfigError, match=r"model: is \[1\], must be a mapping"):
        load_run_config(write(tmp_path, {**sections, "model": [1]}))
    with pytest.raises(ConfigError, match=r"architecture is \['rnn'\], must be one of"):
        load_run_config(write(tmp_path, {**sections, "model": {"architecture": ["rnn"]}}))


def test_a_missing_base_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*nowhere.yaml"):
        load_run_config(write(tmp_path, {"base": "nowhere.yaml"}))


@pytest.mark.parametrize(("model_size", "num_heads"), [(30, 4), (12, 4), (7, 1)])
def test_heads_must_divide_the_model_into_even_sizes(model_size: int, num_heads: int) -> None:
    with pytest.raises(
        ConfigError, match=f"model_size {model_size} is no multiple of 2 x num_heads {num_heads}"
    ):
        TransformerConfig(vocabulary_size=10, model_size=model_size, num_heads=num_heads)


def test_dev_is_one_file_or_a_list(tmp_path: Path) -> None:
    for dev, files in (("a.tsv", ("a.tsv",)), (["a.tsv", "b.tsv"], ("a.tsv", "b.tsv"))):
        sections = {"data": {**DATA, "dev": dev}, "model": {}, "training": {"max_steps": 1}}
        assert load_run_config(write(tmp_path, sections)).data.dev == files


def test_a_model_to_start_from_stands_for_the_section_model(tmp_path: Path) -> None:
    initial = TransformerConfig(vocabulary_size=152, model_size=8, num_heads=2)
    data = {"languages": ["en", "it"], "train": ["train.tsv"], "dev": "dev.tsv"}
    path = write(tmp_path, {"data": data, "training": {"max_steps": 1}})
    assert load_run_config(path, initial).model == initial
    with pytest.raises(ConfigError, match="needs exactly the sections data, model, training"):
        load_run_config(path)
    path = write(tmp_path, {"data": data, "model": {"model_size": 16}, "training": {"max_steps": 1}})
    with pytest.raises(ConfigError, match="data: vocabulary_size is missing"):
        load_run_config(path, initial)


def test_every_fault_of_the_data_is_listed() -> None:
    with pytest.raises(ConfigError) as caught:
        DataConfig(
            languages=("it", "it"),
            train=(),
            dev=("dev.tsv",) * 2,
            vocabulary_size=100,
            shortlist_candidates=-1,
        )
    for fault in (
        "shortlist_candidates is -1, must be at least 0",
        "['it', 'it'], must be two different codes",
        "train names no file",
        "dev is ['dev.tsv', 'dev.tsv'], must be one or more different files",
        "vocabulary_size is 100",
    ):
        assert fault in str(caught.value)


def test_every_fault_of_the_training_is_listed() -> None:
    with pytest.raises(ConfigError) as caught:
        TrainingConfig(max_steps=10, patience=0, learning_rate=-1.0, cooldown_steps=11, label_smoothing=1.0)
    for fault in (
        "patience is 0, must be at least 1",
        "learning_rate is -1.0, must be above 0",
        "cooldown_steps is 11, must be in [0, 10]",
        "label_smoothing is 1.0, must be in [0, 1)",
    ):
        assert fault in str(caught.value)


def test_unknown_and_missing_fields_are_named() -> None:
    with pytest.raises(ConfigError, match=r"model: unknown field num_layers; known: .*num_encoder_layers"):
        model_config({"vocabulary_size": 10, "num_layers": 6})
    with pytest.raises(ConfigError, match=r"model: .*'vocabulary_size'"):
        model_config({})


def test_the_bundled_configurations_are_valid() -> None:
    paths = list(CONFIGS.glob("*.yaml"))
    assert paths
    for path in paths:
        run = load_run_config(path)
        assert run.model.vocabulary_size == run.data.vocabulary_size


def test_a_run_is_read_from_its_three_sections(tmp_path: Path) -> None:
    content = {"data": DATA, "model": {"model_size": 32}, "training": {"max_steps": 5}}
    run = load_run_config(write(tmp_path, content))
    assert run.data.languages == ("en", "it")
    assert (run.model.model_size, run.model.vocabulary_size) == (32, 600)
    assert run.training == TrainingConfig(max_steps=5)


def test_a_run_with_other_sections_is_refused(tmp_path: Path) -> None:
    for content in (
        {"data": DATA, "model": {}},
        {"data": DATA, "model": {}, "training": {}, "x": {}},
        [1],
        None,
    ):
        with pytest.raises(ConfigError, match="needs exactly the sections data, model, training"):
            load_run_config(write(tmp_path, content))


def test_a_models_json_reads_back_as_itself() -> None:
    config = TransformerConfig(vocabulary_size=10, norm="post", positions="learned", dropout=0.3)
    assert model_config(json.loads(to_json(config))) == config


@pytest.mark.parametrize(
    ("section", "field", "value", "wanted"),
    [
        ("training", "learning_rate", "1e-3", "a number"),
        ("training", "max_steps", 10.0, "a whole number"),
        ("model", "num_heads", True, "a whole number"),
        ("data", "train", "train.tsv", "a list"),
    ],
)
def test_a_value_of_another_type_is_refused(
    tmp_path: Path, section: str, field: str, value: object, wanted: str
) -> None:
    run: dict[str, dict[str, object]] = {"data": DATA, "model": {}, "training": {"max_steps": 10}}
    run[section] = run[section] | {field: value}
    with pytest.raises(ConfigError, match=f"{section}: {field} is {value!r}, must be {wanted}"):
        load_run_config(write(tmp_path, run))


def test_a_file_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("data: [", encoding="utf-8")
    for unreadable in (path, tmp_path / "none.yaml"):
        with pytest.raises(ConfigError, match=unreadable.name):
            load_run_config(unreadable)


def test_learned_positions_reach_as_far_as_the_data(tmp_path: Path) -> None:
    model = {"positions": "learned", "max_positions": 64}
    run = {"data": DATA | {"max_tokens": 65}, "model": model, "training": {"max_steps": 10}}
    with pytest.raises(ConfigError, match=r"max_positions is 64, must be at least data\.max_tokens, 65"):
        load_run_config(write(tmp_path, run))
