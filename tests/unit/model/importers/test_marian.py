"""A native Marian model becomes a checkpoint that computes what Marian does, or is refused by name."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.checkpoint import load_checkpoint
from model.commands import import_model as command
from model.importers.errors import ForeignModelError
from model.importers.firefox import import_firefox
from model.importers.marian import import_marian
from model.importers.marian_binary import read_marian_binary
from model.importers.marian_npz import read_marian_npz
from model.importers.marian_vocabulary import read_vocabulary
from model.importers.origins import import_model
from model.scoring.length_penalty import LengthPenalty
from model.scoring.target_limit import TargetLimit
from model.text.special_ids import SpecialIds
from tests.firefox_models import model_folder
from tests.marian_files import (
    NATIVE_MODEL,
    NATIVE_VOCABULARY,
    SELF_ATTENTION,
    SIZES,
    as_arrays,
    native_arrays,
    npz_bytes,
    shortlist_bytes,
    vocabulary_bytes,
    vocabulary_yaml,
    write_native,
)
from tests.marian_numpy import MarianStudent, swish
from tests.opus_mt_files import sentencepiece_bytes

MARKS = (">>ita<<", ">>vec<<")
LANGUAGES = ("en", "it")
LIMIT = 1e-4
Write = Callable[..., Path]


@pytest.fixture(scope="module")
def models(pairs: list[tuple[str, str]]) -> tuple[bytes, bytes]:
    return sentencepiece_bytes([a for a, _ in pairs], 200), sentencepiece_bytes([b for _, b in pairs], 220)


@pytest.fixture
def write(models: tuple[bytes, bytes], tmp_path: Path) -> Write:
    """A folder as OPUS-MT was released, of random weights."""

    def written(**options: Any) -> Path:
        return write_native(tmp_path / "opus-2020-01-01", *models, **options)

    return written


def check_log_probs(folder: Path, languages: tuple[str, str] | None = LANGUAGES, **formulas: Any) -> None:
    """The imported model beside the formulas."""
    imported = import_marian(folder, languages)
    model, special = imported.model, imported.tokenizer.special_ids
    tensors = read_marian_npz(next(folder.glob("*.npz"))).tensors
    values = {name: tensor.values.astype(np.float64) for name, tensor in tensors.items()}
    numpy_model = MarianStudent(values, SIZES["transformer-heads"], **formulas)
    rng = np.random.default_rng(2)
    sizes = imported.tokenizer.source_size, imported.tokenizer.size
    for length in (1, 2, 9, 30):
        source = [*rng.integers(2, sizes[0], length).tolist(), 0]
        target = rng.integers(2, sizes[1], length + 3).tolist()
        with torch.inference_mode():
            found = model(torch.tensor([source]), torch.tensor([[special.start, *target]]))[0].log_softmax(-1)
        logits = numpy_model.logits(source, target)
        logits[:, special.unknown] = -np.inf
        expected = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        sayable = np.arange(sizes[1]) != special.unknown
        assert bool((found[:, special.unknown] == -torch.inf).all())
        np.testing.assert_allclose(found.numpy()[:, sayable], expected[:, sayable], rtol=0, atol=LIMIT)
        assert np.ptp(expected[:, sayable]) > 5  # it says something


def test_self_attention_is_computed_as_the_formulas_say(write: Write) -> None:
    check_log_probs(write(), activation=swish)


def test_recurrence_is_computed_as_the_formulas_say(write: Write) -> None:
    options = {"transformer-decoder-autoreg": "rnn", "dec-cell": "ssru"}
    check_log_probs(write(**options, **{"transformer-ffn-activation": "relu"}))


@pytest.mark.parametrize("output", ["tied", "W", "Wt"])
def test_two_vocabularies_are_computed_as_the_formulas_say(
    pairs: list[tuple[str, str]], tmp_path: Path, output: str
) -> None:
    """Their ids are those of SentencePiece's files; the output layer has one of two names, or is tied."""
    folder = tmp_path / "model"
    folder.mkdir()
    options = {**SELF_ATTENTION, "tied-embeddings": output == "tied", "source_size": 180}
    arrays = native_arrays(200, tmp_path, **options)
    if output == "Wt":
        arrays["decoder_ff_logit_out_Wt"] = arrays.pop("decoder_ff_logit_out_W").T
    (folder / "model.enit.npz").write_bytes(npz_bytes(arrays))
    for side, (name, size) in enumerate({"srcvocab.spm": 180, "trgvocab.spm": 200}.items()):
        (folder / name).write_bytes(vocabulary_bytes([pair[side] for pair in pairs], size))
    check_log_probs(folder, None, activation=swish)


