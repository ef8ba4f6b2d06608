"""Attention against PyTorch's own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.networks.attention import MultiHeadAttention, causal_mask, scaled_dot_product_attention

B, H, T, S, D = 2, 3, 4, 5, 8
E = H * D


def random_tensors(*shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def random_mask() -> Tensor:
    is_masked = torch.rand(B, H, T, S, generator=torch.Generator().manual_seed(2)) < 0.5
    is_masked[..., 0] = False  # every query needs one place to look at
    return is_masked


def test_context_equals_pytorchs_own() -> None:
    query, key, value = random_tensors((B, H, T, D), (B, H, S, D), (B, H, S, D))
    for is_masked in (None, random_mask()):
        context, _ = scaled_dot_product_attention(query, key, value, is_masked)
        may_look = None if is_masked is None else ~is_masked
        expected = nn.functional.scaled_dot_product_attention(query, key, value, may_look)
        torch.testing.assert_close(context, expected, rtol=0, atol=1e-6)


def test_masked_positions_get_exactly_zero_weight_and_the_others_sum_to_one() -> None:
    query, key, value = random_tensors((B, H, T, D), (B, H, S, D), (B, H, S, D))
    is_masked = random_mask()
    _, weights = scaled_dot_product_attention(query * 50, key, value, is_masked)
    assert bool((weights[is_masked] == 0).all())
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(B, H, T), rtol=0, atol=1e-6)


def test_what_stands_at_a_masked_position_changes_not_one_bit() -> None:
    query, key, value = random_tensors((B, H, T, D), (B, H, S, D), (B, H, S, D))
    is_masked = torch.tensor([False, False, True, False, True]).expand(B, H, T, S)
    hidden = is_masked[:, :, 0, :, None]
    context, _ = scaled_dot_product_attention(query, key, value, is_masked)
    other, _ = scaled_dot_product_attention(
        query, key.masked_fill(hidden, 99.0), value.masked_fill(hidden, -99.0), is_masked
    )
    torch.testing.assert_close(other, context, rtol=0, atol=0)


def test_multi_head_attention_equals_pytorchs_with_the_same_weights() -> None:
    ours, theirs = MultiHeadAttention(E, H), nn.MultiheadAttention(E, H, batch_first=True)
    projections = (ours.query, ours.key, ours.value)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([p.weight for p in projections]))
        theirs.in_proj_bias.copy_(torch.cat([p.bias for p in projections]))
        theirs.out_proj.load_state_dict(ours.output.state_dict())
    x, memory = random_tensors((B, T, E), (B, S, E))
    is_padding = torch.tensor([[False] * S, [False, False, True, True, True]])
    expected, _ = theirs(x, memory, memory, key_padding_mask=is_padding, need_weights=False)
    found, _ = ours(x, memory, is_padding[:, None, None])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_heads_merge_back_to_what_was_split() -> None:
    attention = MultiHeadAttention(E, H)
    (x,) = random_tensors((B, T, E))
    heads = attention.split_heads(x)
    assert heads.shape == (B, H, T, D)
    torch.testing.assert_close(attention.merge_heads(heads), x, rtol=0, atol=0)


def test_causal_mask_hides_later_positions_and_no_others() -> None:
    is_future = causal_mask(6)
    assert is_future.tolist() == [[column > row for column in range(6)] for row in range(6)]
