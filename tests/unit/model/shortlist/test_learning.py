"""What is learnt from parallel text covers it, in both directions, and comes to the checkpoint."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from model.commands import shortlist as shortlist_command
from model.shortlist.coverage import coverage, measure
from model.shortlist.learning import add_shortlist, learn_shortlist
from model.shortlist.shortlist import FILE_NAME, Shortlist
from model.text.sentencepiece_tokenizer import END_ID, PADDING_ID, START_ID, UNKNOWN_ID
from model.text.tokenizer import Tokenizer, TokenizerError
from model.training.config import DataConfig

LANGUAGES = ("en", "it")
DATA = DataConfig(
    languages=LANGUAGES,
    train=("en-it.tsv",),
    dev=("en-it.tsv",),
    vocabulary_size=600,
    shortlist_candidates=20,
)
CONFIG = """
data: {{languages: [en, it], train: [en-it.tsv], dev: en-it.tsv, vocabulary_size: 600{more}}}
model: {{}}
training: {{max_steps: 1}}
"""


@pytest.fixture(scope="module")
def shortlist(pairs: list[tuple[str, str]], tokenizer: Tokenizer) -> Shortlist:
    return learn_shortlist(pairs, LANGUAGES, tokenizer, max_targets=20)


@pytest.fixture
def checkpoint(tokenizer: Tokenizer, tmp_path: Path) -> Path:
    tokenizer.save(tmp_path)
    return tmp_path


def run_command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["traghetto-shortlist", *map(str, arguments)])
    return shortlist_command.main()


def test_it_has_a_table_for_each_target_language(shortlist: Shortlist, tokenizer: Tokenizer) -> None:
    assert shortlist.vocabulary_size == tokenizer.size
    assert set(shortlist.tags) == {tokenizer.encode_source("", language)[0] for language in LANGUAGES}


def test_few_candidates_hold_nearly_all_of_the_text_it_was_learnt_from(
    shortlist: Shortlist, pairs: list[tuple[str, str]], tokenizer: Tokenizer
) -> None:
    for found in measure(shortlist, pairs, LANGUAGES, tokenizer).values():
        assert found.mean_candidates < 0.6 * tokenizer.size
        assert found.token_share > 0.95


def test_no_source_token_has_more_targets_than_asked_for(
    shortlist: Shortlist, pairs: list[tuple[str, str]], tokenizer: Tokenizer
) -> None:
    for tag in shortlist.tags:
        assert np.diff(shortlist.table(tag).offsets).max() == 20
    fewer = learn_shortlist(pairs, LANGUAGES, tokenizer, max_targets=5)
    for tag in fewer.tags:
        assert np.diff(fewer.table(tag).offsets).max() == 5


def test_the_end_digits_and_punctuation_are_always_candidates_and_special_pieces_never(
    shortlist: Shortlist, tokenizer: Tokenizer
) -> None:
    punctuation = {i for i in range(tokenizer.size) if tokenizer.piece(i) in set("0123456789.,?!'▁")}
    assert len(punctuation) > 5
    for tag in shortlist.tags:
        always = set(shortlist.candidates([tag, END_ID]).tolist())
        assert {END_ID} | punctuation <= always
        learnt = always | set(shortlist.table(tag).targets.tolist())
        assert not learnt & {PADDING_ID, UNKNOWN_ID, START_ID, *shortlist.tags}


def test_no_room_is_spent_on_what_is_always_a_candidate_or_on_the_tag(shortlist: Shortlist) -> None:
    for tag in shortlist.tags:
        table = shortlist.table(tag)
        assert not table.is_always[table.targets].any()
        assert table.offsets[tag] == table.offsets[tag + 1]


def test_a_word_that_was_never_a_target_is_not_always_a_candidate(tokenizer: Tokenizer) -> None:
    few = learn_shortlist([("Hello.", "Ciao.")], LANGUAGES, tokenizer, max_targets=5)
    for text, language in (("Ciao.", "it"), ("Hello.", "en")):
        always = few.candidates(tokenizer.encode_source("", language)).tolist()
        unseen = set(always) - set(tokenizer.encode_target(text))
        assert not any(character.isalpha() for i in unseen for character in tokenizer.piece(i))


def test_bytes_of_a_copied_character_are_candidates(shortlist: Shortlist, tokenizer: Tokenizer) -> None:
    copied = tokenizer.encode_target("🛶")
    assert set(copied) <= set(shortlist.candidates(tokenizer.encode_source("🛶", "it")).tolist())
    assert not set(copied) <= set(shortlist.candidates(tokenizer.encode_source("Ciao!", "it")).tolist())


def test_learning_twice_gives_the_same_bytes(
    shortlist: Shortlist, pairs: list[tuple[str, str]], tokenizer: Tokenizer
) -> None:
    assert learn_shortlist(pairs, LANGUAGES, tokenizer, 20).to_bytes() == shortlist.to_bytes()


def test_text_over_the_limits_is_left_out_and_counted(
    pairs: list[tuple[str, str]], tokenizer: Tokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        learn_shortlist(pairs, LANGUAGES, tokenizer, 20, max_tokens=20, max_links=2000)
    sources = [[tokenizer.encode_source(text, "it") for text in pair] for pair in pairs]
    too_long = sum(max(map(len, pair)) > 20 for pair in sources)
    wanted = rf"from (\d+) pairs, {too_long} left out as longer than 20 tokens, (\d+) over 2000 links"
    found = re.search(wanted, caplog.text)
    assert found
    kept, over = map(int, found.groups())
    assert min(kept, too_long, over) > 0
    assert kept + too_long + over == len(pairs)


def test_a_language_without_a_tag_is_named(pairs: list[tuple[str, str]], tokenizer: Tokenizer) -> None:
    with pytest.raises(TokenizerError, match="no tag for the language 'de'"):
        learn_shortlist(pairs[:3], ("en", "de"), tokenizer, 5)


def test_coverage_counts_tokens_and_whole_targets(shortlist: Shortlist) -> None:
    tag = shortlist.tags[0]
    source = [tag, END_ID]
    held = shortlist.candidates(source).tolist()
    found = coverage(shortlist, [source, source], [held[:3], [*held[:4], PADDING_ID]])
    assert found.mean_candidates == len(held)
    assert (found.token_share, found.sentence_share) == (7 / 8, 1 / 2)
    assert "87.50% of the target tokens and all of 50.0% of the targets" in str(found)


def test_a_checkpoint_gets_the_shortlist_of_its_configuration(
    shortlist: Shortlist, checkpoint: Path, data_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        add_shortlist(checkpoint, data_folder, DATA)
    assert Shortlist.load(checkpoint).to_bytes() == shortlist.to_bytes()
    assert "shortlist en-it, dev: " in caplog.text
    assert "shortlist it-en, dev: " in caplog.text


def test_the_command_writes_the_file_and_says_its_size(
    checkpoint: Path,
    data_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = checkpoint / "run.yaml"
    config.write_text(CONFIG.format(more=", shortlist_candidates: 5"), encoding="utf-8")
    assert run_command(monkeypatch, checkpoint, "--data", data_folder, "--config", config) == 0
    size = (checkpoint / FILE_NAME).stat().st_size
    assert capsys.readouterr().out == f"{checkpoint / FILE_NAME}: {size} bytes\n"
    assert Shortlist.load(checkpoint).vocabulary_size == 600


def test_the_command_names_what_is_wrong_with_its_input(
    checkpoint: Path,
    data_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    none, some = checkpoint / "none.yaml", checkpoint / "some.yaml"
    none.write_text(CONFIG.format(more=""), encoding="utf-8")
    some.write_text(CONFIG.format(more=", shortlist_candidates: 5"), encoding="utf-8")
    for folder, data, config, fault in (
        (checkpoint, data_folder, none, "shortlist_candidates is 0, must be at least 1"),
        (checkpoint, data_folder, checkpoint / "no.yaml", "cannot read"),
        (checkpoint, checkpoint, some, "no data file"),
        (data_folder, data_folder, some, "has no tokenizer.model"),
    ):
        assert run_command(monkeypatch, folder, "--data", data, "--config", config) == 2
        assert fault in capsys.readouterr().err
        assert not (folder / FILE_NAME).exists()
