"""An OPUS-MT model in the layout of Transformers becomes a checkpoint, or is refused by name."""

from __future__ import annotations

import contextlib
import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.checkpoint import load_checkpoint, unique_weights
from model.commands import import_model as command
from model.importers.errors import ForeignModelError
from model.importers.opus_mt import import_opus_mt
from model.importers.origins import import_model
from model.importers.transformers_options import read_options
from model.importers.transformers_search import _NEUTRAL, read_search
from model.networks.embeddings import SinusoidalPositions
from model.scoring.length_penalty import LengthPenalty
from model.scoring.target_limit import DEFAULT_TARGET_LIMIT, TargetLimit
from model.text.special_ids import SpecialIds
from tests.opus_mt_files import (
    SIZE,
    configuration,
    random_tensors,
    sentencepiece_bytes,
    write_json,
    write_opus_mt,
    write_tokenizer,
)

WEIGHTS, PICKLE = "model.safetensors", "pytorch_model.bin"
SHARED, TARGET, OUTPUT = "model.shared.weight", "model.decoder.embed_tokens.weight", "lm_head.weight"
POSITIONS = "model.encoder.embed_positions.weight"
Edit = Callable[[str, dict[str, Any]], None]


@pytest.fixture(scope="module")
def models(pairs: list[tuple[str, str]]) -> tuple[bytes, bytes]:
    return sentencepiece_bytes([a for a, _ in pairs], 200), sentencepiece_bytes([b for _, b in pairs], 220)


@pytest.fixture
def folder(models: tuple[bytes, bytes], tmp_path: Path) -> Path:
    return write_opus_mt(tmp_path / "opus-mt-en-it", *models)


@pytest.fixture
def edit(folder: Path) -> Edit:
    """Change some fields of a JSON file, which may not be there before; None takes one out."""

    def change(name: str, fields: dict[str, Any]) -> None:
        path = folder / name
        there = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        write_json(path, {key: value for key, value in (there | fields).items() if value is not None})

    return change


def size_of(folder: Path) -> int:
    return len(json.loads((folder / "vocab.json").read_text(encoding="utf-8")))


def test_its_configuration_is_that_of_the_files(folder: Path) -> None:
    imported = import_opus_mt(folder)
    config, last = imported.model.config, size_of(folder) - 1
    assert config.special_ids == SpecialIds(padding=last, unknown=1, start=last, end=0)
    assert (config.norm, config.activation, config.position_layout) == ("post", "silu", "halves")
    assert config.target_limit == TargetLimit(factor=0.0, extra=511)
    assert config.length_penalty == LengthPenalty(kind="power", alpha=1.0)
    assert imported.tokenizer.directions == (("en", "it"),)
    with torch.inference_mode():
        log_probs = imported.model(torch.tensor([[5, 9, 0]]), torch.tensor([[last, 7]])).log_softmax(-1)
    assert bool((log_probs[..., last] == -torch.inf).all())
    assert bool(log_probs[..., :last].isfinite().all())


def test_the_command_writes_a_checkpoint(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "checkpoints" / "en-it"
    monkeypatch.setattr(sys, "argv", ["traghetto-import", str(folder), "--output", str(output)])
    assert command.main() == 0
    assert capsys.readouterr().out.startswith(f"{output}: en-it, ")
    model, tokenizer = load_checkpoint(output)
    expected = import_opus_mt(folder)
    assert tokenizer.serialized == expected.tokenizer.serialized
    assert model.config == expected.model.config
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-100])
    assert command.main() == 2
    assert "cannot read" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before
    assert [path.name for path in output.parent.iterdir()] == ["en-it"]


