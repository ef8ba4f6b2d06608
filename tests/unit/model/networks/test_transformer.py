"""What a whole Transformer must and must not depend on."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from model.networks.transformer import Transformer
from model.text.sentencepiece_tokenizer import PADDING_ID, START_ID

V = 600
assert_close = functools.partial(torch.testing.assert_close, rtol=0, atol=1e-4)

variants = pytest.mark.parametrize(
    "fields",
    [
        {"norm": "pre", "positions": "sinusoidal", "tie_embeddings": True},
        {"norm": "post", "positions": "learned", "tie_embeddings": False, "activation": "gelu"},
        {"norm": "pre", "decoder_layer": "ssru", "start_embedding": "zero", "output_bias": True},
        {"norm": "pre", "source_vocabulary_size": 650, "activation": "silu"},
    ],
    ids=["pre-sinusoidal-tied", "post-learned-untied", "ssru", "two-vocabularies"],
)


def random_ids(rows: int, length: int, seed: int = 1) -> Tensor:
    return torch.randint(4, V, (rows, length), generator=torch.Generator().manual_seed(seed))


def random_target(rows: int, length: int, seed: int = 2) -> Tensor:
    return torch.cat((torch.full((rows, 1), START_ID), random_ids(rows, length - 1, seed)), dim=1)


@variants
def test_later_target_tokens_never_change_earlier_logits(
    make_model: Callable[..., Transformer], fields: dict[str, object]
) -> None:
    model, target = make_model(**fields), random_target(2, 8)
    memory = model.encode(random_ids(2, 6))
    changed = target.clone()
    changed[:, 5:] = random_ids(2, 3, seed=9)
    logits, other = model.decode(target, memory), model.decode(changed, memory)
    assert_close(other[:, :5], logits[:, :5])
    assert float((other[:, 5:] - logits[:, 5:]).abs().max()) > 0.5


@variants
def test_teacher_forcing_equals_step_by_step(
    make_model: Callable[..., Transformer], fields: dict[str, object]
) -> None:
    model, source, target = make_model(**fields), random_ids(2, 6), random_target(2, 7)
    at_once = model(source, target).log_softmax(dim=-1)  # (B, T, V)
    memory = model.encode(source)
    for step in range(7):
        log_probs = model.decode_step(target[:, : step + 1], memory)
        assert_close(log_probs, at_once[:, step])


@variants
def test_a_padded_batch_gives_what_each_source_gives_alone(
    make_model: Callable[..., Transformer], fields: dict[str, object]
) -> None:
    model, target, lengths = make_model(**fields), random_target(3, 5), (9, 1, 4)
    source = random_ids(3, 9)
    is_padding = torch.arange(9) >= torch.tensor(lengths)[:, None]
    together = model(source.masked_fill(is_padding, PADDING_ID), target, is_padding)
    for row, length in enumerate(lengths):
        alone = model(source[row : row + 1, :length], target[row : row + 1])
        assert_close(together[row : row + 1], alone)


def test_ids_at_padding_do_not_matter(make_model: Callable[..., Transformer]) -> None:
    model, source, target = make_model(), random_ids(2, 8), random_target(2, 5)
    is_padding = torch.arange(8) >= torch.tensor([[8], [3]])
    logits = model(source, target, is_padding)
    other = model(source.masked_fill(is_padding, PADDING_ID), target, is_padding)
    assert_close(other, logits)


def test_cross_attention_ignores_memory_at_padding(make_model: Callable[..., Transformer]) -> None:
    model, target = make_model(), random_target(2, 5)
    is_padding = torch.arange(8) >= torch.tensor([[8], [3]])
    memory = model.encode(random_ids(2, 8), is_padding)
    noisy = memory.masked_fill(is_padding[:, :, None], 50.0)
    assert_close(model.decode(target, noisy, is_padding), model.decode(target, memory, is_padding))


def test_target_padding_at_the_end_changes_no_earlier_logits(make_model: Callable[..., Transformer]) -> None:
    model, target = make_model(), random_target(2, 5)
    memory = model.encode(random_ids(2, 6))
    padded = torch.nn.functional.pad(target, (0, 3), value=PADDING_ID)
    assert_close(model.decode(padded, memory)[:, :5], model.decode(target, memory))


def test_decode_step_returns_log_probabilities(make_model: Callable[..., Transformer]) -> None:
    model = make_model()
    log_probs = model.decode_step(random_target(3, 4), model.encode(random_ids(3, 6)))
    assert log_probs.shape == (3, V)
    assert_close(log_probs.exp().sum(dim=-1), torch.ones(3))


def test_tied_embeddings_are_one_matrix(make_model: Callable[..., Transformer]) -> None:
    model = make_model(tie_embeddings=True)
    matrices = (
        model.source_embedding.tokens.weight,
        model.target_embedding.tokens.weight,
        model.output.weight,
    )
    assert len({id(matrix) for matrix in matrices}) == 1
    untied = make_model(tie_embeddings=False)
    assert untied.output.weight is not untied.target_embedding.tokens.weight
    assert untied.source_embedding.tokens is not untied.target_embedding.tokens


def test_with_a_zero_start_it_does_not_matter_which_id_starts(
    make_model: Callable[..., Transformer],
) -> None:
    model, source = make_model(start_embedding="zero"), random_ids(2, 6)
    target = random_target(2, 5)
    other = target.clone()
    other[:, 0] = 77
    assert_close(model(source, other), model(source, target))
    other[:, 1] = 77
    assert float((model(source, other) - model(source, target)).abs().max()) > 0.5


def test_an_output_bias_rules_a_token_out(make_model: Callable[..., Transformer]) -> None:
    model = make_model(output_bias=True)
    with torch.no_grad():
        model.output.bias[5] = -torch.inf
    log_probs = model.decode_step(random_target(3, 4), model.encode(random_ids(3, 6)))
    assert bool((log_probs[:, 5] == -torch.inf).all())
    assert_close(log_probs.exp().sum(dim=-1), torch.ones(3))


def test_the_norms_epsilon_is_the_configurations(make_model: Callable[..., Transformer]) -> None:
    model = make_model(norm_epsilon=0.5, norm="pre")
    norms = [module for module in model.modules() if isinstance(module, torch.nn.LayerNorm)]
    assert {norm.eps for norm in norms} == {0.5}


def test_a_source_with_a_vocabulary_of_its_own_shares_no_embedding(
    make_model: Callable[..., Transformer],
) -> None:
    model = make_model(source_vocabulary_size=650)
    assert model.source_embedding.tokens.weight.shape == (650, 32)
    assert model.target_embedding.tokens.weight is model.output.weight
    source, target = torch.tensor([[649, 4, 620]]), random_target(1, 5)
    assert model(source, target).shape == (1, 5, V)
