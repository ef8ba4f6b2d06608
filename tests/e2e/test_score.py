"""Score through the whole server: what a search says of its own translation, and what may not be scored."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from tests.running_server import RunningServer
from traghetto import AsyncClient, Client, InvalidArgument, Score, TextError, Translation
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

TEXTS = ["The cat is on the table.", "I live in Rome.", "Where is the station?"]


def scores(server: RunningServer, texts: list[str], translations: list[str]) -> list[Score | TextError]:
    with Client(server.address) as client:
        return client.score(texts, translations, "en", "it")


def test_a_translation_is_as_probable_as_the_search_says(server: RunningServer) -> None:
    with Client(server.address) as client:
        found = client.translate(TEXTS, "en", "it", beam_size=1, segmentation="none")
    translations = [t for t in found if isinstance(t, Translation)]
    scored = scores(server, TEXTS, [t.text for t in translations])
    for score, translation in zip(scored, translations, strict=True):
        assert isinstance(score, Score)
        assert score.log_prob == pytest.approx(translation.hypotheses[0].log_prob, rel=1e-5)
        assert score.log_prob == pytest.approx(sum(score.log_probs), rel=1e-5)
        assert len(score.tokens) == len(score.log_probs) == translation.target_tokens
        assert score.source_tokens == translation.source_tokens
        assert score.model == translation.model
        assert score.tokens[-1] == "</s>"


def test_a_wrong_translation_is_less_probable_and_the_token_tells_where(server: RunningServer) -> None:
    right, wrong, none = scores(
        server, TEXTS[:1] * 3, ["Il gatto è sul tavolo.", "Il gatto è sul treno.", ""]
    )
    assert isinstance(right, Score)
    assert isinstance(wrong, Score)
    assert isinstance(none, Score)
    assert right.log_prob > wrong.log_prob
    same = next(i for i, (a, b) in enumerate(zip(right.tokens, wrong.tokens, strict=False)) if a != b)
    assert right.log_probs[:same] == wrong.log_probs[:same]
    assert right.log_probs[same] > wrong.log_probs[same]
    assert none.tokens == ("</s>",)


def test_what_cannot_be_scored_fails_alone(server: RunningServer) -> None:
    texts = ["", "Yes.", "word " * 300, "Yes.", "No."]
    items = scores(server, texts, ["Sì.", "parola " * 300, "parola", "Sì." * 20_000, "No."])
    empty, long_target, long_source, longest, good = items
    for item, message in (
        (empty, "the text has nothing to translate"),
        (long_target, "tokens, the limit is 256"),
        (long_source, "the text has 302 tokens, the limit is 256"),
        (longest, "has 60000 characters"),
    ):
        assert isinstance(item, TextError)
        assert item.code is grpc.StatusCode.INVALID_ARGUMENT
        assert message in item.message
    assert isinstance(good, Score)


def test_a_request_that_breaks_a_rule_is_refused(
    server: RunningServer, stub: pb_grpc.TranslationServiceStub
) -> None:
    request = pb.ScoreRequest(
        source_language="en", target_language="it", texts=["a"], translations=["b", "c"]
    )
    with pytest.raises(grpc.RpcError, match="translations: has 2 translations, must have one for each of 1"):
        stub.Score(request, timeout=60)
    with Client(server.address) as client, pytest.raises(InvalidArgument, match="source_language: is 'e'"):
        client.score(["a"], ["b"], "e", "it")
    with Client(server.address) as client, pytest.raises(InvalidArgument, match="source_language: is 'auto'"):
        client.score(["a"], ["b"], "auto", "it")


def test_with_asyncio_it_is_the_same(server: RunningServer) -> None:
    async def run() -> list[Score | TextError]:
        async with AsyncClient(server.address) as client:
            return await client.score(TEXTS[:1], ["Il gatto."], "en", "it")

    assert asyncio.run(run()) == scores(server, TEXTS[:1], ["Il gatto."])
