"""Constraints on translations through the whole server: every method heeds them, and each text its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from model.text.tokenizers import load_tokenizer
from tests.running_server import RunningServer
from traghetto import Client, Translation
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

TEXT = "The old man who lives next door gave us some apples from his garden."
METHODS: list[dict[str, Any]] = [
    {"beam_size": 1},
    {"beam_size": 4, "num_hypotheses": 4},
    {"sampling": pb.Sampling(seed=3, temperature=0.7)},
    {"contrastive_search": pb.ContrastiveSearch()},
]
MakeRequest = Callable[..., pb.TranslateRequest]
Translate = Callable[..., list[pb.Translation]]


@pytest.fixture
def translate(stub: pb_grpc.TranslationServiceStub, make_request: MakeRequest) -> Translate:
    def run(*texts: str, prefixes: tuple[str, ...] = (), **options: Any) -> list[pb.Translation]:
        request = make_request(*texts, **options)
        request.target_prefixes.extend(prefixes)
        items = stub.Translate(request, timeout=60).items
        assert all(item.HasField("translation") for item in items), items
        return [item.translation for item in items]

    return run


@pytest.mark.parametrize("method", METHODS, ids=["greedy", "beam", "sampling", "contrastive"])
def test_every_method_begins_with_the_prefix_of_its_text(
    translate: Translate, method: dict[str, Any]
) -> None:
    plain, cat, two = translate(TEXT, TEXT, f"{TEXT} {TEXT}", prefixes=("", "Mio gatto", "Mia zia"), **method)
    assert not plain.text.startswith("Mi")
    assert all(h.text.startswith("Mio gatto ") for h in cat.hypotheses)
    assert two.text.startswith("Mia zia ")
    assert len(two.segments) == 2
    assert two.text.count("Mia zia") == 1
    assert plain == translate(TEXT, **method)[0]


@pytest.mark.parametrize("method", METHODS, ids=["greedy", "beam", "sampling", "contrastive"])
def test_every_method_leaves_terms_out(translate: Translate, method: dict[str, Any]) -> None:
    (plain,) = translate(TEXT, **method)
    terms = [word for word in plain.text.rstrip(".").split() if len(word) > 4][:2]
    (found,) = translate(TEXT, suppress=terms, **method)
    assert terms
    assert all(term not in h.text.split() for h in found.hypotheses for term in terms)


@pytest.mark.parametrize("method", METHODS, ids=["greedy", "beam", "sampling", "contrastive"])
def test_every_method_is_as_long_as_asked_for_and_repeats_nothing(
    translate: Translate, artifact: Path, method: dict[str, Any]
) -> None:
    (found,) = translate(TEXT, min_target_tokens=40, no_repeat_ngram_size=2, **method)
    for hypothesis in found.hypotheses:
        assert hypothesis.target_tokens >= 40
        assert hypothesis.log_prob < 0
    ids = load_tokenizer(artifact).encode_target(found.text)
    pairs = list(itertools.pairwise(ids))
    assert len(set(pairs)) >= len(pairs) - 2  # a text may be cut into other pieces than it was made of


def test_a_prefix_has_the_models_own_log_probability(translate: Translate) -> None:
    """What it says anyway is as probable with it as without."""
    (plain,) = translate(TEXT, beam_size=1)
    prefix = " ".join(plain.text.split()[:3])
    (found,) = translate(TEXT, beam_size=1, prefixes=(prefix,))
    assert found.text == plain.text
    assert found.hypotheses[0].log_prob == pytest.approx(plain.hypotheses[0].log_prob, rel=1e-5)


def test_a_prefix_stands_within_markup(server: RunningServer) -> None:
    with Client(server.address) as client:
        html = "<p>The <b>black cat</b> is on the table.</p>"
        (found,) = client.translate([html], "en", "it", format="html", target_prefix=["Un gatto"])
        assert isinstance(found, Translation)
        assert found.text.startswith("<p>")
        assert found.text.replace("<b>", "").replace("</b>", "").startswith("<p>Un gatto")


def test_constraints_out_of_their_limits_are_refused_by_name(
    stub: pb_grpc.TranslationServiceStub, make_request: MakeRequest
) -> None:
    request = make_request("Yes.", suppress=[" "], repetition_penalty=-1, no_repeat_ngram_size=257)
    with pytest.raises(grpc.RpcError) as caught:
        stub.Translate(request, timeout=60)
    message = str(caught.value.details())
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    for field in ("suppress[0]", "repetition_penalty", "no_repeat_ngram_size"):
        assert f"options.{field}: " in message
    request = make_request("Yes.", "No.", "Oh.")
    request.target_prefixes.extend(("a", "b"))
    with pytest.raises(grpc.RpcError, match="target_prefixes: has 2 prefixes"):
        stub.Translate(request, timeout=60)
