"""Searches start and end with the ids of the model's vocabulary, whichever they are."""

from __future__ import annotations

import torch
from torch import Tensor

from model.searches.beam_search import beam_search, greedy_search
from model.searches.contrastive_search import contrastive_search
from model.searches.sampling import sample
from model.text.special_ids import SpecialIds

START, END, WORD = 6, 0, 3


class Chain:
    """After the start comes a word, after the word the end; other ids than those of our own vocabularies."""

    special_ids = SpecialIds(padding=START, unknown=1, start=START, end=END)

    def encode(self, source: Tensor) -> None:
        assert source.tolist() == [[WORD, END]]

    def decode_step(self, prefix: Tensor, memory: None) -> Tensor:
        return self.decode_step_with_hidden(prefix, memory)[0]

    def decode_step_with_hidden(self, prefix: Tensor, memory: None) -> tuple[Tensor, Tensor]:
        logits = torch.full((len(prefix), 7), -9.0)
        for row, last in enumerate(prefix[:, -1].tolist()):
            logits[row, WORD if last == START else END] = 9.0
        return logits.log_softmax(dim=-1), torch.eye(7)[prefix[:, -1]]


def test_every_search_starts_and_ends_with_the_model_s_ids() -> None:
    source, limit = [WORD, END], 5
    results = [
        greedy_search(Chain(), source, limit),
        beam_search(Chain(), source, 2, limit)[0],
        sample(Chain(), source, limit, temperature=1.0, top_k=1, top_p=1.0, seed=0),
        contrastive_search(Chain(), source, 2, 0.1, limit),
    ]
    assert [result.token_ids for result in results] == [(WORD, END)] * 4
