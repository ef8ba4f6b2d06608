"""A pair that no model serves and two do: from German, as a copy says, through English, into Italian."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.copied_artifact import copied_artifact
from tests.running_server import PATIENCE_SECONDS, RECURRENT, RunningServer, StartServer
from traghetto import (
    AttentionOptions,
    Client,
    LanguagePair,
    NotServed,
    Result,
    ServedLanguagePair,
    StopReason,
    Translation,
)

TEXT = "Il gatto è sul tavolo.  Non lo so.\n\nBuongiorno!"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    for name, pairs in (("first", [["de", "en"]]), ("second", [["en", "it"]])):
        with copied_artifact(RECURRENT, folder / name) as manifest:
            manifest |= {"name": name, "language_pairs": pairs}
    return [folder / "first", folder / "second"]


@pytest.fixture(scope="module")
def running(start_server: StartServer, folders: list[Path]) -> Iterator[RunningServer]:
    with start_server(*folders, "--slots=2", "--pivot=fr,en") as server:
        yield server


@pytest.fixture
def client(running: RunningServer) -> Iterator[Client]:
    with Client(running.address) as client:
        yield client


def translated(result: Result) -> Translation:
    assert isinstance(result, Translation), result
    return result


def test_a_pair_goes_through_the_middle_as_if_the_client_had_asked_twice(
    client: Client, running: RunningServer
) -> None:
    [result] = map(translated, client.translate([TEXT], "de", "it"))
    [middle] = map(translated, client.translate([TEXT], "de", "en"))
    [end] = map(translated, client.translate([middle.text], "en", "it"))
    assert result.text == end.text
    assert result.hypotheses == end.hypotheses
    assert result.source_tokens == middle.source_tokens
    assert result.first_model is not None
    assert (result.first_model.name, result.model.name, result.pivot_language) == ("first", "second", "en")
    assert result.language_pair == LanguagePair(source_language="de", target_language="it")
    assert (end.first_model, end.pivot_language) == (None, "")
    assert "model first,second pair de-en,en-it" in running.log.read_text().replace("=", " ")


def test_segments_lead_from_the_source_to_the_target(client: Client) -> None:
    [result] = map(translated, client.translate([TEXT], "de", "it"))
    sources = [TEXT.encode()[slice(*segment.source)].decode() for segment in result.segments]
    targets = [result.text.encode()[slice(*segment.target)].decode() for segment in result.segments]
    assert sources == ["Il gatto è sul tavolo.", "Non lo so.", "Buongiorno!"]
    assert [*result.text.replace("  ", "|").replace("\n\n", "|").split("|")] == targets


def test_what_is_asked_of_the_answer_is_asked_of_the_second_model(client: Client) -> None:
    options = {"num_hypotheses": 3, "beam_size": 4, "attention": AttentionOptions()}
    [result] = map(translated, client.translate(["Non lo so."], "de", "it", **options))  # type: ignore[arg-type]
    assert len(result.hypotheses) == 3
    assert result.hypotheses[0].attention is not None
    [cut] = map(translated, client.translate(["Il gatto è sul tavolo."], "de", "it", max_target_tokens=2))
    assert (cut.stop_reason, cut.target_tokens) == (StopReason.MAX_TARGET_TOKENS, 2)
    assert cut.source_tokens > 2


def test_terms_of_a_glossary_are_those_of_the_second_model(client: Client) -> None:
    [middle] = map(translated, client.translate(["Il gatto è sul tavolo."], "de", "en"))
    terms = {middle.text.split()[0]: "Micio", "gatto": "not looked for"}
    [result] = map(translated, client.translate(["Il gatto è sul tavolo."], "de", "it", glossary=terms))
    [end] = map(translated, client.translate([middle.text], "en", "it", glossary=terms))
    assert (result.text, result.glossary_terms) == (end.text, end.glossary_terms)
    assert "Micio" in [term.target for term in result.glossary_terms]


def test_text_without_anything_to_translate_comes_through(client: Client) -> None:
    blank, link = map(translated, client.translate(["  ", "https://example.org/a"], "de", "it"))
    assert (blank.text, blank.stop_reason) == ("", StopReason.EMPTY_SOURCE)
    assert (link.text, link.stop_reason) == ("https://example.org/a", StopReason.COPIED)


def test_pairs_are_listed_with_the_language_between_and_a_model_that_is_named_works_alone(
    client: Client,
) -> None:
    assert client.language_pairs("de") == [
        ServedLanguagePair(source_language="de", target_language="en", models=("first",)),
        ServedLanguagePair(
            source_language="de", target_language="it", models=("first", "second"), pivot_language="en"
        ),
    ]
    with pytest.raises(NotServed):
        client.translate(["Ja."], "de", "it", model="first")


def test_the_command_lists_pairs(running: RunningServer) -> None:
    command = [sys.executable, "-m", "server.commands.translate", "--server", running.address, "--pairs"]
    listed = [
        subprocess.run(
            [*command, *more], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
        )
        for more in ((), ("--target=it",), ("--source=fr",))
    ]
    assert [ended.returncode for ended in listed] == [0, 0, 1]
    through = "de it first second (through en)\n"
    assert listed[0].stdout == f"de en first\n{through}en it second\n"
    assert listed[1].stdout == f"{through}en it second\n"
    assert listed[2].stderr == "traghetto-translate: the server has no such language pair\n"


def test_a_language_that_is_found_may_go_through_the_middle_too(client: Client) -> None:
    german, english = map(
        translated,
        client.translate(["Ich weiß nicht, wo die Katze ist.", "The cat is on the table."], "auto", "it"),
    )
    assert german.detected_language is not None
    assert german.detected_language.language == "de"
    assert german.first_model is not None
    assert (german.first_model.name, german.model.name, german.pivot_language) == ("first", "second", "en")
    assert (english.first_model, english.model.name) == (None, "second")


def test_a_server_that_allows_no_pivot_does_not_serve_the_pair(
    start_server: StartServer, folders: list[Path]
) -> None:
    with start_server(*folders, "--slots=2") as server, Client(server.address) as client:
        with pytest.raises(NotServed, match="'de-it' is not served"):
            client.translate(["Ja."], "de", "it")
        assert len(client.language_pairs()) == 2
