"""Attention that comes with a translation: its shape, its tokens, its layers and heads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.copied_artifact import copied_artifact
from tests.running_server import RunningServer, StartServer
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

PATIENCE_SECONDS = 120.0
TEXT = "The cat is on the table."
MakeRequest = Callable[..., pb.TranslateRequest]
Stub = pb_grpc.TranslationServiceStub
METHODS: dict[str, dict[str, Any]] = {
    "greedy": {"beam_size": 1},
    "beams": {"beam_size": 4},
    "several hypotheses": {"beam_size": 5, "num_hypotheses": 5},
    "sampling": {"sampling": pb.Sampling(seed=5)},
    "contrastive search": {"contrastive_search": pb.ContrastiveSearch()},
}
Translate = Callable[..., list[pb.Translation]]


@pytest.fixture
def translate(stub: Stub, make_request: MakeRequest) -> Translate:
    """The translations of texts with some options."""

    def run(*texts: str, **options: Any) -> list[pb.Translation]:
        request = make_request(*texts, segmentation=pb.SEGMENTATION_NONE, **options)
        items = stub.Translate(request, timeout=PATIENCE_SECONDS).items
        return [item.translation for item in items]

    return run


def weights_of(attention: pb.Attention) -> NDArray[np.float32]:
    """(T, S)."""
    shape = (len(attention.target_tokens), len(attention.source_tokens))
    return np.array(attention.weights, np.float32).reshape(shape)


def text_of(pieces: list[str]) -> str:
    return "".join(piece for piece in pieces if not piece.startswith("<")).replace("▁", " ").strip()


def without_attention(translation: pb.Translation) -> pb.Translation:
    copy = pb.Translation()
    copy.CopyFrom(translation)
    for hypothesis in copy.hypotheses:
        hypothesis.ClearField("attention")
    return copy


@pytest.mark.parametrize("options", METHODS.values(), ids=METHODS)
def test_every_hypothesis_has_a_row_for_each_token_that_sums_to_1(
    translate: Translate, pairs: list[tuple[str, str]], options: dict[str, Any]
) -> None:
    texts = [TEXT, *(english for english, _ in pairs[:6])]
    plain = translate(*texts, **options)
    found = translate(*texts, attention=pb.AttentionOptions(), **options)
    assert [without_attention(translation) for translation in found] == plain
    for text, translation in zip(texts, found, strict=True):
        assert len(translation.hypotheses) == options.get("num_hypotheses", 1)
        for hypothesis in translation.hypotheses:
            attention = hypothesis.attention
            assert len(attention.source_tokens) == translation.source_tokens
            assert len(attention.target_tokens) == hypothesis.target_tokens
            weights = weights_of(attention)
            assert weights.min() >= 0
            np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-3)
            assert text_of(list(attention.source_tokens)) == text
            assert text_of(list(attention.target_tokens)) == hypothesis.text


def test_special_tokens_are_spelled_as_the_vocabulary_has_them(translate: Translate) -> None:
    (found,) = translate(TEXT, attention=pb.AttentionOptions())
    attention = found.hypotheses[0].attention
    assert attention.source_tokens[0] == "<2it>"
    assert attention.source_tokens[1] == "▁The"
    assert attention.source_tokens[-1] == attention.target_tokens[-1] == "</s>"
    (cut,) = translate(TEXT, attention=pb.AttentionOptions(), max_target_tokens=2)
    assert "</s>" not in cut.hypotheses[0].attention.target_tokens


def test_the_model_tells_its_layers_and_the_default_is_one_of_them(stub: Stub, translate: Translate) -> None:
    (model,) = stub.ListModels(pb.ListModelsRequest()).models
    layers = model.attention
    assert (layers.num_layers, layers.num_heads) == (2, 4)
    (default,) = translate(TEXT, attention=pb.AttentionOptions())
    assert default.hypotheses[0].attention.layer == layers.default_layer
    assert list(default.hypotheses[0].attention.heads) == [0, 1, 2, 3]
    found = [
        translate(TEXT, attention=pb.AttentionOptions(layer=layer))[0].hypotheses[0].attention
        for layer in range(2)
    ]
    assert found[layers.default_layer] == default.hypotheses[0].attention
    assert [attention.layer for attention in found] == [0, 1]
    assert not np.allclose(weights_of(found[0]), weights_of(found[1]), atol=1e-3)


@pytest.mark.parametrize("options", [{"beam_size": 1}, {"beam_size": 4}], ids=["greedy", "beams"])
def test_the_attention_of_heads_is_the_mean_of_each(translate: Translate, options: dict[str, Any]) -> None:
    def of(*heads: int) -> pb.Attention:
        (found,) = translate(TEXT, attention=pb.AttentionOptions(layer=0, heads=heads), **options)
        return found.hypotheses[0].attention

    single = [weights_of(of(head)) for head in range(4)]
    assert all(not np.allclose(single[0], other, atol=1e-3) for other in single[1:])
    np.testing.assert_allclose(weights_of(of()), np.mean(single, axis=0), atol=1e-6)
    np.testing.assert_allclose(weights_of(of(3, 1)), np.mean([single[1], single[3]], axis=0), atol=1e-6)
    assert of(3, 1) == of(1, 3)
    assert list(of(3, 1).heads) == [1, 3]


def test_it_is_the_same_alone_and_among_others(translate: Translate, pairs: list[tuple[str, str]]) -> None:
    """Of other lengths too, so that there is padding."""
    texts = [english for english, _ in pairs[:30]]
    together = translate(*texts, attention=pb.AttentionOptions())
    for i in range(0, 30, 7):
        assert translate(texts[i], attention=pb.AttentionOptions()) == [together[i]]


def test_a_word_attends_to_its_translation(translate: Translate) -> None:
    (found,) = translate(TEXT, attention=pb.AttentionOptions())
    attention = found.hypotheses[0].attention
    row = list(attention.target_tokens).index("▁gatto")
    best = int(weights_of(attention)[row].argmax())
    assert attention.source_tokens[best] == "▁cat"


def test_an_empty_text_has_none(translate: Translate) -> None:
    empty, full = translate("", TEXT, attention=pb.AttentionOptions())
    assert empty.stop_reason == pb.STOP_REASON_EMPTY_SOURCE
    assert not empty.hypotheses[0].HasField("attention")
    assert full.hypotheses[0].HasField("attention")


def test_without_being_asked_for_none_is_returned(translate: Translate) -> None:
    (found,) = translate(TEXT)
    assert not found.hypotheses[0].HasField("attention")


def test_a_model_without_attention_is_named_and_translates(
    start_server: StartServer,
    artifact: Path,
    tmp_path: Path,
    connect: Callable[[RunningServer], Stub],
    make_request: MakeRequest,
) -> None:
    silent = tmp_path / "silent"
    with copied_artifact(artifact, silent) as manifest:
        manifest.update(name="silent", attention=None)
    with start_server(silent, "--slots=2") as running:
        stub = connect(running)
        (model,) = stub.ListModels(pb.ListModelsRequest()).models
        assert not model.HasField("attention")
        with pytest.raises(grpc.RpcError) as caught:
            stub.Translate(make_request(TEXT, attention=pb.AttentionOptions(layer=0)))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "model 'silent' returns no attention" in (caught.value.details() or "")
        assert stub.Translate(make_request(TEXT)).items[0].translation.text
