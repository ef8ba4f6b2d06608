"""Whatever a client gets wrong is answered by name, and the server goes on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2
from grpc_status import rpc_status

from tests.running_server import RunningServer
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

PATIENCE_SECONDS = 120.0
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
TRANSLATE = "/translation.v1.TranslationService/Translate"
WHITESPACE = [chr(i) for i in range(sys.maxunicode) if chr(i).isspace()]
NONE = pb.SEGMENTATION_NONE
MakeRequest = Callable[..., pb.TranslateRequest]
Stub = pb_grpc.TranslationServiceStub


def refusal(call: Callable[[], object]) -> tuple[grpc.StatusCode, str, list[Message]]:
    """Code, message and details of a call that must fail."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error = caught.value
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    details: list[Message] = []
    for packed in status.details if status else ():
        kind = getattr(error_details_pb2, packed.TypeName().removeprefix("google.rpc."))
        details.append(kind.FromString(packed.value))
    return error.code(), error.details() or "", details


def violations(call: Callable[[], object]) -> dict[str, str]:
    """Fields and descriptions of an INVALID_ARGUMENT."""
    code, _, (detail,) = refusal(call)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert isinstance(detail, error_details_pb2.BadRequest)
    return {violation.field: violation.description for violation in detail.field_violations}


def test_empty_and_white_texts_translate_to_nothing(stub: Stub, make_request: MakeRequest) -> None:
    texts = ["", "Yes.", " \t\r\n ", *WHITESPACE]
    items = stub.Translate(make_request(*texts, num_hypotheses=3)).items
    assert items[1].translation.text
    assert len(items) == len(texts)
    for item in (items[0], *items[2:]):
        assert item.translation == pb.Translation(
            hypotheses=[pb.Hypothesis(score=0, log_prob=0, stop_reason=pb.STOP_REASON_EMPTY_SOURCE)],
            stop_reason=pb.STOP_REASON_EMPTY_SOURCE,
        )


def test_a_text_over_the_limit_fails_alone(stub: Stub, make_request: MakeRequest) -> None:
    too_long = "cat " * 300
    items = stub.Translate(make_request("Yes.", too_long, "No.", segmentation=NONE)).items
    assert items[1].error.code == code_pb2.INVALID_ARGUMENT
    assert "302 tokens" in items[1].error.message  # 300 words, the tag and the end
    assert "256" in items[1].error.message
    for i, text in ((0, "Yes."), (2, "No.")):
        assert [items[i]] == list(stub.Translate(make_request(text)).items)


def test_a_text_of_megabytes_fails_alone_without_being_tokenized(
    stub: Stub, make_request: MakeRequest
) -> None:
    limit = 64 * 256
    texts = ("Yes.", "a" * (limit + 1), "cat " * 900_000)
    items = stub.Translate(make_request(*texts, segmentation=NONE)).items
    assert items[0].HasField("translation")
    for item, count in ((items[1], limit + 1), (items[2], 3_600_000)):
        assert item.error.code == code_pb2.INVALID_ARGUMENT
        assert item.error.message == f"the text has {count} characters, the limit is {limit}"
    (item,) = stub.Translate(make_request("a" * limit, segmentation=NONE)).items
    assert "tokens, the limit is 256" in item.error.message


def test_the_longest_text_that_is_allowed_is_translated(stub: Stub, make_request: MakeRequest) -> None:
    for count, expected in ((254, "translation"), (255, "error")):
        (item,) = stub.Translate(make_request("cat " * count, beam_size=1, segmentation=NONE)).items
        assert item.WhichOneof("result") == expected


def test_a_call_of_too_much_work_is_refused_before_it(
    server: RunningServer, stub: Stub, make_request: MakeRequest
) -> None:
    def num_steps() -> float:
        return server.scrape()["translator_decode_steps_total"]

    before = num_steps()
    dearest = make_request(*["cat " * 250] * 1024, beam_size=16)
    found = violations(lambda: stub.Translate(dearest))
    assert found["texts"] == (
        f"would cost {1024 * (252 + 256) * 16} tokens, source and expected target times the beam, "
        "the limit is 4194304: send fewer texts or a smaller beam"
    )
    assert num_steps() == before