def test_generation_options_stand_in_their_own_file_where_there_is_one(folder: Path, edit: Edit) -> None:
    edit("generation_config.json", {"max_new_tokens": 99, "length_penalty": 0.6, "suppress_tokens": [7]})
    config = import_opus_mt(folder).model.config
    assert config.target_limit == TargetLimit(factor=0.0, extra=99)
    assert config.length_penalty.alpha == 0.6
    bias = import_opus_mt(folder).model.output.bias
    assert torch.isneginf(bias).nonzero().flatten().tolist() == [7, size_of(folder) - 1]
    write_json(folder / "generation_config.json", {})
    assert import_opus_mt(folder).model.config.target_limit == DEFAULT_TARGET_LIMIT


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("config.json", {"model_type": "m2m_100"}, "model_type is 'm2m_100', only 'marian' is supported"),
        ("config.json", {"normalize_before": True}, "normalize_before is True, only False is supported"),
        ("config.json", {"activation_function": "gelu_new"}, "is 'gelu_new', must be one of swish, silu, "),
        ("config.json", {"d_model": "wide"}, "d_model is 'wide', must be a whole number from 1 to"),
        ("config.json", {"encoder_layers": 0}, "encoder_layers is 0, must be a whole number from 1"),
        ("config.json", {"decoder_ffn_dim": 25}, "encoder_ffn_dim is 24 and decoder_ffn_dim 25, only equal"),
        ("config.json", {"encoder_attention_heads": 3, "decoder_attention_heads": 3}, "no multiple of 2 x"),
        ("config.json", {"eos_token_id": [0]}, r"eos_token_id is \[0\], must be an id below"),
        ("config.json", {"eos_token_id": 3}, "eos_token_id is 3, which is .* and must be '</s>'"),
        ("config.json", {"scale_embedding": None}, "scale_embedding is None, must be true or false"),
        ("config.json", {"decoder_vocab_size": 9}, "decoder_vocab_size is 9, must be vocab_size"),
        ("config.json", {"no_repeat_ngram_size": 3}, "no_repeat_ngram_size is 3, only 0 is supported"),
        ("config.json", {"bad_words_ids": [[3, 4]]}, r"bad_words_ids is \[\[3, 4\]\], must be a list"),
        ("generation_config.json", {"min_length": 4}, "min_length is 4, only 0 is supported"),
        ("generation_config.json", {"forced_bos_token_id": 4}, "forced_bos_token_id is 4, only None is"),
        ("generation_config.json", {"forced_eos_token_id": 4}, "forced_eos_token_id is 4, only the end, 0"),
        ("generation_config.json", {"length_penalty": -1}, "length_penalty is -1, must be a number from 0"),
        ("generation_config.json", {"max_length": 1}, "max_length is 1, must be a whole number from 2"),
        ("tokenizer_config.json", {"eos_token": "<e>"}, "eos_token is '<e>', only '</s>' is supported"),
        ("tokenizer_config.json", {"separate_vocabs": True}, "separate_vocabs is True"),
        ("tokenizer_config.json", {"source_lang": None}, "has no source_lang: use --languages"),
        ("tokenizer_config.json", {"target_lang": "it:x"}, "'it:x' is no BCP-47 language code"),
        ("added_tokens.json", {"<name>": 999}, "it adds the tokens <name>, only those of the vocabulary"),
        ("vocab.json", {"one more": 999}, r"vocab\.json has \d+ pieces, the model \d+"),
        ("vocab.json", {"</s>": 1}, r"vocab\.json is damaged: ids must be 0 to \d+, each once"),
        ("vocab.json", {"</s>": "0"}, "vocab.json is damaged: the id of '</s>' is '0'"),
    ],
)
def test_what_is_not_supported_is_named(
    folder: Path, edit: Edit, name: str, fields: dict[str, Any], message: str
) -> None:
    edit(name, fields)
    with pytest.raises(ForeignModelError, match=message):
        import_opus_mt(folder)


IMPOSSIBLE: tuple[object, ...] = (
    [],
    [[]],
    [0],
    {},
    {"a": 1},
    "x",
    -1,
    1.5,
    True,
    10**400,
    [None],
    {"content": []},
)