def test_a_dequantized_student_is_what_its_binary_is(tmp_path: Path) -> None:
    """A real one: the same weights to the bit, and the same configuration but for how scores compare."""
    published = model_folder("en-pt")
    folder = tmp_path / "native"
    folder.mkdir()
    arrays = as_arrays(read_marian_binary(next(published.glob("model*.bin"))))
    (folder / "model.enpt.npz").write_bytes(npz_bytes(arrays))
    for path in (*published.glob("*vocab*.spm"), *published.glob("lex*.bin")):
        shutil.copy(path, folder / path.name)
    (folder / "decoder.yml").write_text("max-length-factor: 2.5\nnormalize: 0.5\n", encoding="utf-8")
    ours, theirs = import_model(folder), import_firefox(published)
    penalty = LengthPenalty(kind="power", alpha=0.5)
    assert ours.model.config == replace(theirs.model.config, length_penalty=penalty)
    weights, expected = ours.model.state_dict(), theirs.model.state_dict()
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert ours.tokenizer.serialized == theirs.tokenizer.serialized
    assert ours.shortlist is not None
    assert theirs.shortlist is not None
    assert ours.shortlist.to_bytes() == theirs.shortlist.to_bytes()


def test_the_command_writes_a_checkpoint(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, output = write(), tmp_path / "checkpoint"
    (folder / "lex.50.50.bin").write_bytes(
        shortlist_bytes([[7]] * len(read_vocabulary(folder / NATIVE_VOCABULARY)))
    )
    arguments = ["traghetto-import", folder, "--output", output, "--languages", *LANGUAGES]
    monkeypatch.setattr(sys, "argv", list(map(str, arguments)))
    assert command.main() == 0
    assert capsys.readouterr().out.startswith(f"{output}: en-it, ")
    model, tokenizer = load_checkpoint(output)
    assert (output / "shortlist.bin").is_file()
    assert model.config.target_limit == TargetLimit(factor=3.0, extra=0)
    assert model.config.length_penalty == LengthPenalty(kind="power", alpha=1.0)
    assert tokenizer.special_ids == SpecialIds(padding=0, unknown=1, start=0, end=0)
    assert tokenizer.detokenize(tokenizer.encode_target("Il gatto dorme.")) == "Il gatto dorme."


def test_without_search_options_all_is_as_marian_has_it(write: Write) -> None:
    folder = write()
    (folder / "decoder.yml").unlink()
    config = import_marian(folder, LANGUAGES).model.config
    assert config.target_limit == TargetLimit(factor=3.0, extra=0)
    assert config.length_penalty == LengthPenalty(kind="power", alpha=0.0)


def test_marks_of_target_languages_are_pairs(write: Write) -> None:
    folder = write(marks=MARKS)
    every = import_marian(folder, ("en", "*")).tokenizer
    assert every.directions == (("en", "ita"), ("en", "vec"))
    assert every.source_piece(every.encode_source("The cat.", "vec")[0]) == ">>vec<<"
    assert import_marian(folder, ("en", "vec")).tokenizer.directions == (("en", "vec"),)
    with pytest.raises(ForeignModelError, match="no mark for fur, only for ita, vec"):
        import_marian(folder, ("en", "fur"))
    with pytest.raises(ForeignModelError, match="does not name its languages: use --languages"):
        import_marian(folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"type": "s2s"}, "type is 's2s', only 'transformer' is supported"),
        ({"transformer-decoder-autoreg": "average-attention"}, "only 'self-attention' and 'rnn' is supp"),
        ({"transformer-decoder-autoreg": "rnn"}, "dec-cell is 'gru', only 'ssru' is supported"),
        ({"transformer-ffn-activation": "gelu"}, "is 'gelu', only 'relu' and 'swish' is supported"),
        ({"transformer-preprocess": "n"}, "transformer-preprocess is 'n', only '' is supported"),
        ({"transformer-train-positions": True}, "transformer-train-positions is True, only False is"),
        ({"tied-embeddings-src": True}, "tied-embeddings-src is True, only False is supported"),
        ({"tied-embeddings-all": None}, "is None and tied-embeddings False, each must be True or False"),
        ({"lemma-dim-emb": 7}, "lemma-dim-emb is 7, only 0 is supported"),
        (
            {"type": "amun", "transformer-postprocess": "da", "dim-emb": 0},
            "transformer-postprocess is 'da'.*dim-emb is 0",
        ),
    ],
)
def test_options_that_are_not_supported_are_named(
    write: Write, options: dict[str, Any], message: str
) -> None:
    folder = write(**options)
    with pytest.raises(ForeignModelError, match=message):
        import_marian(folder, LANGUAGES)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("word-penalty: 0.5", "word-penalty is 0.5, only 0 is supported"),
        ("allow-unk: true", "allow-unk is True, only False is supported"),
        ("normalize: lots", "normalize is 'lots', must be a number from 0 to 10"),
        ("max-length-factor: 0", "max-length-factor is 0, must be above 0"),
        ("models: [a.npz, b.npz]", r"models is \['a.npz', 'b.npz'\], must be a list of 1 names"),
        ("models: [c.npz]", "no c.npz"),
        ("vocabs: [a.spm, b.yml, c.yml]", "must be a list of 1 or 2 names of files"),
        ("[", "cannot read"),
        ("- 3", "is no mapping of options to values"),
    ],
)
def test_search_options_that_are_not_supported_are_named(write: Write, line: str, message: str) -> None:
    folder = write()
    (folder / "decoder.yml").write_text(f"{line}\n", encoding="utf-8")
    with pytest.raises(ForeignModelError, match=message):
        import_marian(folder, LANGUAGES)