def test_a_call_of_nothing_but_long_texts_still_succeeds(stub: Stub, make_request: MakeRequest) -> None:
    items = stub.Translate(make_request("cat " * 300, "cat " * 500, segmentation=NONE)).items
    assert [item.error.code for item in items] == [code_pb2.INVALID_ARGUMENT] * 2


@pytest.mark.parametrize("pair", ["en-de", "en-en", "it-it", "fr-it"])
def test_a_pair_that_is_not_served_names_those_that_are(
    stub: Stub, make_request: MakeRequest, pair: str
) -> None:
    code, message, (detail,) = refusal(lambda: stub.Translate(make_request("Yes.", pair=pair)))
    assert code is grpc.StatusCode.NOT_FOUND
    assert all(part in message for part in (pair, "en-it", "it-en"))
    assert isinstance(detail, error_details_pb2.ResourceInfo)
    assert detail.resource_type == "language_pair"


@pytest.mark.parametrize("model", ["en-de", "EN-IT", "è\nERROR", "m" * 1_000_000])
def test_an_unknown_model_names_those_that_are_served(
    stub: Stub, make_request: MakeRequest, model: str
) -> None:
    code, message, (detail,) = refusal(lambda: stub.Translate(make_request("Yes.", model=model)))
    assert code is grpc.StatusCode.NOT_FOUND
    assert message.endswith("served: en-it")
    assert "\n" not in message
    assert isinstance(detail, error_details_pb2.ResourceInfo)
    assert detail.resource_type == "model"


def test_every_fault_of_a_request_is_listed_at_once(stub: Stub) -> None:
    request = pb.TranslateRequest(
        source_language="",
        target_language="en US",
        options=pb.TranslateOptions(
            beam_size=0, length_penalty=float("nan"), max_target_tokens=0, num_hypotheses=2
        ),
    )
    found = violations(lambda: stub.Translate(request))
    options = {"beam_size", "length_penalty", "max_target_tokens", "num_hypotheses"}
    assert found.keys() == {"source_language", "target_language", "texts", *(f"options.{o}" for o in options)}
    assert "en US" in found["target_language"]


@pytest.mark.parametrize(
    ("field", "values", "limit"),
    [
        ("beam_size", [0, -1, 17, 2**31 - 1], "16"),
        ("length_penalty", [-0.1, float("nan"), float("inf"), float("-inf"), 10.001, 189.0, 1e5], "10"),
        ("max_target_tokens", [0, -1, 257], "256"),
        ("num_hypotheses", [0, -1, 5], "4"),
    ],
)
def test_an_option_out_of_its_limits_states_them(
    stub: Stub, make_request: MakeRequest, field: str, values: list[float], limit: str
) -> None:
    for value in values:
        found = violations(partial(stub.Translate, make_request("Yes.", **{field: value})))
        assert found.keys() == {f"options.{field}"}
        assert limit in found[f"options.{field}"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"sampling": pb.Sampling(temperature=0)}, {"sampling.temperature": ["is 0.0", "greater than 0"]}),
        ({"sampling": pb.Sampling(top_k=0)}, {"sampling.top_k": ["is 0", "at least 1"]}),
        ({"sampling": pb.Sampling(top_p=1.5)}, {"sampling.top_p": ["is 1.5", "at most 1"]}),
        (
            {"sampling": pb.Sampling(), "beam_size": 4, "num_hypotheses": 2},
            {"beam_size": ["is 4", "absent", "sampling"], "num_hypotheses": ["is 2", "absent or 1"]},
        ),
        (
            {"contrastive_search": pb.ContrastiveSearch(top_k=17, penalty_alpha=-0.5)},
            {
                "contrastive_search.top_k": ["is 17", "at most 16"],
                "contrastive_search.penalty_alpha": ["is -0.5", "at least 0 and at most 1"],
            },
        ),
        (
            {"contrastive_search": pb.ContrastiveSearch(), "beam_size": 1, "max_target_tokens": 256},
            {
                "beam_size": ["is 1", "absent", "contrastive_search"],
                "max_target_tokens": ["is 256", "at most 255"],
            },
        ),
        (
            {"attention": pb.AttentionOptions(layer=2, heads=[0, 4])},
            {"attention.layer": ["is 2", "at most 1"], "attention.heads": ["is 4", "at most 3"]},
        ),
        (
            {"attention": pb.AttentionOptions(layer=-1, heads=[1, 1])},
            {"attention.layer": ["is -1", "at least 0"], "attention.heads": ["1 more than once"]},
        ),
    ],
    ids=[
        *("temperature", "top_k of sampling", "top_p", "sampling beside a beam", "contrastive search"),
        *("contrastive search beside a beam", "layer and heads too large", "layer and heads too small"),
    ],
)
def test_what_a_method_or_attention_does_not_allow_is_told_at_once(
    stub: Stub, make_request: MakeRequest, options: dict[str, object], expected: dict[str, list[str]]
) -> None:
    found = violations(lambda: stub.Translate(make_request("Yes.", **options)))
    assert found.keys() == {f"options.{field}" for field in expected}
    for field, words in expected.items():
        assert all(word in found[f"options.{field}"] for word in words)


