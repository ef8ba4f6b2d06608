"""A model's ONNX Runtime sessions on one device."""

from __future__ import annotations

import copy
import ctypes
import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnxruntime

from export.contract.manifest import (
    ATTENTION,
    CANDIDATES,
    COPY_CACHES,
    DECODER_HIDDEN,
    DECODER_STEP,
    ENCODER,
    LOG_PROBS,
    OUTPUT_COLUMNS,
    SHORTLIST_LOGITS,
    Manifest,
)
from model.shortlist.shortlist import Shortlist
from server.engine.sequence import InferenceError

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"


_ERRORS = 3  # a severity of ONNX Runtime's log
_NO_CUDA_GRAPH = -1
_LARGE = frozenset({ENCODER, DECODER_STEP, DECODER_HIDDEN})
# Threads of an operator go on looking for work that long, as long as Python takes from one step to the next;
# by default the encoder's keep the step's from their processor for tens of milliseconds.
_SPIN_MICROSECONDS = 200


class DeviceError(RuntimeError):
    """The device asked for is not there, or the artifact may not run on it."""


@dataclass(frozen=True, kw_only=True)
class SessionConfig:
    """How sessions run.

    Args:
        device: auto, cpu or cuda; auto takes cuda where there is one and the artifact allows it.
        num_threads: Threads inside one operator, on CPU.
        lone_threads: The same while `ModelSession.is_lone`.
        with_shortlist: Score only each sentence's candidates, on CPU; the artifact must have a shortlist.
    """

    device: str = "auto"
    num_threads: int = 1
    lone_threads: int = 1
    with_shortlist: bool = False


class ModelSession:
    """The graphs of one artifact, those that are needed, on one device.

    With more `lone_threads` than `num_threads` the large graphs are loaded twice, weights included; only
    where their products are of integers, so that it changes no bit of a result which of the two runs.

    Attributes:
        is_lone: Whether nobody else needs the processors now: then `lone_threads` run.

    Raises:
        DeviceError: asked for cuda without one, or the artifact does not list the device, or a shortlist was
            asked for that the artifact does not have or the device cannot use.
    """

    def __init__(self, folder: Path, manifest: Manifest, config: SessionConfig) -> None:
        self.manifest = manifest
        self.is_lone = False
        self.provider = CPU
        self._replays = itertools.count(1)
        wants_cuda = config.device == "cuda" or (config.device == "auto" and self._may_use_cuda())
        if config.with_shortlist and (manifest.shortlist is None or wants_cuda):
            missing = "runs on a GPU, where none is used" if manifest.shortlist else "has none"
            raise DeviceError(f"a shortlist was asked for, model {manifest.name} {missing}")
        self.shortlist = Shortlist.load(folder) if config.with_shortlist else None
        self._sessions = {
            name: self._load(folder / info.file, config, _provider(name) if wants_cuda else CPU)
            for name, info in manifest.graphs.items()
            if name in _graphs(config, wants_cuda=wants_cuda)
        }
        self.device = "cuda" if self.provider == CUDA else "cpu"
        self._lone = self._sessions
        is_faster_alone = config.lone_threads > config.num_threads and manifest.multiplies_integers
        if self.device == "cpu" and is_faster_alone:
            alone = replace(config, num_threads=config.lone_threads)
            self._lone = self._sessions | {
                name: self._load(folder / manifest.graphs[name].file, alone, CPU)
                for name in _LARGE & self._sessions.keys()
            }
        if self.device not in manifest.devices:
            raise DeviceError(
                f"model {manifest.name} ({manifest.precision}) runs on {', '.join(manifest.devices)}, "
                f"not on {self.device}"
            )

    def _load(self, path: Path, config: SessionConfig, provider: Any) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = config.num_threads
        options.add_session_config_entry("session.intra_op.spin_duration_us", str(_SPIN_MICROSECONDS))
        options.log_severity_level = _ERRORS
        if provider != CPU:
            onnxruntime.preload_dlls()  # CUDA and cuDNN as Python packages are not on the loader's path
        # The fused SkipLayerNormalization takes 5 times as long on CPU as Add and LayerNormalization.
        session = onnxruntime.InferenceSession(
            str(path),
            options,
            providers=[provider] if provider == CPU else [provider, CPU],
            disabled_optimizers=["SkipLayerNormFusion"],
        )
        self.provider = session.get_providers()[0]  # what it really uses: a missing GPU falls back silently
        if config.device == "cuda" and self.provider != CUDA:
            raise DeviceError(f"device cuda was asked for, ONNX Runtime gives {self.provider}")
        return session

    def _may_use_cuda(self) -> bool:
        return (
            "cuda" in self.manifest.devices
            and CUDA in onnxruntime.get_available_providers()
            and _has_cuda_driver()
        )

    @property
    def can_move_rows(self) -> bool:
        """Whether a sequence can change its row or lane: on a GPU it stays where it joined."""
        return self.device == "cpu"

    @property
    def can_be_lone(self) -> bool:
        """Whether `is_lone` makes a difference."""
        return self._lone is not self._sessions

    def forget_lone(self) -> None:
        """Run alike whether lone or not, and give the memory of the second set back; before `for_engine`."""
        self._lone = self._sessions

    @property
    def _running(self) -> dict[str, onnxruntime.InferenceSession]:
        return self._lone if self.is_lone else self._sessions

    def for_engine(self) -> ModelSession:
        """The same graphs with an `is_lone` of their own."""
        return copy.copy(self)

    def binding(self, graph: str) -> Any:
        """A new IOBinding of a graph, for runs under the present `is_lone`."""
        return self._running[graph].io_binding()

    def new_replay(self) -> int:
        """A number for one binding's CUDA graph."""
        return next(self._replays)

    def _run_options(self, replay: int | None) -> onnxruntime.RunOptions | None:
        if self.device == "cpu":
            return None
        options = onnxruntime.RunOptions()
        options.add_run_config_entry("gpu_graph_id", str(_NO_CUDA_GRAPH if replay is None else replay))
        return options

    def run(self, graph: str, binding: Any, replay: int | None = None) -> None:
        """Run a graph.

        Args:
            replay: From `new_replay`: captured in its first run and replayed in later ones, which must be of
                the same binding.

        Raises:
            InferenceError: ONNX Runtime failed.
        """
        try:
            self._running[graph].run_with_iobinding(binding, self._run_options(replay))
        except Exception as error:  # its exceptions share no base but Exception
            raise InferenceError(_kind(error), f"{graph}: {error}") from error


def _graphs(config: SessionConfig, *, wants_cuda: bool) -> set[str]:
    """What is loaded: a decoder step with its output layer or without, never the weights of both."""
    if config.with_shortlist:
        return {ENCODER, ATTENTION, DECODER_HIDDEN, OUTPUT_COLUMNS, SHORTLIST_LOGITS}
    needed = {ENCODER, ATTENTION, DECODER_STEP, LOG_PROBS, CANDIDATES}
    return needed | {COPY_CACHES} if wants_cuda else needed


def _provider(graph: str) -> tuple[str, dict[str, str]]:
    """Steps replay as CUDA graphs; sources and copies differ in size from run to run."""
    return CUDA, {"enable_cuda_graph": "0" if graph in {ENCODER, COPY_CACHES} else "1"}


def _has_cuda_driver() -> bool:
    """Asked before ONNX Runtime is, which logs errors where there is no GPU."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def _kind(error: Exception) -> str:
    text = str(error).lower()
    if "out of memory" in text or "failed to allocate" in text:
        return "out_of_memory"
    return "cuda" if "cuda" in text else "runtime"
