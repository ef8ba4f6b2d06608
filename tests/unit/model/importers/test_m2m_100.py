"""M2M-100 and NLLB-200 in the layout of Transformers become a checkpoint, or are refused by name."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.checkpoint import load_checkpoint
from model.commands import import_model as command
from model.importers.errors import ForeignModelError
from model.importers.multilingual_languages import M2M_100, NLLB_200, WMT_21
from model.importers.origins import import_model
from model.networks.embeddings import SinusoidalPositions
from model.scoring.length_penalty import LengthPenalty
from model.scoring.target_limit import TargetLimit
from model.text.language_codes import is_language_code
from model.text.special_ids import SpecialIds
from model.text.tokenizer import TokenizerError
from tests.m2m_100_files import SHARED, spm_bytes, write_m2m_100, write_nllb
from tests.opus_mt_files import SIZE, write_json

WEIGHTS = "model.safetensors"
Edit = Callable[[str, dict[str, Any]], None]


@pytest.fixture(scope="module")
def model(pairs: list[tuple[str, str]]) -> bytes:
    return spm_bytes([text for pair in pairs for text in pair])


@pytest.fixture
def folder(model: bytes, tmp_path: Path) -> Path:
    return write_nllb(tmp_path / "nllb-200", model)


@pytest.fixture
def edit(folder: Path) -> Edit:
    """Change some fields of a JSON file, which may not be there before; None takes one out."""

    def change(name: str, fields: dict[str, Any]) -> None:
        path = folder / name
        there = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        write_json(path, {key: value for key, value in (there | fields).items() if value is not None})

    return change


@pytest.mark.parametrize("table", [M2M_100, WMT_21, NLLB_200], ids=["M2M-100", "WMT 21", "NLLB-200"])
def test_every_language_has_a_code_of_its_own(table: dict[str, str]) -> None:
    assert all(map(is_language_code, table.values()))
    assert len(set(table.values())) == len(table)


def test_the_codes_of_nllb_are_the_shortest_that_there_are() -> None:
    assert (len(M2M_100), len(WMT_21), len(NLLB_200)) == (100, 8, 202)
    assert (NLLB_200["eng_Latn"], NLLB_200["zho_Hans"], NLLB_200["zho_Hant"]) == ("en", "zh-Hans", "zh-Hant")
    assert (NLLB_200["arb_Arab"], NLLB_200["arz_Arab"]) == ("ar", "arz")
    ours = set(NLLB_200.values()) | {"zh"}
    # M2M-100 has these and NLLB-200 has not; all others they have in common, under the same code.
    assert set(M2M_100.values()) - ours == {"br", "ff", "fy", "no"}
    assert set(WMT_21.values()) <= ours
    for theirs, code in NLLB_200.items():
        language, script = theirs.split("_")
        subtag, _, written = code.partition("-")
        assert subtag == language or len(subtag) == 2
        assert written in {"", script}
    scripts = [code for code in NLLB_200.values() if "-" in code]
    assert scripts == ["ace-Arab", "bjn-Arab", "ks-Deva", "kr-Arab", "taq-Tfng", "zh-Hans", "zh-Hant"]


def test_its_configuration_is_that_of_the_files(folder: Path) -> None:
    imported = import_model(folder)
    config = imported.model.config
    assert config.special_ids == SpecialIds(padding=1, unknown=3, start=2, end=2)
    assert (config.norm, config.activation, config.first_position) == ("pre", "relu", 2)
    assert config.target_limit == TargetLimit(factor=0.0, extra=199)
    assert config.length_penalty == LengthPenalty(kind="power", alpha=1.0)
    assert not config.output_bias
    assert len(imported.tokenizer.directions) == 202 * 201


def test_a_source_and_a_target_say_their_languages(model: bytes, folder: Path, tmp_path: Path) -> None:
    legacy = import_model(write_nllb(tmp_path / "legacy", model, legacy=True)).tokenizer
    m2m_100 = import_model(write_m2m_100(tmp_path / "m2m", model)).tokenizer
    nllb = import_model(folder).tokenizer
    for tokenizer, source, target, follows in (
        (nllb, "eng_Latn", "zho_Hans", False),
        (legacy, "eng_Latn", "zho_Hans", True),
        (m2m_100, "__en__", "__zh__", False),
    ):
        language = "zh" if tokenizer is m2m_100 else "zh-Hans"
        ids = tokenizer.encode_source("The cat sleeps.", language, source_language="en")
        pieces = list(map(tokenizer.source_piece, ids))
        assert (pieces[-2:] == ["</s>", source]) == follows
        assert (pieces[0] == source and pieces[-1] == "</s>") != follows
        first = tokenizer.first_target_token(language)
        assert first is not None
        assert tokenizer.piece(first) == target
        said = tokenizer.encode_target("The cat sleeps.", target_language=language)
        assert (said[0], said[-1]) == (first, tokenizer.special_ids.end)
        assert tokenizer.detokenize([*said, 0, 1, tokenizer.size - 1]) == "The cat sleeps."
        with pytest.raises(TokenizerError, match="which one must be said"):
            tokenizer.encode_source("The cat.", language)
        with pytest.raises(TokenizerError, match="a target begins with its language, and None is not known"):
            tokenizer.encode_target("The cat.")
        written = tokenizer.encode_source("eng_Latn __en__ </s> <mask>", language, source_language="en")
        assert len({source, target, "</s>", "<mask>"} & set(map(tokenizer.piece, written))) == 2


def test_the_command_writes_a_checkpoint_of_some_languages(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "checkpoint"
    languages = ("--languages", "en,ita_Latn", "en,it,zh-Hans")
    monkeypatch.setattr(sys, "argv", ["traghetto-import", str(folder), "--output", str(output), *languages])
    assert command.main() == 0
    assert capsys.readouterr().out.startswith(f"{output}: en-it, en-zh-Hans, it-en, it-zh-Hans, ")
    loaded, tokenizer = load_checkpoint(output)
    expected = import_model(folder, ("en,it", "en,it,zh-Hans"))
    assert tokenizer.serialized == expected.tokenizer.serialized
    assert loaded.config == expected.model.config


def test_a_command_names_few_of_many_directions(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["traghetto-import", str(folder), "--output", str(tmp_path / "all")])
    assert command.main() == 0
    assert "and 40582 more, " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        (
            "config.json",
            {"model_type": "nllb-moe"},
            "'nllb-moe', only 'marian' and 'm2m_100' are supp",
        ),
        ("config.json", {"tie_word_embeddings": False}, "tie_word_embeddings is False, only True is supp"),
        ("config.json", {"activation_function": "tanh"}, "activation_function is 'tanh', must be one of"),
        ("config.json", {"vocab_size": 300}, "the tokenizer has 404 pieces, the model 300"),
        ("config.json", {"pad_token_id": 0}, "pad_token_id is 0, which is '<s>' in the vocabulary and must"),
        ("config.json", {"eos_token_id": 405}, "eos_token_id is 405, which is None in the vocabulary"),
        ("generation_config.json", {"no_repeat_ngram_size": 3}, "no_repeat_ngram_size is 3, only 0 is"),
        ("tokenizer_config.json", {"tokenizer_class": "BertTokenizer"}, "tokenizer_class is 'BertToken"),
        ("tokenizer_config.json", {"legacy_behaviour": "yes"}, "legacy_behaviour is 'yes', only False and"),
        ("tokenizer_config.json", {"eos_token": []}, r"eos_token is \[\], only '</s>' is supported"),
        ("tokenizer_config.json", {"sp_model_kwargs": {"alpha": 1}}, "sp_model_kwargs is"),
        ("added_tokens.json", {"<name>": 404}, "it adds the token <name>, only those of the vocabulary"),
        (
            "tokenizer_config.json",
            {"added_tokens_decoder": {"7": {"content": "eng_Latn"}}},
            r"the token eng_Latn has the id 7, must have \d+",
        ),
    ],
)
def test_what_is_not_supported_is_named(
    folder: Path, edit: Edit, name: str, fields: dict[str, Any], message: str
) -> None:
    edit(name, fields)
    with pytest.raises(ForeignModelError, match=message):
        import_model(folder)


def test_languages_that_it_lacks_are_named(folder: Path) -> None:
    with pytest.raises(ForeignModelError, match="the model has no language tlh, only ace, ace-Arab, "):
        import_model(folder, ("en", "it,tlh"))
    with pytest.raises(ForeignModelError, match="must be two different codes"):
        import_model(folder, ("en", "en"))


def test_what_is_banned_is_never_said(folder: Path, edit: Edit) -> None:
    edit("generation_config.json", {"suppress_tokens": [3, 1]})
    imported = import_model(folder)
    with torch.inference_mode():
        log_probs = imported.model(torch.tensor([[5, 9, 2]]), torch.tensor([[2, 7]])).log_softmax(-1)
    assert torch.isneginf(log_probs[0, 0]).nonzero().flatten().tolist() == [1, 3]


def test_tensors_that_do_not_fit_are_named_at_once(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    del tensors["model.encoder.layer_norm.weight"]
    tensors["final_logits_bias"] = torch.zeros(1, 404)
    tensors["lm_head.weight"] = tensors[SHARED] + 1
    tensors["model.encoder.embed_positions.weights"] = torch.zeros(66, SIZE)
    save_file(tensors, folder / WEIGHTS)
    with pytest.raises(ForeignModelError) as refusal:
        import_model(folder)
    for part in (
        "model.encoder.layer_norm.weight is missing",
        "final_logits_bias is not expected",
        f"lm_head.weight is unlike {SHARED}, to which it is tied",
        "model.encoder.embed_positions.weights is not Transformers' sinusoids",
    ):
        assert part in str(refusal.value)


def test_a_table_of_positions_may_be_in_the_file(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    expected = import_model(folder).model.state_dict()
    sinusoids = SinusoidalPositions(SIZE, layout="halves", denominator="half_less_one")(torch.arange(66))
    sinusoids[1] = 0  # that of the padding
    save_file({**tensors, "model.decoder.embed_positions.weights": sinusoids}, folder / WEIGHTS)
    loaded = import_model(folder).model.state_dict()
    assert all(torch.equal(loaded[name], expected[name]) for name in expected)
