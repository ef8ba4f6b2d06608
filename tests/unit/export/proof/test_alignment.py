"""Anchors, and how often attention meets them."""

from __future__ import annotations

import torch
from torch import Tensor

from export.proof.alignment import anchor_accuracy, anchors
from model.networks.encoder_decoder import Decoded, EncoderDecoder
from model.text.sentencepiece_tokenizer import END_ID
from model.text.special_ids import DEFAULT_SPECIAL_IDS, SpecialIds

TAG, A, B, C, D = 4, 10, 11, 12, 13


class Scripted(EncoderDecoder):
    """Looks where it is told, whatever it reads: for each layer the weights of two heads (H, T, S)."""

    def __init__(self, layers: list[Tensor]) -> None:
        super().__init__()
        self.layers = layers

    @property
    def special_ids(self) -> SpecialIds:
        return DEFAULT_SPECIAL_IDS

    def encode(self, source: Tensor, source_is_padding: Tensor | None = None) -> None:
        return None

    def decode_states(self, target: Tensor, memory: None, source_is_padding: Tensor | None = None) -> Decoded:
        return Decoded(torch.zeros(*target.shape, 1), tuple(weights[None] for weights in self.layers))


def looking_at(positions: list[int], length: int) -> Tensor:
    return torch.nn.functional.one_hot(torch.tensor(positions), length).float()  # (T, S)


def test_anchors_are_the_tokens_that_stand_once_in_each() -> None:
    assert anchors([TAG, A, B, C, END_ID], [C, A, D, END_ID], END_ID) == [(3, 0), (1, 1)]


def test_a_token_that_stands_twice_on_either_side_is_no_anchor() -> None:
    assert anchors([TAG, A, B, A, END_ID], [A, B, END_ID], END_ID) == [(2, 1)]
    assert anchors([TAG, A, B, END_ID], [A, B, A, END_ID], END_ID) == [(2, 1)]


def test_the_end_of_the_sentence_is_no_anchor() -> None:
    assert anchors([TAG, END_ID], [END_ID], END_ID) == []


def test_accuracy_is_the_share_of_anchors_looked_at_most_for_each_layer() -> None:
    source, target = [TAG, A, B, C, END_ID], [C, A, D, END_ID]  # anchors (3, 0) and (1, 1)
    right = looking_at([3, 1, 0, 0], 5)
    half = looking_at([3, 2, 0, 0], 5)
    wrong = looking_at([0, 0, 0, 0], 5)
    model = Scripted([torch.stack((each, each)) for each in (right, half, wrong)])
    assert anchor_accuracy(model, [(source, target)]) == (1.0, 0.5, 0.0)


def test_the_mean_of_the_heads_decides() -> None:
    source, target = [TAG, A, B, END_ID], [B, END_ID]  # anchor (2, 0)
    sure = torch.tensor([[0, 0.1, 0.9, 0], [1, 0, 0, 0]])  # (T, S)
    unsure = torch.tensor([[0, 0.6, 0.4, 0], [1, 0, 0, 0]])
    assert anchor_accuracy(Scripted([torch.stack((sure, unsure))]), [(source, target)]) == (1.0,)
    assert anchor_accuracy(Scripted([torch.stack((unsure, unsure))]), [(source, target)]) == (0.0,)


def test_without_anchors_accuracy_is_zero_and_without_attention_there_is_none() -> None:
    blind = [([TAG, A, END_ID], [B, END_ID])]
    weights = looking_at([0, 0], 3)[None]
    assert anchor_accuracy(Scripted([weights]), blind) == (0.0,)
    assert anchor_accuracy(Scripted([]), blind) == ()


def test_tokens_of_two_vocabularies_are_compared_as_the_targets() -> None:
    source, target = [TAG, 1, 2, END_ID], [B, A, END_ID]
    model = Scripted([looking_at([2, 1, 0], 4)[None]])
    assert anchor_accuracy(model, [(source, target)], {1: A, 2: B}.get) == (1.0,)
    assert anchor_accuracy(model, [(source, target)]) == (0.0,)