@pytest.mark.parametrize("value", IMPOSSIBLE, ids=lambda value: str(value)[:12])
def test_an_option_of_any_kind_is_taken_or_named(value: object) -> None:
    """Nothing else is raised, whatever stands in a file."""
    whole = configuration(40)
    generation: dict[str, object] = dict.fromkeys([*_NEUTRAL, "forced_eos_token_id", "suppress_tokens"])
    generation |= {"bad_words_ids": None, "max_length": None, "max_new_tokens": None, "length_penalty": None}
    num_named = 0
    for name in whole:
        with contextlib.suppress(ForeignModelError):
            num_named += 1
            read_options(whole | {name: value})
            num_named -= 1
    for name in generation:
        with contextlib.suppress(ForeignModelError):
            num_named += 1
            read_search(generation | {name: value}, vocabulary_size=40, padding=39, end=0)
            num_named -= 1
    assert num_named > len(whole) / 2


@pytest.mark.parametrize("name", ["eos_token", "sp_model_kwargs", "separate_vocabs", "added_tokens_decoder"])
def test_a_setting_of_any_kind_is_taken_or_named(folder: Path, edit: Edit, name: str) -> None:
    for value in IMPOSSIBLE:
        edit("tokenizer_config.json", {name: value})
        with contextlib.suppress(ForeignModelError):
            import_opus_mt(folder)


def test_all_options_are_named_at_once(folder: Path, edit: Edit) -> None:
    edit("config.json", {"normalize_embedding": True, "d_model": None, "pad_token_id": -1})
    with pytest.raises(ForeignModelError, match=r"normalize_embedding.*d_model is None.*pad_token_id is -1"):
        import_opus_mt(folder)


