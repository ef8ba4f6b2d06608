"""The sentences of a proof: of every direction that a model has, and without references too."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from export import command
from export.proof.checks import ProofError
from export.proof.sentences import prepare, target_of, translated
from model.importers.firefox import import_firefox
from model.importers.imported_model import ImportedModel
from model.importers.m2m_100 import import_m2m_100
from model.importers.opus_mt import import_opus_mt
from model.text.parallel_text import DataError
from model.text.tokenizer import Tokenizer
from tests.m2m_100_files import spm_bytes, write_nllb
from tests.marian_files import vocabulary_bytes, write_student
from tests.opus_mt_files import sentencepiece_bytes, write_opus_mt

CHECKPOINT = Path(__file__).parents[4] / "model/pretrained/en-it"


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]) -> ImportedModel:
    """A random one, English to Italian."""
    folder = tmp_path_factory.mktemp("student")
    return import_firefox(write_student(folder, vocabulary_bytes([text for pair in pairs for text in pair])))


def test_a_pair_is_two_sentences_of_a_model_of_both_directions(
    tokenizer: Tokenizer, short_pairs: list[tuple[str, str]]
) -> None:
    sentences = prepare(short_pairs, tokenizer)
    assert [s.languages for s in sentences[:2]] == [("en", "it"), ("it", "en")]
    assert [s.reference for s in sentences[:2]] == list(short_pairs[0][::-1])
    assert len(sentences) == 2 * len(short_pairs)


@pytest.mark.parametrize("is_swapped", [False, True])
def test_a_pair_is_one_sentence_of_a_model_of_one_direction(
    student: ImportedModel, short_pairs: list[tuple[str, str]], is_swapped: bool
) -> None:
    rows = [(b, a) for a, b in short_pairs] if is_swapped else short_pairs
    languages = ("it", "en") if is_swapped else ("en", "it")
    sentences = prepare({languages: rows}, student.tokenizer)
    assert {s.languages for s in sentences} == {("en", "it")}
    assert [s.reference for s in sentences] == [italian for _, italian in short_pairs]


def test_without_references_the_models_own_translations_are_taken(student: ImportedModel) -> None:
    first, second = translated(student.model, student.tokenizer, ["Hello.", "Bye."], ("en", "it"))
    assert (first[0], second[0]) == ("Hello.", "Bye.")
    assert first[1]
    with pytest.raises(ProofError, match=r"a sentence has \d+ tokens, the proof takes at most 256"):
        translated(student.model, student.tokenizer, ["Hello. " * 200], ("en", "it"))


def refusal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], checkpoint: Path, sources: Path
) -> str:
    arguments = [checkpoint, "--output", checkpoint / "artifact", "--sources", sources]
    monkeypatch.setattr(sys, "argv", ["traghetto-export", *map(str, arguments)])
    assert command.main() == 2
    assert not (checkpoint / "artifact").exists()
    return capsys.readouterr().err


def test_sources_alone_are_not_for_a_model_of_both_directions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    said = refusal(monkeypatch, capsys, CHECKPOINT, tmp_path / "texts.txt")
    assert "never translates into a language of its sources, this one has en-it, it-en: use --sent" in said


def test_sources_are_translated_into_every_target_language(
    short_pairs: list[tuple[str, str]], tmp_path: Path
) -> None:
    models = (sentencepiece_bytes([text for pair in short_pairs for text in pair], 100),) * 2
    imported = import_opus_mt(write_opus_mt(tmp_path, *models, marks=(">>ita<<", ">>por<<")))
    (tmp_path / "texts.txt").write_text("Hello.\n\nBye.\n", encoding="utf-8")
    pairs = command._translated(tmp_path / "texts.txt", imported.model, imported.tokenizer)
    assert {direction: [source for source, _ in rows] for direction, rows in pairs.items()} == {
        ("en", "ita"): ["Hello.", "Bye."],
        ("en", "por"): ["Hello.", "Bye."],
    }


def test_sources_that_are_pairs_or_missing_are_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    student: ImportedModel,
    tmp_path: Path,
) -> None:
    student.save(tmp_path)
    path = tmp_path / "texts.txt"
    assert f"no data file {path}" in refusal(monkeypatch, capsys, tmp_path, path)
    path.write_text("Hello.\nBye.\tCiao.\n", encoding="utf-8")
    assert f"{path}, line 2: has a tab; pairs are for --sentences" in refusal(
        monkeypatch, capsys, tmp_path, path
    )


def test_a_model_of_all_directions_is_proven_on_some_out_of_one_language(
    short_pairs: list[tuple[str, str]], tmp_path: Path
) -> None:
    model = spm_bytes([text for pair in short_pairs for text in pair])
    imported = import_m2m_100(write_nllb(tmp_path / "nllb", model), ("en,it", "en,it,de,fr,es,pt"))
    (tmp_path / "texts.txt").write_text("Hello.\n", encoding="utf-8")
    texts = tmp_path / "texts.txt"
    pairs = command._translated(texts, imported.model, imported.tokenizer, ["it"])
    assert list(pairs) == [("it", "en"), ("it", "de"), ("it", "fr"), ("it", "es")]
    with pytest.raises(DataError, match=r"--sources de: must be a file and one of the languages en, it"):
        command._translated(texts, imported.model, imported.tokenizer, ["de"])
    (sentence, *_) = prepare({("it", "de"): short_pairs}, imported.tokenizer)
    assert sentence.first_token == imported.tokenizer.first_target_token("de")
    assert target_of(sentence, imported.tokenizer)[0] == sentence.first_token
