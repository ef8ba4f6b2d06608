"""Data-parallel training: the processes that torchrun starts, each with a share of every batch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed, nn

T = TypeVar("T")

# The others wait while the first one evaluates and writes.
_PATIENCE = timedelta(hours=6)


@dataclass(frozen=True, kw_only=True)
class Processes:
    """The processes of a run, as seen by one of them; a run of one process needs no torchrun.

    Args:
        rank: Of this process, from 0; the first one writes all files.
        count: Of all processes, on all machines.
        device: The device of this process.
    """

    rank: int = 0
    count: int = 1
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process evaluates, logs and writes."""
        return self.rank == 0

    def share(self, batch: Sequence[T]) -> Sequence[T]:
        """This process's part of a batch; the parts of all together are the batch, each example once."""
        return batch[self.rank :: self.count]

    def parallel(self, model: nn.Module) -> nn.Module:
        """The model, whose gradients are means over all processes after each backward pass.

        Source: Li et al. 2020, arXiv:2006.15704 (PyTorch's DistributedDataParallel).
        """
        if self.count == 1:
            return model
        devices = [self.device] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(model, device_ids=devices)

    def total(self, value: torch.Tensor) -> torch.Tensor:
        """The sum of a tensor of one shape over all processes."""
        if self.count > 1:
            value = value.clone()
            distributed.all_reduce(value)
        return value

    def wait(self) -> None:
        """Return when every process has come here."""
        if self.count > 1:
            distributed.barrier()

    def of_first(self, value: T) -> T:
        """What the first process gives, in every process."""
        if self.count == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, src=0, device=self.device)
        return values[0]

    def of_all(self, value: T) -> list[T]:
        """What each process gives, by rank, in every process."""
        if self.count == 1:
            return [value]
        values: list[T] = [value] * self.count
        distributed.all_gather_object(values, value)
        return values


def join_processes(device: torch.device) -> Processes:
    """Join the run that torchrun's environment describes, over NCCL on GPUs and gloo on CPUs.

    Args:
        device: "cuda" without a number stands for the GPU of this process's local rank.

    Returns:
        One process alone where there is no such environment.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Processes(device=device)
    if device.type == "cuda":
        if ":" not in str(device):
            device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=_PATIENCE)
    return Processes(rank=distributed.get_rank(), count=count, device=device)


def leave_processes() -> None:
    """End this process's part in a run of several."""
    if distributed.is_initialized():
        distributed.destroy_process_group()
