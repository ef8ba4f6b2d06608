"""A model, from its artifact to a worker that translates."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from export.contract.manifest import ArtifactError, Manifest, load_manifest
from model.text.tokenizer import Tokenizer, TokenizerError
from model.text.tokenizers import load_tokenizer
from server.config import ServerConfig, ServerConfigError
from server.engine.device import DeviceError
from server.engine.engine import Engine
from server.engine.session import ModelSession, SessionConfig, Turn
from server.models.loaded_model import LoadedModel
from server.models.memory import (
    MemoryLimits,
    ModelMemoryFull,
    PoolsTooLarge,
    lone_threads,
    pool_share,
    runners_of,
)
from server.models.served_model import ServedModel
from server.models.warm_up import lone_speedup, self_check, warm_up
from server.telemetry.metrics import Metrics
from server.work.busy_runners import BusyRunners
from server.work.job_queue import QueueRules
from server.work.worker import Worker

log = logging.getLogger("traghetto.models")

_LEAST_LONE_SPEEDUP = 1.2


class ArtifactChanged(ArtifactError):
    """A folder holds another artifact than the one that is served."""


def read_manifest(folder: Path) -> Manifest:
    """What an artifact says of itself, all its files checked; nothing of it is loaded.

    Raises:
        ArtifactError: it is damaged.
    """
    with blaming(folder):
        return load_manifest(folder)


def described_model(
    folder: Path, manifest: Manifest, config: ServerConfig, limits: MemoryLimits
) -> ServedModel:
    """A model as it is served, not in memory yet."""
    return ServedModel(
        folder=folder,
        manifest=manifest,
        sha256=manifest.digest(),
        max_source_tokens=_limit(config.max_source_tokens, manifest.max_source_tokens),
        max_target_tokens=_limit(config.max_target_tokens, manifest.max_target_tokens),
        need=limits.need(manifest, config),
    )


def require_unchanged(model: ServedModel) -> None:
    """Refuse a model whose folder does not hold what it held when its manifest was read.

    Raises:
        ArtifactChanged: it holds another artifact.
        ArtifactError: it is damaged.
    """
    if read_manifest(model.folder).digest() != model.sha256:
        raise ArtifactChanged(f"artifact {model.folder} is another than the server has read: reload it")


def load_model(
    model: ServedModel, config: ServerConfig, metrics: Metrics, busy_runners: BusyRunners, gpu_turn: Turn
) -> LoadedModel:
    """Load, check, warm up and start one artifact whose manifest was just read; it is not in the metrics yet.

    Args:
        gpu_turn: Of the process, for all its models on a GPU, see `ModelSession`.

    Raises:
        ArtifactError: it is damaged, or this machine does not compute what it must.
        ServerConfigError: its shortlist is too small for the beams that a call may ask for.
        DeviceError: it cannot run where it should.
        PoolsTooLarge: its widest lane does not fit into its share of the memory for pools.
    """
    started = time.monotonic()
    folder, manifest = model.folder, model.manifest
    with blaming(folder):
        tokenizer = _load_tokenizer(folder, manifest)
        session = _open_session(model, config, gpu_turn)
    with blaming(folder), ExitStack() as unused:
        unused.callback(session.close)  # unless all goes well: nobody else will, in its turn
        worker = Worker(
            manifest.name,
            _engines(session, config, model.need.pool_bytes),
            metrics,
            config.max_queue,
            busy_runners,
            partial(self_check, manifest=manifest),
            prepare=partial(_prepare, session=session, config=config),
            rules=QueueRules(takes_late=config.queue_late_calls, weights=config.weights_of_clients),
        )
        loaded_at = time.monotonic()
        worker.start()
        unused.pop_all()
    ready = time.monotonic()
    loaded = LoadedModel(
        tokenizer=tokenizer,
        session=session,
        worker=worker,
        provider=session.provider,
        load_seconds=ready - started,
        warm_up_seconds=ready - loaded_at,
    )
    _log_loaded(model, loaded)
    return loaded


UNSERVABLE = (ArtifactError, ServerConfigError, DeviceError, ModelMemoryFull, PoolsTooLarge, TokenizerError)


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


def _open_session(model: ServedModel, config: ServerConfig, gpu_turn: Turn) -> ModelSession:
    """Its graphs in ONNX Runtime, with more threads for a text alone where that is faster."""
    session = ModelSession.load(
        model.folder,
        model.manifest,
        SessionConfig(
            device=config.device,
            num_threads=config.threads,
            num_exclusive_threads=lone_threads(config),
            with_shortlist=_uses_shortlist(model.manifest, config),
        ),
        gpu_turn,
    )
    _check_candidates(session, config)
    if model.need.pool_bytes is None:
        pool_share(session.manifest, config, session.device)  # before the first engine takes any
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


def _log_loaded(model: ServedModel, loaded: LoadedModel) -> None:
    log.info(
        "model %s: %s, %s, %s, loaded in %.2f s, %.2f of them to warm up, sha256 %s",
        model.name,
        model.manifest.architecture,
        model.manifest.precision,
        loaded.provider,
        loaded.load_seconds,
        loaded.warm_up_seconds,
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


def _engines(session: ModelSession, config: ServerConfig, pool_bytes: int | None = None) -> list[Engine]:
    """An engine for each runner, each with its part of the memory for pools, by default an equal one."""
    share = pool_share(session.manifest, config, session.device) if pool_bytes is None else pool_bytes
    return [Engine(session, config.slots, share) for _ in range(runners_of(session.device, config))]
