"""What a whole recurrent encoder-decoder must and must not depend on."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from model.networks.config import RecurrentConfig
from model.networks.recurrent import Recurrent, reverse_each
from model.text.sentencepiece_tokenizer import PADDING_ID, START_ID

V = 40
assert_close = functools.partial(torch.testing.assert_close, rtol=0, atol=1e-5)
LENGTHS = (9, 1, 4)
MakeRecurrent = Callable[..., Recurrent]

directions = pytest.mark.parametrize(
    "direction",
    [
        {"bidirectional": True},
        {"bidirectional": False},
        {"bidirectional": False, "reverse_source": True},
        {"bidirectional": True, "reverse_source": True},
    ],
    ids=["both", "forward", "reversed", "both-reversed"],
)
cells = pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
decoders = pytest.mark.parametrize(
    "fields",
    [
        {"attention": "none"},
        {"attention": "none", "context": "every_step"},
        {"attention": "dot"},
        {"attention": "scaled_dot"},
        {"attention": "cosine"},
        {"attention": "general", "tie_embeddings": False},
        {"attention": "additive"},
        {"attention": "general", "hard_attention": True},
        {"attention": "additive", "decoder": "bahdanau"},
        {"attention": "dot", "decoder": "bahdanau", "context": "every_step"},
    ],
    ids=[
        *("none", "every-step", "dot", "scaled-dot", "cosine", "general", "additive", "hard"),
        *("bahdanau", "bahdanau-every-step"),
    ],
)


@pytest.fixture(scope="module")
def make_recurrent() -> MakeRecurrent:
    """A small random model of two layers, its weights larger than a fresh model's."""

    def make(**fields: object) -> Recurrent:
        sizes = {"vocabulary_size": V, "embedding_size": 12, "model_size": 16, "dropout": 0.0}
        depth = {"num_encoder_layers": 2, "num_decoder_layers": 2}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = Recurrent(RecurrentConfig(**(sizes | depth | fields)))  # type: ignore[arg-type]
            for name, weight in model.named_parameters():
                weight.data.mul_(1 if "embedding" in name else 2)
        return model.eval().requires_grad_(False)

    return make


def random_ids(rows: int, length: int, seed: int = 1) -> Tensor:
    return torch.randint(4, V, (rows, length), generator=torch.Generator().manual_seed(seed))


def random_target(rows: int, length: int, seed: int = 2) -> Tensor:
    return torch.cat((torch.full((rows, 1), START_ID), random_ids(rows, length - 1, seed)), dim=1)


def mixed_lengths() -> tuple[Tensor, Tensor]:
    is_padding = torch.arange(max(LENGTHS)) >= torch.tensor(LENGTHS)[:, None]
    return random_ids(3, max(LENGTHS)).masked_fill(is_padding, PADDING_ID), is_padding


@decoders
@directions
@cells
def test_a_padded_batch_gives_what_each_source_gives_alone(
    make_recurrent: MakeRecurrent, cell: str, direction: dict[str, object], fields: dict[str, object]
) -> None:
    model, target = make_recurrent(cell=cell, **direction, **fields), random_target(3, 5)
    source, is_padding = mixed_lengths()
    together = model(source, target, is_padding)
    for row, length in enumerate(LENGTHS):
        alone = model(source[row : row + 1, :length], target[row : row + 1])
        assert_close(together[row : row + 1], alone)


@decoders
@directions
def test_ids_at_padding_change_nothing(
    make_recurrent: MakeRecurrent, direction: dict[str, object], fields: dict[str, object]
) -> None:
    model, target = make_recurrent(**direction, **fields), random_target(3, 5)
    source, is_padding = mixed_lengths()
    noisy = torch.where(is_padding, random_ids(3, max(LENGTHS), seed=7), source)
    assert not torch.equal(noisy, source)
    torch.testing.assert_close(
        model(noisy, target, is_padding), model(source, target, is_padding), rtol=0, atol=0
    )


