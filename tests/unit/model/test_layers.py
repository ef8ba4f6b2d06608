"""Encoder and decoder layers against PyTorch's own with the same weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from model.networks.attention import MultiHeadAttention, causal_mask
from model.networks.transformer import DecoderLayer, EncoderLayer, Transformer, broadcast_over_queries

B, T, S, E, H, F = 2, 4, 5, 32, 4, 64
IS_PADDING = torch.tensor([[False] * S, [False, False, False, True, True]])
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": nn.functional.relu,
    "gelu": nn.functional.gelu,
    "silu": nn.functional.silu,
}

variants = pytest.mark.parametrize(
    ("norm", "activation"), [(norm, activation) for norm in ("pre", "post") for activation in ACTIVATIONS]
)


def random_tensor(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def copy_linear(target: nn.Linear, source: nn.Module) -> None:
    target.load_state_dict(source.state_dict())


@torch.no_grad()
def copy_attention(target: nn.MultiheadAttention, source: MultiHeadAttention) -> None:
    projections = (source.query, source.key, source.value)
    target.in_proj_weight.copy_(torch.cat([p.weight for p in projections]))
    target.in_proj_bias.copy_(torch.cat([p.bias for p in projections]))
    copy_linear(target.out_proj, source.output)


@variants
def test_encoder_layer_equals_pytorchs(
    make_model: Callable[..., Transformer], norm: str, activation: str
) -> None:
    ours = make_model(norm=norm, activation=activation).encoder_layers[0]
    assert isinstance(ours, EncoderLayer)
    theirs = nn.TransformerEncoderLayer(
        E, H, F, 0.0, ACTIVATIONS[activation], batch_first=True, norm_first=norm == "pre"
    )
    copy_attention(theirs.self_attn, ours.self_attention)
    copy_linear(theirs.linear1, ours.feed_forward[0])
    copy_linear(theirs.linear2, ours.feed_forward[2])
    theirs.norm1.load_state_dict(ours.around_self.norm.state_dict())
    theirs.norm2.load_state_dict(ours.around_feed_forward.norm.state_dict())
    x = random_tensor(B, S, E)
    found = ours(x, broadcast_over_queries(IS_PADDING))
    expected = theirs(x, src_key_padding_mask=IS_PADDING)
    torch.testing.assert_close(found[~IS_PADDING], expected[~IS_PADDING], rtol=0, atol=1e-4)


@variants
def test_decoder_layer_equals_pytorchs(
    make_model: Callable[..., Transformer], norm: str, activation: str
) -> None:
    ours = make_model(norm=norm, activation=activation).decoder_layers[0]
    assert isinstance(ours, DecoderLayer)
    theirs = nn.TransformerDecoderLayer(
        E, H, F, 0.0, ACTIVATIONS[activation], batch_first=True, norm_first=norm == "pre"
    )
    copy_attention(theirs.self_attn, ours.self_attention)
    copy_attention(theirs.multihead_attn, ours.cross_attention)
    copy_linear(theirs.linear1, ours.feed_forward[0])
    copy_linear(theirs.linear2, ours.feed_forward[2])
    theirs.norm1.load_state_dict(ours.around_self.norm.state_dict())
    theirs.norm2.load_state_dict(ours.around_cross.norm.state_dict())
    theirs.norm3.load_state_dict(ours.around_feed_forward.norm.state_dict())
    x, memory = random_tensor(B, T, E), random_tensor(B, S, E, seed=2)
    found, _ = ours(x, memory, causal_mask(T), broadcast_over_queries(IS_PADDING))
    expected = theirs(x, memory, tgt_mask=causal_mask(T), memory_key_padding_mask=IS_PADDING)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_pre_norm_ends_each_stack_with_a_norm_and_post_norm_does_not(
    make_model: Callable[..., Transformer],
) -> None:
    for norm, kind in (("pre", nn.LayerNorm), ("post", nn.Identity)):
        model = make_model(norm=norm)
        assert isinstance(model.encoder_norm, kind)
        assert isinstance(model.decoder_norm, kind)
