"""A data folder becomes shards: filtered, counted, without duplicates, the same again from the same seed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model.preparation.config import CorpusConfig, PreparationConfig
from model.preparation.prepare import TEMPLATES, Preparation, prepared_corpora
from model.preparation.shards import Shard
from model.text.parallel_text import DataError
from model.text.sentencepiece_tokenizer import PLACEHOLDER_CHARACTERS
from model.text.tokenizer import Tokenizer
from model.text.tokenizers import load_tokenizer

LANGUAGES = ("en", "it")
SIZE = 600


def _preparation(data: Path, output: Path, **fields: object) -> Preparation:
    corpora = {"short": CorpusConfig(files=("pairs.tsv",), joined=0.2, common_name="Tom")}
    config = PreparationConfig(**({"corpora": corpora} | fields))  # type: ignore[arg-type]
    return Preparation(
        config=config,
        languages=LANGUAGES,
        vocabulary_size=SIZE,
        max_tokens=40,
        data=data,
        output=output,
        dev=("dev.tsv",),
    )


@pytest.fixture
def data(tmp_path: Path, pairs: list[tuple[str, str]]) -> Path:
    lines = [f"{a}\t{b}\n" for a, b in pairs]
    lines += [lines[0], "\tNiente.\n", "In 1999.\tNel 1998.\n", "Long.\tLungo" + " lungo" * 60 + "\n"]
    (tmp_path / "pairs.tsv").write_text("".join(lines), encoding="utf-8")
    (tmp_path / "dev.tsv").write_text("One.\tUno.\n", encoding="utf-8")
    (tmp_path / "templates.tsv").write_text("Call {name} at {number}.\tChiama {name} alle {number}.\n")
    return tmp_path


def _examples(folder: Path) -> list[tuple[list[int], list[int]]]:
    shard = Shard(folder)
    return [(shard.source(i).tolist(), shard.target(i).tolist()) for i in range(len(shard))]


def test_every_pair_is_counted(data: Path, pairs: list[tuple[str, str]]) -> None:
    _preparation(data, data / "out").run()
    report = json.loads((data / "out/prepared.json").read_text(encoding="utf-8"))
    counts = report["files"]["pairs.tsv"]
    assert counts["read"] == len(pairs) + 4
    dropped = {rule: number for rule, number in counts["dropped"].items() if number}
    assert dropped["empty side"] == 1
    assert dropped["other digits"] >= 1
    assert dropped["ratio of lengths"] >= 1
    assert dropped["duplicate"] >= 1
    assert counts["kept"] == counts["read"] - sum(dropped.values())
    sizes = report["corpora"]["short"]
    assert sizes["examples"] + sizes["too_many_tokens"] >= 2 * counts["kept"]
    assert sizes["examples"] == len(Shard(data / "out/short"))


def test_examples_are_of_both_directions_and_end(data: Path) -> None:
    _preparation(data, data / "out").run()
    tokenizer = load_tokenizer(data / "out")
    examples = _examples(data / "out/short")
    tags = {tokenizer.encode_source("", language)[0] for language in LANGUAGES}
    assert {source[0] for source, _ in examples} == tags
    end = tokenizer.encode_target("")[-1]
    assert all(source[-1] == target[-1] == end for source, target in examples)
    assert max(len(ids) for example in examples for ids in example) <= 40


def test_the_same_seed_prepares_the_same(data: Path) -> None:
    for name in ("one", "two"):
        _preparation(data, data / name, templates="templates.tsv").run()
    for corpus in ("short", TEMPLATES):
        assert _examples(data / "one" / corpus) == _examples(data / "two" / corpus)
    assert list(prepared_corpora(data / "one")) == ["short", TEMPLATES]


def test_a_tokenizer_that_is_there_is_used(data: Path, tokenizer: Tokenizer) -> None:
    (data / "out").mkdir()
    tokenizer.save(data / "out")
    _preparation(data, data / "out").run()
    assert load_tokenizer(data / "out").serialized == tokenizer.serialized


def test_without_augmentation_texts_are_as_they_were(data: Path, pairs: list[tuple[str, str]]) -> None:
    _preparation(data, data / "out", augment=False).run()
    tokenizer = load_tokenizer(data / "out")
    targets = {tokenizer.detokenize(target) for _, target in _examples(data / "out/short")}
    tokenized = [[tokenizer.encode_target(text) for text in pair] for pair in pairs]
    short = [pair for pair in tokenized if max(map(len, pair)) < 40]
    normalised = {tokenizer.detokenize(ids) for pair in short for ids in pair}
    assert len(normalised - targets) < len(normalised) // 20  # those that a rule took
    assert not any(c in text for text in targets for c in PLACEHOLDER_CHARACTERS)


def test_nothing_left_is_an_error_and_leaves_no_report(tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text("One 1.\tUno 2.\n\tDue.\n")
    (tmp_path / "dev.tsv").write_text("One.\tUno.\n")
    with pytest.raises(DataError, match="no pair is left to train on"):
        _preparation(tmp_path, tmp_path / "out").run()
    with pytest.raises(DataError, match="is not prepared"):
        list(prepared_corpora(tmp_path / "out"))


def test_a_missing_dev_file_is_named_before_any_work(data: Path) -> None:
    (data / "dev.tsv").unlink()
    with pytest.raises(DataError, match=r"no data file .*/dev\.tsv"):
        _preparation(data, data / "out").run()
    assert list((data / "out").iterdir()) == []
