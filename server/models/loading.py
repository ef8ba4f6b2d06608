"""A model, from its artifact to a worker that translates."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from export.contract.manifest import ArtifactError, Manifest, load_manifest
from model.text.tokenizer import Tokenizer, TokenizerError
from model.text.tokenizers import load_tokenizer
from server.config import ServerConfig, ServerConfigError
from server.engine.device import DeviceError
from server.engine.engine import Engine
from server.engine.lane import largest_lane_bytes
from server.engine.session import ModelSession, SessionConfig, Turn
from server.models.machine import available_bytes, free_gpu_bytes, num_processors
from server.models.warm_up import lone_speedup, self_check, warm_up
from server.telemetry.metrics import Metrics
from server.work.busy_runners import BusyRunners
from server.work.job_queue import QueueRules
from server.work.worker import Worker

log = logging.getLogger("traghetto.models")

_LONE_THREADS = 2
_LEAST_LONE_SPEEDUP = 1.2
GIB = 1 << 30


@dataclass(kw_only=True, eq=False)
class LoadedModel:
    """A model that is ready to translate.

    Args:
        provider: Of ONNX Runtime, the one that it really runs on.
        load_seconds: Until it was ready.
        warm_up_seconds: That it took of these to check itself and to warm up.
    """

    manifest: Manifest
    sha256: str
    tokenizer: Tokenizer
    session: ModelSession
    worker: Worker
    max_source_tokens: int
    max_target_tokens: int
    provider: str
    load_seconds: float
    warm_up_seconds: float
    _num_calls: int = 0
    _is_idle: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._is_idle.set()

    @property
    def name(self) -> str:
        """The name that its manifest gives it."""
        return self.manifest.name

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """For as long as a call needs it; of the event loop's thread alone."""
        self._num_calls += 1
        self._is_idle.clear()
        try:
            yield
        finally:
            self._num_calls -= 1
            if not self._num_calls:
                self._is_idle.set()

    async def retire(self) -> None:
        """Stop its worker once no call needs it."""
        await self._is_idle.wait()
        await asyncio.to_thread(self.stop)

    def stop(self) -> None:
        """End its worker, and give back its graphs."""
        self.worker.stop()
        self.session.close()


class PoolsTooLarge(RuntimeError):
    """The memory for pools does not hold what requests may ask for."""


def load_model(
    folder: Path, config: ServerConfig, metrics: Metrics, busy_runners: BusyRunners, gpu_turn: Turn
) -> LoadedModel:
    """Load, check, warm up and start one artifact; it is not in the metrics yet.

    Args:
        gpu_turn: Of the process, for all its models on a GPU, see `ModelSession`.

    Raises:
        ArtifactError: it is damaged, or this machine does not compute what it must.
        ServerConfigError: its shortlist is too small for the beams that a call may ask for.
        DeviceError: it cannot run where it should.
        PoolsTooLarge: its widest lane does not fit into its share of the memory for pools.
    """
    started = time.monotonic()
    with blaming(folder):
        manifest = load_manifest(folder)
        tokenizer = _load_tokenizer(folder, manifest)
        session = _open_session(folder, manifest, config, gpu_turn)
    with blaming(folder), ExitStack() as unused:
        unused.callback(session.close)  # unless all goes well: nobody else will, in its turn
        worker = Worker(
            manifest.name,
            _engines(session, config),
            metrics,
            config.max_queue,
            busy_runners,
            partial(self_check, manifest=manifest),
            prepare=partial(_prepare, session=session, config=config),
            rules=QueueRules(takes_late=config.queue_late_calls, weights=config.weights_of_clients),
        )
        loaded = time.monotonic()
        worker.start()
        unused.pop_all()
    ready = time.monotonic()
    model = LoadedModel(
        manifest=manifest,
        sha256=manifest.digest(),
        tokenizer=tokenizer,
        session=session,
        worker=worker,
        provider=session.provider,
        load_seconds=ready - started,
        warm_up_seconds=ready - loaded,
        max_source_tokens=_limit(config.max_source_tokens, manifest.max_source_tokens),
        max_target_tokens=_limit(config.max_target_tokens, manifest.max_target_tokens),
    )
    _log_loaded(model)
    return model


UNSERVABLE = (ArtifactError, ServerConfigError, DeviceError, PoolsTooLarge, TokenizerError)


@contextmanager
def blaming(folder: Path) -> Iterator[None]:
    """Whatever else goes wrong with an artifact is a fault of it, and told in one line: old models go on."""
    try:
        yield
    except UNSERVABLE:
        raise
    except Exception as error:
        log.debug("artifact %s cannot be loaded", folder, exc_info=True)
        fault = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ArtifactError(f"artifact {folder} cannot be loaded: {fault}") from error


def _load_tokenizer(folder: Path, manifest: Manifest) -> Tokenizer:
    """The tokenizer of an artifact, if it makes the ids that the manifest speaks of.

    Raises:
        ArtifactError: it does not, or has no way to say what language to translate into.
        TokenizerError: it is damaged.
    """
    tokenizer = load_tokenizer(folder)
    facts = (
        ("vocabulary_size", tokenizer.size, manifest.vocabulary_size),
        ("special_ids", tokenizer.special_ids, manifest.special_ids),
    )
    faults = [f"the tokenizer has {name} {a}, the manifest {b}" for name, a, b in facts if a != b]
    if (largest := max(manifest.self_check.source)) >= tokenizer.source_size:
        size = tokenizer.source_size
        faults.append(f"self_check.source has id {largest}, the tokenizer has {size} pieces of sources")
    for source, target in manifest.language_pairs:
        try:
            tokenizer.encode_source("", target, source_language=source)
        except TokenizerError as error:
            faults.append(f"the pair {source}-{target}: {error}")
    if faults:
        raise ArtifactError(f"artifact {folder} is damaged: " + "; ".join(faults))
    return tokenizer