def test_all_tensors_that_do_not_fit_are_named_at_once(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    del tensors["model.encoder.layers.1.fc1.weight"]
    tensors["model.decoder.layers.0.fc2.bias"] = torch.zeros(3)
    tensors["model.decoder.layer_norm.weight"] = torch.zeros(SIZE)
    tensors[OUTPUT] = tensors[SHARED] + 1
    tensors[POSITIONS] = torch.zeros(32, SIZE)
    save_file(tensors, folder / WEIGHTS)
    with pytest.raises(ForeignModelError) as refusal:
        import_opus_mt(folder)
    for part in (
        f"{folder / WEIGHTS}: tensors: ",
        "model.encoder.layers.1.fc1.weight is missing",
        "model.decoder.layers.0.fc2.bias has shape (3,), must be (16,)",
        "model.decoder.layer_norm.weight is not expected",
        f"{OUTPUT} is unlike {SHARED}, to which it is tied",
        f"{POSITIONS} is not Transformers' sinusoids",
    ):
        assert part in str(refusal.value)


def test_tied_tables_and_positions_may_be_in_the_file(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    expected = import_opus_mt(folder).model.state_dict()
    positions = SinusoidalPositions(SIZE, layout="halves")(torch.arange(32))
    repeated = {name: tensors[SHARED].clone() for name in (TARGET, OUTPUT)}
    torch.save({**tensors, **repeated, POSITIONS: positions}, folder / PICKLE)
    (folder / WEIGHTS).unlink()
    loaded = import_opus_mt(folder).model.state_dict()
    assert all(torch.equal(loaded[name], expected[name]) for name in expected)
    del tensors[SHARED]
    save_file({**tensors, **repeated}, folder / WEIGHTS)
    loaded = import_opus_mt(folder).model.state_dict()
    assert all(torch.equal(loaded[name], expected[name]) for name in expected)
    save_file(tensors, folder / WEIGHTS)
    with pytest.raises(ForeignModelError, match=rf"{SHARED} is missing"):
        import_opus_mt(folder)


def test_half_precision_is_taken_and_integers_are_not(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    for dtype in (torch.float16, torch.bfloat16):
        save_file({name: tensor.to(dtype) for name, tensor in tensors.items()}, folder / WEIGHTS)
        embeddings = import_opus_mt(folder).model.source_embedding.tokens.weight
        torch.testing.assert_close(embeddings, tensors[SHARED].to(dtype).float(), rtol=0, atol=0)
    save_file({**tensors, SHARED: tensors[SHARED].to(torch.int8)}, folder / WEIGHTS)
    with pytest.raises(ForeignModelError, match="must be dense and one of float32, float16, bfloat16"):
        import_opus_mt(folder)
    tensors[SHARED][3, 4] = torch.nan
    save_file(tensors, folder / WEIGHTS)
    with pytest.raises(ForeignModelError, match=f"{SHARED} has a value that is no number"):
        import_opus_mt(folder)


class _Executes:
    """What a pickle of somebody bad holds: it writes a file when it is read as pickles are."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.path), "w"))


def test_code_in_a_pickle_is_not_executed(folder: Path, tmp_path: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / PICKLE).write_bytes(pickle.dumps({"weight": _Executes(tmp_path / "executed")}))
    with pytest.raises(ForeignModelError, match=rf"cannot read {folder / PICKLE}"):
        import_opus_mt(folder)
    torch.save({"weight": _Executes(tmp_path / "executed")}, folder / PICKLE)
    with pytest.raises(ForeignModelError, match=rf"cannot read {folder / PICKLE}"):
        import_opus_mt(folder)
    assert not (tmp_path / "executed").exists()
    torch.save({"weight": 3}, folder / PICKLE)
    with pytest.raises(ForeignModelError, match="weight is int, must be a tensor"):
        import_opus_mt(folder)


def test_marks_are_offered_as_languages(models: tuple[bytes, bytes], tmp_path: Path) -> None:
    folder = write_opus_mt(tmp_path / "en-roa", *models, marks=(">>ita<<", ">>pt_BR<<"))
    assert import_opus_mt(folder).tokenizer.directions == (("en", "ita"), ("en", "pt-BR"))
    some = import_opus_mt(folder, ("en,de", "pt-BR")).tokenizer
    assert some.directions == (("en", "pt-BR"), ("de", "pt-BR"))
    assert some.source_piece(some.encode_source("Hello", "pt-BR")[0]) == ">>pt_BR<<"
    with pytest.raises(ForeignModelError, match="the model has no mark for fr, only for ita, pt-BR"):
        import_opus_mt(folder, ("en", "fr,ita"))


def test_without_marks_there_is_one_target_language(folder: Path) -> None:
    assert import_opus_mt(folder, ("en,de", "it")).tokenizer.directions == (("en", "it"), ("de", "it"))
    with pytest.raises(ForeignModelError, match="languages are it, fr, the model has no marks"):
        import_opus_mt(folder, ("en", "it,fr"))


@pytest.mark.parametrize("ties", [True, False])
def test_two_vocabularies_have_two_tables(models: tuple[bytes, bytes], folder: Path, *, ties: bool) -> None:
    write_tokenizer(folder, *models, separate=True)
    source, target = 200 - 3 + 3, 220 - 3 + 3
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"vocab_size": source, "decoder_vocab_size": target, "tie_word_embeddings": ties}
    config |= {"share_encoder_decoder_embeddings": False, "pad_token_id": target - 1}
    config |= {"decoder_start_token_id": target - 1, "bad_words_ids": None}
    write_json(folder / "config.json", config)
    sizes = {"model.encoder.embed_tokens.weight": source, TARGET: target} | ({} if ties else {OUTPUT: target})
    tensors = random_tensors(sizes)
    save_file(tensors, folder / WEIGHTS)
    imported = import_opus_mt(folder)
    model, tokenizer = imported.model, imported.tokenizer
    assert (tokenizer.source_size, tokenizer.size) == (source, target)
    assert model.special_ids == SpecialIds(padding=0, unknown=1, start=target - 1, end=0)
    assert torch.equal(model.target_embedding.tokens.weight, tensors[TARGET])
    assert torch.equal(model.output.weight, tensors[TARGET if ties else OUTPUT])
    assert torch.equal(model.source_embedding.tokens.weight, tensors["model.encoder.embed_tokens.weight"])


def test_two_tables_may_share_a_vocabulary(folder: Path, edit: Edit) -> None:
    size = size_of(folder)
    edit("config.json", {"share_encoder_decoder_embeddings": False})
    save_file(random_tensors({"model.encoder.embed_tokens.weight": size, TARGET: size}), folder / WEIGHTS)
    imported = import_opus_mt(folder)
    assert imported.tokenizer.has_one_vocabulary
    assert imported.model.config.source_vocabulary_size == size
    edit("config.json", {"decoder_vocab_size": size + 1})
    with pytest.raises(ForeignModelError, match="separate_vocabs is False, with a vocab_size of"):
        import_opus_mt(folder)


def test_a_tokenizer_of_another_model_is_refused(folder: Path) -> None:
    other = sentencepiece_bytes(["日本語の文です。", "これは本です。"] * 4, 15)
    (folder / "source.spm").write_bytes(other)
    with pytest.raises(ForeignModelError, match=r"source\.spm is of another model: \d+ of its 15 pieces"):
        import_opus_mt(folder)


def test_files_that_are_missing_are_named(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "model-00001-of-00002.safetensors")
    with pytest.raises(ForeignModelError, match=r"has neither model\.safetensors nor pytorch_model\.bin"):
        import_opus_mt(folder)
    write_json(folder / "model.safetensors.index.json", {})
    with pytest.raises(ForeignModelError, match=r"index\.json is damaged: no weight_map"):
        import_opus_mt(folder)
    for name in ("target.spm", "source.spm", "vocab.json"):
        (folder / name).unlink()
        with pytest.raises(ForeignModelError, match=f"cannot read {folder / name}"):
            import_opus_mt(folder)


def test_a_folder_s_origin_is_known_by_its_files(folder: Path, tmp_path: Path) -> None:
    assert import_model(folder).tokenizer.directions == (("en", "it"),)
    with pytest.raises(ForeignModelError, match="no folder"):
        import_model(tmp_path / "nothing")
    (folder / "config.json").unlink()
    with pytest.raises(ForeignModelError, match=r"has neither config\.json, .* nor model\*\.bin"):
        import_model(folder)
    for path in folder.glob("*vocab*"):
        path.rename(folder / "vocab.yml")
    (folder / "opus.npz").touch()
    with pytest.raises(ForeignModelError, match=r"cannot read .*opus\.npz"):
        import_model(folder)


@pytest.mark.parametrize("is_safe", [True, False])
def test_weights_in_several_files_are_one_model(folder: Path, is_safe: bool) -> None:
    expected = unique_weights(import_opus_mt(folder).model)
    name = WEIGHTS if is_safe else "pytorch_model.bin"
    places = split(folder, name, is_safe=is_safe)
    found = unique_weights(import_opus_mt(folder).model)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in found)
    first = next(iter(places))
    for wrong, message in (
        ({**places, first: "../elsewhere" + Path(name).suffix}, r"must be in a \.\w+ file beside it"),
        ({**places, "another": places[first]}, "another is not in part-0"),
        ({key: place for key, place in places.items() if key != first}, "is not listed"),
    ):
        write_json(folder / f"{name}.index.json", {"weight_map": wrong})
        with pytest.raises(ForeignModelError, match=message):
            import_opus_mt(folder)


def split(folder: Path, name: str, *, is_safe: bool) -> dict[str, str]:
    """Put the weights into two files and their index; gives in which each is."""
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    places = {key: f"part-{i % 2}{Path(name).suffix}" for i, key in enumerate(sorted(tensors))}
    for place in set(places.values()):
        part = {key: tensors[key] for key in tensors if places[key] == place}
        if is_safe:
            save_file(part, folder / place)
        else:
            torch.save(part, folder / place)
    write_json(folder / f"{name}.index.json", {"metadata": {}, "weight_map": places})
    return places