def test_more_attention_than_a_call_may_make_is_refused(stub: Stub, make_request: MakeRequest) -> None:
    texts, attention = ["cat " * 254] * 20, pb.AttentionOptions()
    for beam_size, refused in ((4, 256 * 256 * 4 * 20), (16, 256 * 256 * 16 * 20)):
        request = make_request(*texts, beam_size=beam_size, attention=attention)
        found = violations(partial(stub.Translate, request))
        assert found.keys() == {"options.attention"}
        assert all(str(number) in found["options.attention"] for number in (refused, 983_040))


@pytest.mark.parametrize("language", ["", "e", "en US", "english-", "è", "en it", "en\n", "e" * 1_000_000])
def test_what_is_no_language_tag_is_refused(stub: Stub, language: str) -> None:
    request = pb.TranslateRequest(source_language=language, target_language="it", texts=["Yes."])
    assert violations(lambda: stub.Translate(request)).keys() == {"source_language"}


def test_languages_match_without_regard_to_case(stub: Stub, make_request: MakeRequest) -> None:
    expected = stub.Translate(make_request("Yes."))
    assert stub.Translate(make_request("Yes.", pair="EN-It")) == expected


@pytest.mark.parametrize("count", [0, 1025])
def test_no_texts_and_too_many_texts_are_refused(stub: Stub, make_request: MakeRequest, count: int) -> None:
    found = violations(lambda: stub.Translate(make_request(*["Yes."] * count)))
    assert found.keys() == {"texts"}
    assert str(count) in found["texts"]
    assert "1024" in found["texts"]


def test_a_message_over_the_limit_is_refused_without_a_hint_to_retry(
    stub: Stub, make_request: MakeRequest
) -> None:
    code, _, details = refusal(lambda: stub.Translate(make_request("a" * (MAX_MESSAGE_BYTES + 1))))
    assert (code, details) == (grpc.StatusCode.RESOURCE_EXHAUSTED, [])
    (item,) = stub.Translate(make_request("a" * (MAX_MESSAGE_BYTES - 1000), segmentation=NONE)).items
    assert item.error.code == code_pb2.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "data", [b"\xff" * 20, b"\x1a\x05ab", b"\x0a\x02\xc3\x28"], ids=["noise", "cut", "not UTF-8"]
)
def test_bytes_that_do_not_parse_are_an_invalid_argument(server: RunningServer, data: bytes) -> None:
    with grpc.insecure_channel(server.address) as channel:
        send = channel.unary_unary(TRANSLATE, request_serializer=bytes, response_deserializer=bytes)
        code, message, _ = refusal(lambda: send(data))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "does not parse" in message


def test_a_method_that_does_not_exist_is_unimplemented(server: RunningServer) -> None:
    with grpc.insecure_channel(server.address) as channel:
        send = channel.unary_unary(TRANSLATE + "All", request_serializer=bytes, response_deserializer=bytes)
        code, _, _ = refusal(lambda: send(b""))
    assert code is grpc.StatusCode.UNIMPLEMENTED