def _open_session(folder: Path, manifest: Manifest, config: ServerConfig, gpu_turn: Turn) -> ModelSession:
    """Its graphs in ONNX Runtime, with more threads for a text alone where that is faster."""
    session = ModelSession.load(
        folder,
        manifest,
        SessionConfig(
            device=config.device,
            num_threads=config.threads,
            num_exclusive_threads=config.lone_threads or min(_LONE_THREADS, num_processors()),
            with_shortlist=_uses_shortlist(manifest, config),
        ),
        gpu_turn,
    )
    _check_candidates(session, config)
    _pool_share(session, config)  # before the first engine takes any
    if session.exclusive_graphs and not config.lone_threads and not _is_faster_lone(session):
        return session.without_exclusive_graphs()
    return session


def _prepare(engine: Engine, session: ModelSession, config: ServerConfig) -> None:
    """Let an engine repeat the artifact's translations and run each kind of step.

    Raises:
        ArtifactError: one fails, or differs.
    """
    for is_exclusive in (False, True) if session.exclusive_graphs else (False,):
        engine.set_exclusive(is_exclusive)
        self_check(engine, session.manifest)
        warm_up(engine, session.manifest, config.max_beam_size, by_rows=session.device == "cuda")


def _limit(limit: int | None, model_limit: int) -> int:
    """The server's limit, if it has one, within the model's own."""
    return model_limit if limit is None else min(limit, model_limit)


def _log_loaded(model: LoadedModel) -> None:
    log.info(
        "model %s: %s, %s, %s, loaded in %.2f s, %.2f of them to warm up, sha256 %s",
        model.name,
        model.manifest.architecture,
        model.manifest.precision,
        model.provider,
        model.load_seconds,
        model.warm_up_seconds,
        model.sha256,
    )


def _uses_shortlist(manifest: Manifest, config: ServerConfig) -> bool:
    if config.shortlist and manifest.shortlist is None:
        log.info("model %s has no shortlist: it scores its whole vocabulary", manifest.name)
    return config.shortlist and manifest.shortlist is not None


def _is_faster_lone(session: ModelSession) -> bool:
    """Whether more threads for a text alone are worth the memory: measured, for it depends on the machine."""
    speedup = lone_speedup(Engine(session, num_slots=1), session.manifest)
    log.info("model %s: a text alone is %.2f times as fast in more threads", session.manifest.name, speedup)
    return speedup >= _LEAST_LONE_SPEEDUP


def _check_candidates(session: ModelSession, config: ServerConfig) -> None:
    """A beam of W reads the 2W best candidates of a sentence.

    Raises:
        ServerConfigError: there may be fewer.
    """
    if session.shortlist is None or session.shortlist.fewest_candidates >= 2 * config.max_beam_size:
        return
    raise ServerConfigError(
        f"--max-beam-size {config.max_beam_size} with --shortlist needs {2 * config.max_beam_size} "
        f"candidates for every sentence, the shortlist of model {session.manifest.name} promises "
        f"{session.shortlist.fewest_candidates}: lower the one or leave out the other"
    )


def _engines(session: ModelSession, config: ServerConfig) -> list[Engine]:
    """An engine for each runner, with an equal part of the memory for pools."""
    num_runners = _num_runners(session, config)
    share = _pool_share(session, config)
    return [Engine(session, config.slots, share) for _ in range(num_runners)]


def _num_runners(session: ModelSession, config: ServerConfig) -> int:
    return (config.runners or num_processors()) if session.device == "cpu" else 1


def _pool_share(session: ModelSession, config: ServerConfig) -> int:
    """Bytes of pools for each runner, reckoned before any is taken.

    Raises:
        PoolsTooLarge: a lane that requests may need does not fit.
    """
    manifest = session.manifest
    num_runners = _num_runners(session, config)
    on_gpu = session.device == "cuda"
    available = free_gpu_bytes if on_gpu else available_bytes
    pool_bytes = available() * 3 // 4 if config.pool_gib is None else int(config.pool_gib * GIB)
    share = pool_bytes // (len(config.artifacts) * num_runners)
    widest = max(config.max_beam_size, manifest.self_check.beam_size)
    needed = largest_lane_bytes(manifest, config.slots, widest, with_outputs=on_gpu)
    if needed > share:
        raise PoolsTooLarge(
            f"model {manifest.name} needs {needed / GIB:.3g} GiB for each of its {num_runners} runners "
            f"({config.slots} slots, beams of {widest}, {manifest.max_source_tokens} source "
            f"and {manifest.max_target_tokens} target tokens), and has {share / GIB:.3g} of the "
            f"{pool_bytes / GIB:.3g} GiB for pools: lower --slots, --max-beam-size or --runners, or raise "
            "--pool-gib"
        )
    return share
