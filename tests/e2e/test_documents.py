"""Texts of any length over the real server: cut, translated side by side, joined; nothing lost, all told."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.pages import blocks_of
from tests.running_server import RunningServer, StartServer
from traghetto import Client, StopReason, TextError, Translation, WarningReason
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

PAGE = Path(__file__).parents[2] / "docs/documents.md"
SENTENCES = ("The cat is on the table.", "Good morning!", "See you tomorrow.")
INVISIBLE = [chr(code) for code in range(0xA0) if unicodedata.category(chr(code)) == "Cc"]
INVISIBLE += ["\u00ad", "\u200b", "\u200d", "\u2060", "\u202c", "\u2066\u2069", "\ufe0f", "\ufeff"]
MakeRequest = Callable[..., pb.TranslateRequest]
Stub = pb_grpc.TranslationServiceStub


def alone(stub: Stub, make_request: MakeRequest) -> list[pb.Translation]:
    return [item.translation for item in stub.Translate(make_request(*SENTENCES)).items]


def test_each_sentence_is_translated_as_it_is_alone_and_what_is_between_them_stays(
    stub: Stub, make_request: MakeRequest
) -> None:
    text = " \ufeff{}  {}\r\n\r\n\t{}\n"
    source = text.format(*SENTENCES)
    (item,) = stub.Translate(make_request(source)).items
    found, expected = item.translation, alone(stub, make_request)
    assert found.text == text.format(*(translation.text for translation in expected))
    assert [h.text for h in found.hypotheses] == [found.text]
    for i, segment in enumerate(found.segments):
        assert source.encode()[segment.source.start : segment.source.end].decode() == SENTENCES[i]
        target = found.text.encode()[segment.target.start : segment.target.end].decode()
        assert target == expected[i].text
        assert (segment.score, segment.source_tokens) == (
            expected[i].hypotheses[0].score,
            expected[i].source_tokens,
        )
    assert found.hypotheses[0].log_prob == pytest.approx(sum(t.hypotheses[0].log_prob for t in expected))
    assert found.source_tokens == sum(translation.source_tokens for translation in expected)
    assert found.stop_reason == pb.STOP_REASON_END_OF_SENTENCE


def test_one_sentence_is_the_same_however_texts_are_cut(stub: Stub, make_request: MakeRequest) -> None:
    answers = [
        stub.Translate(make_request(*SENTENCES, segmentation=value, num_hypotheses=2))
        for value in pb.Segmentation.values()
    ]
    assert all(answer == answers[0] for answer in answers)
    for item, sentence in zip(answers[0].items, SENTENCES, strict=True):
        (segment,) = item.translation.segments
        assert (segment.source.start, segment.source.end) == (0, len(sentence))
        assert len(item.translation.hypotheses) == 2
        assert not segment.hypotheses


def test_a_paragraph_that_no_model_takes_whole_is_translated(server: RunningServer) -> None:
    text = " ".join(SENTENCES * 30)
    with Client(server.address) as client:
        whole, line, refused = (
            client.translate([text], "en", "it", beam_size=1, segmentation=segmentation)[0]
            for segmentation in ("sentences", "lines", "none")
        )
    assert isinstance(whole, Translation)
    assert [segment.source for segment in whole.segments] == places_of(text)
    assert whole.warnings == ()
    assert isinstance(line, Translation)
    assert line.segments == whole.segments
    assert [warning.reason for warning in line.warnings] == [WarningReason.SENTENCE_SPLIT]
    assert isinstance(refused, TextError)
    assert "tokens, the limit is 256" in refused.message


def places_of(text: str) -> list[tuple[int, int]]:
    places, end = [], 0
    for sentence in SENTENCES * 30:
        start = text.index(sentence, end)
        end = start + len(sentence)
        places.append((start, end))
    return places


def test_more_sentences_than_the_queue_takes_are_translated(
    start_server: StartServer, artifact: Path
) -> None:
    with start_server(artifact, "--slots=4", "--max-queue=8") as running, Client(running.address) as client:
        (result,) = client.translate([" ".join(SENTENCES * 10)], "en", "it", beam_size=1)
        assert isinstance(result, Translation)
        assert len(result.segments) == 30
        assert running.scrape()["translator_source_tokens_count"] == 30


def test_nobody_sees_it_so_no_model_does(stub: Stub, make_request: MakeRequest) -> None:
    items = stub.Translate(make_request(*INVISIBLE)).items
    assert {item.translation.stop_reason for item in items} == {pb.STOP_REASON_EMPTY_SOURCE}
    plain, pasted = (
        stub.Translate(make_request(text)).items[0].translation
        for text in ("Good morning.", "Good morn\u00ading.")
    )
    assert pasted.text == plain.text
    assert [warning.reason for warning in pasted.warnings] == [pb.WARNING_REASON_INVISIBLE_CHARACTERS]
    assert not plain.warnings


def test_what_no_vocabulary_knows_stays_where_it_is(stub: Stub, make_request: MakeRequest) -> None:
    (alone, beside) = stub.Translate(make_request("***\n\ufffd", "Yes.\n\ufffd")).items
    assert (alone.translation.text, alone.translation.stop_reason) == ("***\n\ufffd", pb.STOP_REASON_COPIED)
    assert beside.translation.text.endswith("\n\ufffd")


def test_what_must_not_change_is_kept_or_told(server: RunningServer) -> None:
    with Client(server.address) as client:
        results = client.translate(["{name}", "Hello {name}, it is 7."], "en", "it")
    copied, checked = (result for result in results if isinstance(result, Translation))
    assert (copied.text, copied.stop_reason, copied.segments) == ("{name}", StopReason.COPIED, ())
    told = {warning.text for warning in checked.warnings}
    for literal in ("{name}", "7"):
        assert (literal in told) != (literal in checked.text)


def test_a_page_comes_out_with_its_tags_at_their_words(server: RunningServer) -> None:
    page = (
        "<!-- no --><h1>The cat</h1>\n"
        '<p>The <b>cat</b> is on the <a href="/t" title="Good morning">table</a>.'
        " It is <code>black</code>.</p>\n<pre> no </pre>"
    )
    with Client(server.address) as client:
        (result,) = client.translate([page], "en", "it", format="html")
    assert isinstance(result, Translation)
    assert result.text.startswith("<!-- no --><h1>")
    assert result.text.endswith("</p>\n<pre> no </pre>")
    assert '<b>gatto</b> è sul <a href="/t" title="' in result.text
    assert ">tavolo</a>. " in result.text
    assert result.text.count("<code>black</code>") == 1
    assert len(result.segments) == 4


def test_the_program_of_the_page_shows_each_segment(
    server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    program = next(block.code for block in blocks_of(PAGE.read_text()) if block.language == "python")
    exec(program.replace("127.0.0.1:50051", server.address), {})  # noqa: S102 - our own page
    first, *others = capsys.readouterr().out.splitlines()
    assert first.startswith("The cat is on the table. -> Il gatto è sul tavolo. (-")
    assert len(others) == 2
