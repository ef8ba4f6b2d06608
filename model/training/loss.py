"""The loss that training lowers."""

from __future__ import annotations

from torch import Tensor, nn

from model.training.batches import IGNORED


def smoothed_loss(logits: Tensor, target: Tensor, *, smoothing: float) -> Tensor:
    """Cross-entropy in nats against targets that are smoothed, summed over those that are not IGNORED.

    The mass that smoothing takes is spread over all tokens that the model can say: of a token that its bias
    rules out the logarithm is minus infinity, and so would the sum be. Where such a token is the target,
    nothing is to be learned.

    Args:
        logits: (N, V).
        target: Ids (N).
        smoothing: Mass that the right token gives away.

    Source: Szegedy et al. 2016, arXiv:1512.00567, section 7.

    >>> import torch
    >>> logits, target = torch.tensor([[0.0, 0.0, -torch.inf]]), torch.tensor([1])
    >>> smoothed_loss(logits, target, smoothing=0.1)
    tensor(0.6931)
    """
    is_said = logits[0] > -float("inf")  # (V), the same for all
    if not is_said.all():
        choices = is_said.nonzero().flatten()  # (C)
        places = is_said.cumsum(0) - 1  # (V), of each token among them
        known = target.clamp(min=0)
        is_left_out = (target == IGNORED) | ~is_said[known]
        logits, target = logits[:, choices], places[known].masked_fill(is_left_out, IGNORED)
    return nn.functional.cross_entropy(
        logits, target, ignore_index=IGNORED, label_smoothing=smoothing, reduction="sum"
    )
