"""The models that a server has loaded, and which of them serves a language pair."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from export.contract.manifest import ArtifactError, Manifest, load_manifest
from model.text.tokenizer import Tokenizer
from model.text.tokenizers import load_tokenizer
from server.config import ConfigError, ServerConfig
from server.engine.engine import Engine
from server.engine.lane import largest_lane_bytes
from server.engine.session import ModelSession, SessionConfig
from server.errors import NotServed, shown
from server.models.machine import available_bytes, num_processors
from server.models.warm_up import lone_speedup, self_check, warm_up
from server.telemetry.metrics import Metrics
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
    """

    manifest: Manifest
    sha256: str
    tokenizer: Tokenizer
    worker: Worker
    max_source_tokens: int
    max_target_tokens: int
    provider: str
    load_seconds: float
    _num_calls: int = 0
    _is_idle: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._is_idle.set()

    @property
    def name(self) -> str:
        """Its name."""
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
        await asyncio.to_thread(self.worker.stop)


class PoolsTooLarge(RuntimeError):
    """The memory for pools does not hold what requests may ask for."""


def load_model(folder: Path, config: ServerConfig, metrics: Metrics) -> LoadedModel:
    """Load, check, warm up and start one artifact; it is not in the metrics yet.

    Raises:
        ArtifactError: it is damaged, or this machine does not compute what it must.
        ConfigError: its shortlist is too small for the beams that a call may ask for.
        DeviceError: it cannot run where it should.
        PoolsTooLarge: its widest lane does not fit into its share of the memory for pools.
    """
    started = time.monotonic()
    manifest = load_manifest(folder)
    session = ModelSession(
        folder,
        manifest,
        SessionConfig(
            device=config.device,
            num_threads=config.threads,
            lone_threads=config.lone_threads or min(_LONE_THREADS, num_processors()),
            with_shortlist=_uses_shortlist(manifest, config),
        ),
    )
    _check_candidates(session, config)
    if session.can_be_lone and not config.lone_threads and not _is_faster_lone(session):
        session.forget_lone()
    engines = _engines(session, config)
    for engine in engines:
        for is_lone in (False, True) if session.can_be_lone else (False,):
            engine.set_lone(is_lone)
            self_check(engine, manifest)
            warm_up(engine, manifest, config.max_beam_size, by_rows=session.device == "cuda")
    tokenizer = load_tokenizer(folder)
    worker = Worker(manifest.name, engines, metrics, config.max_queue)
    worker.start()
    seconds = time.monotonic() - started
    digest = manifest.digest()
    log.info(
        "model %s: %s, %s, %s, loaded in %.2f s, sha256 %s",
        manifest.name,
        manifest.architecture,
        manifest.precision,
        session.provider,
        seconds,
        digest,
    )
    return LoadedModel(
        manifest=manifest,
        sha256=digest,
        tokenizer=tokenizer,
        worker=worker,
        provider=session.provider,
        load_seconds=seconds,
        max_source_tokens=min(
            config.max_source_tokens or manifest.max_source_tokens, manifest.max_source_tokens
        ),
        max_target_tokens=min(
            config.max_target_tokens or manifest.max_target_tokens, manifest.max_target_tokens
        ),
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
        ConfigError: there may be fewer.
    """
    if session.shortlist is None or session.shortlist.fewest_candidates >= 2 * config.max_beam_size:
        return
    raise ConfigError(
        f"--max-beam-size {config.max_beam_size} with --shortlist needs {2 * config.max_beam_size} "
        f"candidates for every sentence, the shortlist of model {session.manifest.name} promises "
        f"{session.shortlist.fewest_candidates}: lower the one or leave out the other"
    )


def _engines(session: ModelSession, config: ServerConfig) -> list[Engine]:
    """An engine for each runner, with an equal part of the memory for pools."""
    manifest = session.manifest
    num_runners = (config.runners or num_processors()) if session.device == "cpu" else 1
    most = int(config.pool_gib * GIB) or available_bytes() * 3 // 4
    share = most // (len(config.artifacts) * num_runners)
    widest = max(config.max_beam_size, manifest.self_check.beam_size)
    needed = largest_lane_bytes(manifest, config.slots, widest)
    if needed > share:
        raise PoolsTooLarge(
            f"model {manifest.name} needs {needed / GIB:.3g} GiB for each of its {num_runners} runners "
            f"({config.slots} slots, beams of {widest}, {manifest.max_source_tokens} source "
            f"and {manifest.max_target_tokens} target tokens), and has {share / GIB:.3g} of the "
            f"{most / GIB:.3g} GiB for pools: lower --slots, --max-beam-size or --runners, or raise "
            "--pool-gib"
        )
    return [Engine(session, config.slots, share) for _ in range(num_runners)]


class Models:
    """Loaded models by name; for a pair the first that serves it.

    Raises:
        ArtifactError: two have the same name.
    """

    def __init__(self, models: list[LoadedModel]) -> None:
        self._by_name = {model.name: model for model in models}
        if len(self._by_name) < len(models):
            raise ArtifactError(f"two artifacts share a name: {', '.join(sorted(m.name for m in models))}")
        self._by_pair: dict[tuple[str, str], LoadedModel] = {}
        for model in models:
            for source, target in model.manifest.language_pairs:
                self._by_pair.setdefault((source.lower(), target.lower()), model)

    def __iter__(self) -> Iterator[LoadedModel]:
        return iter(sorted(self._by_name.values(), key=lambda model: model.name))

    @property
    def in_order(self) -> list[LoadedModel]:
        """In order of preference."""
        return list(self._by_name.values())

    def find(
        self, name: str, source_language: str, target_language: str
    ) -> tuple[LoadedModel, tuple[str, str]]:
        """The model for a pair, and the pair as the model spells it.

        Raises:
            NotServed: no such model or pair; names what is served.
        """
        if name and name not in self._by_name:
            served = ", ".join(sorted(self._by_name))
            raise NotServed("model", shown(name), f"no model {shown(name)}; served: {served}")
        pair = (source_language.lower(), target_language.lower())
        model = self._by_name[name] if name else self._by_pair.get(pair)
        if model is not None:
            for a, b in model.manifest.language_pairs:
                if (a.lower(), b.lower()) == pair:
                    return model, (a, b)
        asked = shown(f"{source_language}-{target_language}")
        by = f" by model {name!r}" if name else ""
        raise NotServed(
            "language_pair", asked, f"the pair {asked} is not served{by}; served: {self._pairs(name)}"
        )

    def _pairs(self, name: str) -> str:
        models = [self._by_name[name]] if name else self.in_order
        return ", ".join(sorted({f"{a}-{b}" for m in models for a, b in m.manifest.language_pairs}))
