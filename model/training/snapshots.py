"""A run's snapshot: all that a killed run needs to go on as if it had not been."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from model.checkpoint import load_weights
from model.networks.config import ConfigError
from model.networks.encoder_decoder import EncoderDecoder
from model.training.processes import Processes

log = logging.getLogger("traghetto.train")

SNAPSHOT_NAME = "snapshot.pt"


@dataclass
class Progress:
    """Where a run stands; saved with each snapshot."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    target_tokens: int = 0
    best_bleu: float = -1.0
    evaluations_without_gain: int = 0
    recent: list[dict[str, Tensor]] = field(default_factory=list)


def average(snapshots: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each weight over snapshots (Vaswani et al. 2017, section 6.1)."""
    return {name: torch.stack([s[name] for s in snapshots]).mean(dim=0) for name in snapshots[0]}


def save_snapshot(
    output: Path, progress: Progress, optimizer: torch.optim.Optimizer, processes: Processes
) -> None:
    """Write snapshot.pt whole or not at all, with the random states of all processes."""
    on_gpu = processes.device.type == "cuda"
    cuda = torch.cuda.get_rng_state(processes.device) if on_gpu else None
    states = processes.of_all((torch.get_rng_state(), cuda))
    if not processes.is_first:
        return
    saved = {
        "weights": progress.recent[-1],
        "optimizer": optimizer.state_dict(),
        "progress": vars(progress),
        "random_states": states,
    }
    unfinished = output / (SNAPSHOT_NAME + ".part")
    torch.save(saved, unfinished)
    unfinished.replace(output / SNAPSHOT_NAME)


def load_snapshot(
    output: Path, model: EncoderDecoder, optimizer: torch.optim.Optimizer, processes: Processes
) -> Progress:
    """Put weights, optimizer and random state back as they were saved; a run without a snapshot begins.

    A run that goes on with more processes than it had gives the further ones random states of their own.

    Raises:
        ConfigError: an older version wrote it.
    """
    path = output / SNAPSHOT_NAME
    if not path.is_file():
        return Progress()
    saved = torch.load(path, map_location="cpu", weights_only=True)
    if "random_states" not in saved:
        raise ConfigError(f"{path} is of an older version: begin anew with --from {output / 'best'}")
    load_weights(model, saved["weights"])
    optimizer.load_state_dict(saved["optimizer"])
    states = saved["random_states"]
    if processes.rank < len(states):
        state, cuda = states[processes.rank]
        torch.set_rng_state(state)
        if cuda is not None and processes.device.type == "cuda":
            torch.cuda.set_rng_state(cuda, processes.device)
    progress = Progress(**saved["progress"])
    log.info("resumed at step %d", progress.step)
    return progress
