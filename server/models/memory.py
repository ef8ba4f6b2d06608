"""The memory that models may take: what each is reckoned to need, and who has how much of it now."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from export.contract.manifest import Manifest
from server.config import ServerConfig
from server.engine.device import choose_device
from server.engine.lane import largest_lane_bytes
from server.models.machine import available_bytes, free_gpu_bytes, num_processors

GIB = 1 << 30
LONE_THREADS = 2


class PoolsTooLarge(RuntimeError):
    """The memory for pools does not hold what requests may ask for."""


class ModelMemoryFull(RuntimeError):
    """A model does not fit beside those that are in memory, or not at all."""


@dataclass(frozen=True, kw_only=True)
class MemoryNeed:
    """What one model takes.

    Args:
        weights_bytes: The artifact's files, in memory once.
        num_copies: Of these: 2 where a text alone may get graphs of its own.
        num_runners: Threads that each have pools.
        pool_bytes: Of each runner; None where the pools are parted among all models as they load.
    """

    weights_bytes: int
    num_copies: int
    num_runners: int
    pool_bytes: int | None = None

    @property
    def all_weights_bytes(self) -> int:
        """Of all copies."""
        return self.weights_bytes * self.num_copies

    @property
    def all_pool_bytes(self) -> int:
        """Of all runners."""
        return (self.pool_bytes or 0) * self.num_runners


@dataclass(frozen=True, kw_only=True)
class MemoryLimits:
    """What all models together may take, in bytes.

    Args:
        weights: None for no limit.
        pools: None where all models are loaded at once, and part what is free then.
    """

    weights: int | None = None
    pools: int | None = None

    @classmethod
    def of(cls, config: ServerConfig, manifests: Iterable[Manifest]) -> MemoryLimits:
        """What the operator says; of models that are loaded on demand else a part of what is free now."""
        weights = None if config.model_memory_gib is None else int(config.model_memory_gib * GIB)
        if not config.is_on_demand:
            return cls(weights=weights)
        on_gpu = any(choose_device(config.device, manifest) == "cuda" for manifest in manifests)
        free = (free_gpu_bytes if on_gpu else available_bytes)()
        weights = free // 4 if weights is None else weights
        pools = max(0, free - weights) * 3 // 4 if config.pool_gib is None else int(config.pool_gib * GIB)
        return cls(weights=weights, pools=pools)

    def need(self, manifest: Manifest, config: ServerConfig) -> MemoryNeed:
        """What a model takes; of pools an equal part, or what its largest request takes if that is more."""
        device = choose_device(config.device, manifest)
        num_runners = runners_of(device, config)
        pool_bytes = None
        if self.pools is not None:
            needed = largest_pool_bytes(manifest, config, on_gpu=device == "cuda")
            pool_bytes = max(needed, self.pools // (len(config.artifacts) * num_runners))
        has_copy = device == "cpu" and manifest.multiplies_integers and lone_threads(config) > config.threads
        return MemoryNeed(
            weights_bytes=sum(file.num_bytes for file in manifest.files.values()),
            num_copies=2 if has_copy else 1,
            num_runners=num_runners,
            pool_bytes=pool_bytes,
        )


def lone_threads(config: ServerConfig) -> int:
    """Threads inside one operator while only one runner has work."""
    return config.lone_threads or min(LONE_THREADS, num_processors())


def runners_of(device: str, config: ServerConfig) -> int:
    """Threads that run a model."""
    return (config.runners or num_processors()) if device == "cpu" else 1


def largest_pool_bytes(manifest: Manifest, config: ServerConfig, *, on_gpu: bool) -> int:
    """Pools without which a runner could not serve whatever a request may ask for."""
    widest = max(config.max_beam_size, manifest.self_check.beam_size)
    return largest_lane_bytes(manifest, config.slots, widest, with_outputs=on_gpu)


def pool_share(manifest: Manifest, config: ServerConfig, device: str) -> int:
    """Bytes of pools for each runner where all models are loaded, reckoned before any is taken.

    Raises:
        PoolsTooLarge: a lane that requests may need does not fit.
    """
    num_runners = runners_of(device, config)
    on_gpu = device == "cuda"
    available = free_gpu_bytes if on_gpu else available_bytes
    pool_bytes = available() * 3 // 4 if config.pool_gib is None else int(config.pool_gib * GIB)
    share = pool_bytes // (len(config.artifacts) * num_runners)
    needed = largest_pool_bytes(manifest, config, on_gpu=on_gpu)
    if needed > share:
        widest = max(config.max_beam_size, manifest.self_check.beam_size)
        raise PoolsTooLarge(
            f"model {manifest.name} needs {needed / GIB:.3g} GiB for each of its {num_runners} runners "
            f"({config.slots} slots, beams of {widest}, {manifest.max_source_tokens} source "
            f"and {manifest.max_target_tokens} target tokens), and has {share / GIB:.3g} of the "
            f"{pool_bytes / GIB:.3g} GiB for pools: lower --slots, --max-beam-size or --runners, or raise "
            "--pool-gib"
        )
    return share


class ModelMemory:
    """Who has how much of the memory for models; owners are whatever can be a key.

    >>> memory = ModelMemory(MemoryLimits(weights=3 * GIB))
    >>> need = MemoryNeed(weights_bytes=2 * GIB, num_copies=1, num_runners=1)
    >>> memory.take("a", need)
    >>> print(memory.shortage(need))
    needs 2 GiB for its weights, and 1 of the 3 GiB of --model-memory-gib are free
    """

    def __init__(self, limits: MemoryLimits) -> None:
        self._limits = limits
        self._taken: dict[object, MemoryNeed] = {}

    def take(self, owner: object, need: MemoryNeed) -> None:
        """Count what a model has, in place of what it had."""
        self._taken[owner] = need

    def give_back(self, owner: object) -> None:
        """Count no more what it had."""
        self._taken.pop(owner, None)

    def fit_together(self, needs: Iterable[MemoryNeed]) -> bool:
        """Whether models would fit if there were no others."""
        empty = ModelMemory(self._limits)
        for i, need in enumerate(needs):
            if empty.shortage(need) is not None:
                return False
            empty.take(i, need)
        return True

    def require(self, name: str, need: MemoryNeed, without: Collection[object] = ()) -> None:
        """Refuse a model that does not fit.

        Raises:
            ModelMemoryFull: with the figures.
        """
        if (shortage := self.shortage(need, without)) is not None:
            raise ModelMemoryFull(f"model {name} {shortage}")

    def shortage(self, need: MemoryNeed, without: Collection[object] = ()) -> str | None:
        """What is missing for a model, with the figures; None if it fits.

        Args:
            without: Owners whose part is taken as free.
        """
        others = [taken for owner, taken in self._taken.items() if owner not in without]
        weights = sum(other.all_weights_bytes for other in others)
        pools = sum(other.all_pool_bytes for other in others)
        return _shortage(
            "weights", "--model-memory-gib", need.all_weights_bytes, weights, self._limits.weights
        ) or _shortage("pools", "--pool-gib", need.all_pool_bytes, pools, self._limits.pools)


def _shortage(what: str, flag: str, needed: int, taken: int, limit: int | None) -> str | None:
    if limit is None or needed + taken <= limit:
        return None
    free = max(0, limit - taken)
    return (
        f"needs {needed / GIB:.3g} GiB for its {what}, and {free / GIB:.3g} of the {limit / GIB:.3g} GiB of "
        f"{flag} are free"
    )