def test_tensors_that_do_not_fit_are_named_at_once(write: Write) -> None:
    folder = write()
    arrays = dict(np.load(folder / NATIVE_MODEL))
    del arrays["encoder_l2_ffn_W1"]
    arrays |= {"Wpos": np.zeros((4, 16), np.float32), "decoder_l1_self_bq": np.zeros((1, 3), np.float32)}
    (folder / NATIVE_MODEL).write_bytes(npz_bytes(arrays))
    with pytest.raises(
        ForeignModelError,
        match=r"encoder_l2_ffn_W1 is missing; Wpos is not expected; .*_bq has shape \(1, 3\), must be",
    ):
        import_marian(folder, LANGUAGES)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 2)), r"extra is float64 of shape \(2, 2\), must be float32"),
        (np.float32(3), r"extra is float32 of shape \(\), must be float32 and not empty"),
        (np.array([{}]), "cannot read .*allow_pickle"),
        (np.array([[np.nan]], np.float32), "extra is not expected"),
    ],
)
def test_what_is_no_tensor_is_named(write: Write, array: Any, message: str) -> None:
    folder = write()
    (folder / NATIVE_MODEL).write_bytes(npz_bytes({**np.load(folder / NATIVE_MODEL), "extra": array}))
    with pytest.raises(ForeignModelError, match=message):
        import_marian(folder, LANGUAGES)


def test_files_that_do_not_fit_are_named(write: Write, models: tuple[bytes, bytes]) -> None:
    folder = write()
    (folder / NATIVE_VOCABULARY).write_text(vocabulary_yaml(["</s>", "<unk>", "a"]), encoding="utf-8")
    with pytest.raises(ForeignModelError, match=r"vocab\.yml has 3 pieces, the model \d+"):
        import_marian(folder, LANGUAGES)
    (folder / "decoder.yml").unlink()
    (folder / "other.npz").touch()
    (folder / NATIVE_VOCABULARY).unlink()
    with pytest.raises(ForeignModelError, match=r"npz, other\.npz for \*\.npz, must be one.*no vocabulary"):
        import_marian(folder, LANGUAGES)
    (folder / "other.npz").unlink()
    (folder / "vocab.spm").write_bytes(models[0])
    with pytest.raises(ForeignModelError, match=r"vocab\.spm has 200 pieces, the model"):
        import_marian(folder, LANGUAGES)
    (folder / "a.decoder.yml").write_text(f"vocabs: [vocab.spm, {NATIVE_VOCABULARY}]", encoding="utf-8")
    (folder / NATIVE_VOCABULARY).write_text("{}", encoding="utf-8")
    with pytest.raises(ForeignModelError, match=r"vocab\.spm, .*vocab\.yml: 2 vocabularies, the model has 1"):
        import_marian(folder, LANGUAGES)


def test_without_segmentation_a_vocabulary_is_of_no_use(write: Write) -> None:
    folder = write()
    (folder / "target.spm").unlink()
    with pytest.raises(ForeignModelError, match=r"no .*target\.spm: vocabularies in YAML need source\.spm"):
        import_marian(folder, LANGUAGES)


_OF_YAML = "null ~ 1.0 1 01 true yes << ? : { } # = 2020-01-01 0x1f 1_000 &a *a !!int | > % @ `"
TRAPS = ("</s>", "<unk>", *_OF_YAML.split(), "? ", "- ", '"', "'", "\ue000", "é", "👍", "\\", "")


def test_a_piece_is_a_piece_whatever_yaml_would_make_of_it(tmp_path: Path) -> None:
    path = tmp_path / "vocab.yml"
    path.write_text(vocabulary_yaml(TRAPS), encoding="utf-8")
    assert read_vocabulary(path) == TRAPS
    plain = ("</s>", "null", "~", "1.0", "1", "01", "true", "yes", "<<", "=", "2020-01-01", "0x1f")
    path.write_text("".join(f"{piece}: {i}\n" for i, piece in enumerate(plain)), encoding="utf-8")
    assert read_vocabulary(path) == plain


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no mapping of pieces to ids"),
        ("3", "no mapping"),
        ("[a, b]", "no mapping"),
        ("a: [1]\n", "no mapping"),
        ("a: 0\n---\nb: 1\n", "no mapping"),
        ("a: &x 0\nb: *x\n", "no mapping"),
        ("a: 0\na: 1\n", "twice the piece 'a'"),
        ("a: 0\nb: 2\n", "ids must be 0 to 1, each once"),
        ("a: -1\n", "an id is '-1', must be a whole number"),
        ("a: ²\n", "an id is '²', must be"),
        ("a: 'b\n", "cannot read"),
        ("{" * 10_000, "cannot read|no mapping"),
    ],
)
def test_a_vocabulary_that_is_none_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "vocab.yml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ForeignModelError, match=message):
        read_vocabulary(path)
