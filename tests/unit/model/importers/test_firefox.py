"""A student of Firefox's becomes a checkpoint that computes what Marian does, or is refused by name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.checkpoint import load_checkpoint
from model.commands import import_model
from model.importers.errors import ForeignModelError
from model.importers.firefox import import_firefox
from model.scoring.target_limit import TargetLimit
from model.shortlist.shortlist import Shortlist
from model.text.special_ids import SpecialIds
from tests.marian_files import (
    OPTIONS,
    SIZES,
    float_item,
    marian_bytes,
    options_item,
    shortlist_bytes,
    student_items,
    vocabulary_bytes,
    write_student,
)
from tests.marian_numpy import MarianStudent, read_values

V = 300
MODEL = "model.enit.intgemm.alphas.bin"
LIMIT = 1e-4


@pytest.fixture(scope="module")
def vocabulary(pairs: list[tuple[str, str]]) -> bytes:
    return vocabulary_bytes([text for pair in pairs for text in pair], V)


@pytest.fixture
def student(vocabulary: bytes, tmp_path: Path) -> Path:
    return write_student(tmp_path / "student", vocabulary)


def command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["traghetto-import", *map(str, arguments)])
    return import_model.main()


def test_its_log_probabilities_are_those_of_the_formulas(student: Path) -> None:
    imported = import_firefox(student)
    numpy_model = MarianStudent(read_values(student / MODEL), SIZES["transformer-heads"])
    rng = np.random.default_rng(2)
    for length in (1, 2, 9, 30):
        source = [*rng.integers(2, V, length).tolist(), 0]
        target = rng.integers(2, V, length + 3).tolist()
        with torch.inference_mode():
            found = imported.model(torch.tensor([source]), torch.tensor([[0, *target]]))[0].log_softmax(-1)
        logits = numpy_model.logits(source, target)
        logits[:, 1] = -np.inf
        expected = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        assert bool((found[:, 1] == -torch.inf).all())
        sayable = np.arange(V) != 1
        np.testing.assert_allclose(found.numpy()[:, sayable], expected[:, sayable], rtol=0, atol=LIMIT)
        assert np.ptp(expected[:, sayable]) > 5  # it says something


def test_two_vocabularies_are_computed_as_the_formulas_say(
    vocabulary: bytes,
    student: Path,
    pairs: list[tuple[str, str]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    source_size = 250
    (student / MODEL).write_bytes(marian_bytes(student_items(V, source_size=source_size)))
    with pytest.raises(ForeignModelError, match=r"vocab\.enit\.spm: 1 vocabularies, the model has 2"):
        import_firefox(student)
    (student / "vocab.enit.spm").rename(student / "trgvocab.enit.spm")
    (student / "srcvocab.enit.spm").write_bytes(vocabulary_bytes([a for a, _ in pairs], source_size))
    (student / "lex.50.50.enit.s2t.bin").write_bytes(shortlist_bytes([[7]] * source_size))
    output = tmp_path / "checkpoint"
    assert command(monkeypatch, student, "--output", output) == 0
    assert "left out: lex.50.50.enit.s2t.bin: shortlists of two voc" in capsys.readouterr().out
    model, tokenizer = load_checkpoint(output)
    assert (tokenizer.source_size, tokenizer.size) == (source_size, V)
    assert tokenizer.detokenize(tokenizer.encode_target("Il gatto dorme.")) == "Il gatto dorme."
    source, target = tokenizer.encode_source("The cat sleeps.", "it"), [7, 250, 299, 5]
    with torch.inference_mode():
        found = model(torch.tensor([source]), torch.tensor([[0, *target]]))[0].log_softmax(-1).numpy()
    logits = MarianStudent(read_values(student / MODEL), SIZES["transformer-heads"]).logits(source, target)
    logits[:, 1] = -np.inf
    expected = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    sayable = np.arange(V) != 1
    np.testing.assert_allclose(found[:, sayable], expected[:, sayable], rtol=0, atol=LIMIT)


def test_the_command_writes_a_checkpoint(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (student / "config.yml").write_text("max-length-factor: 2.5\n", encoding="utf-8")
    (student / "lex.50.50.enit.s2t.bin").write_bytes(shortlist_bytes([[7]] * V))
    output = tmp_path / "checkpoint"
    assert command(monkeypatch, student, "--output", output) == 0
    model, tokenizer = load_checkpoint(output)
    assert tokenizer.directions == (("en", "it"),)
    assert model.special_ids == SpecialIds(padding=0, unknown=1, start=0, end=0)
    assert model.config.target_limit == TargetLimit(factor=2.5, extra=0)
    assert Shortlist.load(output).candidates([20, 0]).tolist() == [*range(10), 20]
    said = capsys.readouterr().out
    assert said.startswith(f"{output}: en-it, ")
    assert "2 encoder and 2 decoder layers of size 16, 300 pieces, with a shortlist" in said


def test_without_search_options_the_limit_is_firefoxs(student: Path) -> None:
    imported = import_firefox(student)
    assert imported.model.config.target_limit == TargetLimit(factor=2.0, extra=0)
    assert imported.shortlist is None


def test_a_refused_model_leaves_nothing_and_an_older_checkpoint_as_it_was(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "checkpoints" / "enit"
    whole = (student / MODEL).read_bytes()
    (student / MODEL).write_bytes(whole[:-3000])
    assert command(monkeypatch, student, "--output", output) == 2
    assert capsys.readouterr().err.startswith(f"traghetto-import: {student / MODEL}: damaged: ")
    assert not output.parent.exists()
    (student / MODEL).write_bytes(whole)
    assert command(monkeypatch, student, "--output", output) == 0
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    (student / MODEL).write_bytes(whole[:-3000])
    assert command(monkeypatch, student, "--output", output) == 2
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before
    assert [path.name for path in output.parent.iterdir()] == ["enit"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"transformer-decoder-autoreg": "self-attention"}, "is 'self-attention', only 'rnn' is supported"),
        ({"dec-cell": "gru"}, "dec-cell is 'gru', only 'ssru' is supported"),
        ({"transformer-preprocess": "n"}, "transformer-preprocess is 'n', only '' is supported"),
        ({"transformer-postprocess": "da"}, "transformer-postprocess is 'da', only 'dan' is supported"),
        ({"transformer-ffn-activation": "swish"}, "is 'swish', only 'relu' is supported"),
        ({"tied-embeddings-all": False}, "is False and tied-embeddings False, one of them must be True"),
        ({"transformer-train-position-embeddings": True}, "is True, only False is supported"),
        ({"transformer-tied-layers": [1, 1]}, r"transformer-tied-layers is \[1, 1\], only \[\] is supported"),
        ({"type": "s2s"}, "type is 's2s', only 'transformer' is supported"),
        ({"dim-vocabs": [V, 200]}, r"dim-vocabs is \[300, 200\], must be two equal sizes"),
        ({"dim-emb": "wide"}, "dim-emb is 'wide', must be a whole number"),
        ({"enc-depth": 0}, "enc-depth is 0, must be a whole number"),
        ({"transformer-heads": 3}, "model_size 16 is no multiple of 2 x num_heads 3"),
        ({"lemma-dim-emb": 7}, "lemma-dim-emb is 7, only 0 is supported"),
    ],
)
def test_an_option_that_is_not_supported_is_named(
    student: Path, options: dict[str, Any], message: str
) -> None:
    (student / MODEL).write_bytes(marian_bytes(student_items(V, **options)))
    with pytest.raises(ForeignModelError, match=message):
        import_firefox(student)


def test_all_options_are_named_at_once(student: Path) -> None:
    without = {name: value for name, value in OPTIONS.items() if name not in {"type", "dim-emb"}}
    items = [*student_items(V)[:-1], options_item({**without, "dec-cell": "lstm"})]
    (student / MODEL).write_bytes(marian_bytes(items))
    with pytest.raises(ForeignModelError, match=r"type is missing.*dec-cell.*dim-emb is None.*dim-vocabs"):
        import_firefox(student)


def test_all_tensors_that_do_not_fit_are_named_at_once(student: Path) -> None:
    items = [item for item in student_items(V) if item.name != "encoder_l2_ffn_W1"]
    items = [
        float_item(item.name, np.zeros((1, 3), np.float32)) if item.name == "decoder_l1_rnn_bf" else item
        for item in items
    ]
    extra = [
        float_item(name, np.zeros((1, 2), np.float32)) for name in ("decoder_l1_rnn_x", "Wemb_QuantMultB")
    ]
    (student / MODEL).write_bytes(marian_bytes([*extra, *items]))
    with pytest.raises(ForeignModelError) as refusal:
        import_firefox(student)
    for part in (
        "encoder_l2_ffn_W1 is missing",
        "decoder_l1_rnn_x is not expected",
        "Wemb_QuantMultB is not expected",
        "encoder_l2_ffn_W1_QuantMultA",
        "decoder_l1_rnn_bf has shape (1, 3), must be (1, 16)",
    ):
        assert (part in str(refusal.value)) == (part != "encoder_l2_ffn_W1_QuantMultA"), part


def test_a_vocabulary_of_another_size_is_named(student: Path, pairs: list[tuple[str, str]]) -> None:
    (student / "vocab.enit.spm").write_bytes(vocabulary_bytes([a for a, _ in pairs], 200))
    with pytest.raises(ForeignModelError, match=r"vocab\.enit\.spm has 200 pieces, the model 300"):
        import_firefox(student)


def test_files_that_are_missing_or_too_many_are_named(student: Path, vocabulary: bytes) -> None:
    (student / "lex.a.bin").write_bytes(b"")
    (student / "lex.b.bin").write_bytes(b"")
    (student / "srcvocab.enit.spm").write_bytes(vocabulary)
    (student / MODEL).rename(student / f"{MODEL}.gz")
    with pytest.raises(ForeignModelError) as refusal:
        import_firefox(student)
    for part in (
        f"unpack {MODEL}.gz first",
        "none for model*.bin, must be one file",
        "srcvocab.enit.spm, vocab.enit.spm for *vocab*.spm, must be one file",
        "lex.a.bin, lex.b.bin for lex*.bin, must be at most one file",
    ):
        assert part in str(refusal.value)
    with pytest.raises(ForeignModelError, match="no folder "):
        import_firefox(student / "nothing")


def test_languages_come_from_the_name_or_are_told(student: Path) -> None:
    assert import_firefox(student).tokenizer.directions == (("en", "it"),)
    assert import_firefox(student, ("en", "vec")).tokenizer.directions == (("en", "vec"),)
    (student / MODEL).rename(student / "model.bin")
    with pytest.raises(ForeignModelError, match=r"model\.bin does not name its languages: use --languages"):
        import_firefox(student)
    with pytest.raises(ForeignModelError, match="must be two different codes"):
        import_firefox(student, ("en", "en"))


@pytest.mark.parametrize(
    "content",
    ["[", "3", "max-length-factor: long", "max-length-factor: -1", f"max-length-factor: 1{'0' * 400}"],
)
def test_search_options_that_are_none_are_refused(student: Path, content: str) -> None:
    (student / "config.yml").write_text(content, encoding="utf-8")
    with pytest.raises(ForeignModelError, match=r"config\.yml"):
        import_firefox(student)
