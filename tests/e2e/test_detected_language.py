"""Texts of which the client does not know the language."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from google.rpc import code_pb2

from tests.copied_artifact import copied_artifact
from tests.running_server import RECURRENT, RunningServer, StartServer
from traghetto import Client, InvalidArgument, LanguagePair, NotServed, TextError, Translation
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

ENGLISH, ITALIAN = "The cat is on the table.", "Il gatto è sul tavolo."


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    with Client(server.address) as client:
        yield client


def test_each_text_is_translated_from_its_own_language_and_the_answer_names_it(client: Client) -> None:
    [result] = client.translate([ENGLISH], "auto", "it")
    assert isinstance(result, Translation)
    assert result.detected_language is not None
    assert result.detected_language.language == "en"
    assert 0.6 <= result.detected_language.confidence <= 1
    assert result.language_pair == LanguagePair(source_language="en", target_language="it")
    assert result.model.name == "en-it"
    [named] = client.translate([ENGLISH], "en", "it")
    assert isinstance(named, Translation)
    assert named.text == result.text
    assert named.detected_language is None


@pytest.fixture(scope="module")
def two_sources(
    start_server: StartServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A model from English and one that says it were from Italian, both into Italian."""
    folder = tmp_path_factory.mktemp("models")
    for name, pairs in (("first", [["en", "it"]]), ("second", [["it", "it"]])):
        with copied_artifact(RECURRENT, folder / name) as manifest:
            manifest |= {"name": name, "language_pairs": pairs}
    with start_server(folder / "first", folder / "second", "--slots=2") as running:
        yield running


def test_texts_of_a_call_may_be_in_several_languages(two_sources: RunningServer) -> None:
    texts = [ITALIAN, "", ENGLISH, "Banana", "12", "Non lo so, ma credo di sì."]
    with grpc.insecure_channel(two_sources.address) as channel:
        stub = pb_grpc.TranslationServiceStub(channel)
        request = pb.TranslateRequest(source_language="auto", target_language="it", texts=texts)
        answer = stub.Translate(request)
        alone = stub.Translate(
            pb.TranslateRequest(source_language="en", target_language="it", texts=[ENGLISH])
        )
    assert not answer.HasField("model")
    assert not answer.HasField("language_pair")
    done = [item.translation for item in answer.items]
    assert [(one.model.name, one.language_pair.source_language) for one in done] == [
        *[("second", "it")] * 2,
        ("first", "en"),
        ("", ""),
        *[("second", "it")] * 2,
    ]
    found = [one.detected_language.language for one in done]
    assert found == ["it", "", "en", "", "", "it"]
    assert done[2].hypotheses == alone.items[0].translation.hypotheses
    assert answer.items[3].error.code == code_pb2.INVALID_ARGUMENT
    assert "en (0.5" in answer.items[3].error.message
    with Client(two_sources.address) as client:
        results = client.translate(texts, "auto", "it")
        assert [isinstance(result, TextError) for result in results] == [i == 3 for i in range(6)]
    counted = 'translator_tokens_total{{direction="source",language_pair="{}"}}'
    page = two_sources.scrape()
    assert all(page[counted.format(pair)] > 0 for pair in ("en-it", "it-it"))
    assert "model second,first pair it-it,en-it" in two_sources.log.read_text().replace("=", " ")


def test_only_languages_that_are_served_into_the_target_are_found(client: Client) -> None:
    """Into Italian this server translates from English alone: an Italian text can be nothing else."""
    [result] = client.translate([ITALIAN], "AUTO", "it")
    assert isinstance(result, Translation)
    assert result.detected_language is not None
    assert result.detected_language.language == "en"
    with pytest.raises(NotServed, match="'auto-de' is not served"):
        client.translate([ENGLISH], "auto", "de")
    with pytest.raises(InvalidArgument, match="beam_size"):
        client.translate([ENGLISH], "auto", "it", beam_size=1000)