@decoders
@cells
def test_teacher_forcing_equals_step_by_step(
    make_recurrent: MakeRecurrent, cell: str, fields: dict[str, object]
) -> None:
    model, target = make_recurrent(cell=cell, **fields), random_target(3, 6)
    source, is_padding = mixed_lengths()
    memory = model.encode(source, is_padding)
    whole = model.decode_states(target, memory, is_padding)
    for step in range(6):
        prefix = model.decode_states(target[:, : step + 1], memory, is_padding)
        assert_close(prefix.hidden[:, -1], whole.hidden[:, step])
        for weights, all_weights in zip(prefix.attention, whole.attention, strict=True):
            assert_close(weights[:, :, -1], all_weights[:, :, step])


@decoders
def test_later_target_tokens_never_change_earlier_logits(
    make_recurrent: MakeRecurrent, fields: dict[str, object]
) -> None:
    model, target = make_recurrent(**fields), random_target(2, 8)
    memory = model.encode(random_ids(2, 6))
    changed = target.clone()
    changed[:, 5:] = random_ids(2, 3, seed=9)
    logits, other = model.decode(target, memory), model.decode(changed, memory)
    assert_close(other[:, :5], logits[:, :5])
    assert float((other[:, 5:] - logits[:, 5:]).abs().max()) > 0.1


@decoders
@directions
def test_attention_is_zero_at_padding_and_sums_to_one(
    make_recurrent: MakeRecurrent, direction: dict[str, object], fields: dict[str, object]
) -> None:
    model, (source, is_padding) = make_recurrent(**direction, **fields), mixed_lengths()
    found = model.decode_states(random_target(3, 5), model.encode(source, is_padding), is_padding)
    assert len(found.attention) == (fields["attention"] != "none")
    for weights in found.attention:
        assert weights.shape == (3, 1, 5, max(LENGTHS))
        assert torch.all(weights.masked_select(is_padding[:, None, None]) == 0)
        assert_close(weights.sum(dim=-1), torch.ones(3, 1, 5))


@decoders
def test_one_source_serves_a_batch_of_prefixes(
    make_recurrent: MakeRecurrent, fields: dict[str, object]
) -> None:
    model, source, target = make_recurrent(**fields), random_ids(1, 6), random_target(3, 4)
    together = model.decode(target, model.encode(source))
    assert_close(together, model(source.expand(3, -1), target))


def test_a_reversed_encoder_reads_the_mirrored_source(make_recurrent: MakeRecurrent) -> None:
    source, target = random_ids(2, 6), random_target(2, 4)
    forward = make_recurrent(bidirectional=False, attention="none")
    backward = make_recurrent(bidirectional=False, attention="none", reverse_source=True)
    assert_close(backward(source, target), forward(source.flip(1), target))
    assert_close(backward.encode(source).positions, forward.encode(source.flip(1)).positions.flip(1))


def test_reverse_each_mirrors_each_row_at_its_own_length() -> None:
    rows = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0], [7, 0, 0, 0]])
    lengths = torch.tensor([4, 2, 1])
    mirrored = reverse_each(rows, lengths)
    assert mirrored.tolist() == [[4, 3, 2, 1], [6, 5, 0, 0], [7, 0, 0, 0]]
    assert torch.equal(reverse_each(mirrored, lengths), rows)
    vectors = torch.stack((rows, 10 * rows), dim=-1)  # (B, S, 2)
    assert torch.equal(reverse_each(vectors, lengths), torch.stack((mirrored, 10 * mirrored), dim=-1))


def test_without_attention_only_the_context_counts(make_recurrent: MakeRecurrent) -> None:
    model = make_recurrent(attention="none")
    memory = model.encode(random_ids(2, 6))
    noisy = type(memory)(memory.state, memory.context, memory.positions + 50, memory.keys)
    target = random_target(2, 4)
    assert torch.equal(model.decode(target, noisy), model.decode(target, memory))


def test_the_context_reaches_every_step_only_where_it_is_fed(make_recurrent: MakeRecurrent) -> None:
    target = random_target(2, 4)
    for context, is_fed in (("initial_state", False), ("every_step", True)):
        model = make_recurrent(attention="none", context=context)
        memory = model.encode(random_ids(2, 6))
        other = type(memory)(memory.state, memory.context + 5, memory.positions, memory.keys)
        is_changed = not torch.equal(model.decode(target, other), model.decode(target, memory))
        assert is_changed == is_fed
