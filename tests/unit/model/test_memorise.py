"""That every architecture learns: a handful of sentences by heart, found again by greedy search."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from model.networks.build import build_model
from model.networks.config import ModelConfig, RecurrentConfig, TransformerConfig
from model.searches.beam_search import greedy_search_batch
from model.text.sentencepiece_tokenizer import END_ID, PADDING_ID
from model.training.batches import IGNORED, Example, make_batch, pad

V, NUM_STEPS = 30, 120


def recurrent(**fields: object) -> RecurrentConfig:
    sizes = {"vocabulary_size": V, "embedding_size": 32, "model_size": 32, "dropout": 0.0}
    return RecurrentConfig(**(sizes | fields))  # type: ignore[arg-type]


TRANSFORMER = TransformerConfig(
    vocabulary_size=V,
    model_size=32,
    num_heads=4,
    feed_forward_size=64,
    num_encoder_layers=1,
    num_decoder_layers=1,
    dropout=0.0,
)
CONFIGS: dict[str, ModelConfig] = {
    "rnn": recurrent(cell="rnn", attention="none", bidirectional=False),
    "gru": recurrent(cell="gru", attention="none", context="every_step"),
    "lstm-general": recurrent(cell="lstm", attention="general"),
    "lstm-hard": recurrent(cell="lstm", attention="general", hard_attention=True),
    "gru-bahdanau": recurrent(cell="gru", attention="additive", decoder="bahdanau"),
    "transformer": TRANSFORMER,
    "transformer-ssru": dataclasses.replace(
        TRANSFORMER,
        norm="post",
        decoder_layer="ssru",
        start_embedding="zero",
        output_bias=True,
        position_layout="halves",
        position_denominator="half_less_one",
    ),
}


def random_examples(count: int, length: int) -> list[Example]:
    """Sources of one length, targets of two; without rhyme or reason, so that nothing but memory helps."""
    generator = torch.Generator().manual_seed(5)
    rows = torch.randint(4, V, (count, 2, length), generator=generator).tolist()
    return [
        Example((*source, END_ID), (*target[: length - i % 2], END_ID))
        for i, (source, target) in enumerate(rows)
    ]


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_a_model_learns_a_handful_of_sentences_by_heart(config: ModelConfig) -> None:
    torch.manual_seed(1)
    model, examples = build_model(config).train(), random_examples(6, 6)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    batch = make_batch(examples, model.special_ids)
    for _ in range(NUM_STEPS):
        logits = model(batch.source, batch.target_input).flatten(0, 1)
        loss = nn.functional.cross_entropy(logits, batch.target_output.flatten(), ignore_index=IGNORED)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()
    source = pad([example.source for example in examples], PADDING_ID)
    found = greedy_search_batch(model, source, source == PADDING_ID, 10)
    assert [(*row, END_ID) for row in found] == [example.target for example in examples]
