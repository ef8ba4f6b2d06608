"""A model's graphs, loaded on one device."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import onnxruntime

from export.contract.graph_names import GraphName
from export.contract.manifest import ArtifactError, Manifest
from model.shortlist.shortlist import Shortlist, ShortlistError
from server.engine.device import CUDA, DeviceError, check_device, choose_device, providers_of
from server.engine.gpu import Gpu, GpuError, first_gpu
from server.engine.graph_check import Graphs, check_graphs
from server.engine.graph_files import open_graph

_ERRORS = 3  # a severity of ONNX Runtime's log
_LARGE = frozenset({GraphName.ENCODER, GraphName.DECODER_STEP, GraphName.DECODER_HIDDEN})
# Threads of an operator go on looking for work that long, as long as Python takes from one step to the next;
# by default the encoder's keep the step's from their processor for tens of milliseconds.
_SPIN_MICROSECONDS = 200

Turn = AbstractContextManager[Any]


@dataclass(frozen=True, kw_only=True)
class SessionConfig:
    """How graphs are loaded.

    Args:
        device: auto, cpu or cuda; auto takes cuda where there is one and the artifact allows it.
        num_threads: Threads inside one operator, on CPU.
        num_exclusive_threads: Threads inside one operator while an engine has all processors to itself.
        with_shortlist: Score only each sentence's candidates, on CPU; the artifact must have a shortlist.
    """

    device: str = "auto"
    num_threads: int = 1
    num_exclusive_threads: int = 1
    with_shortlist: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelSession:
    """The graphs of one artifact, those that are needed, on one device; engines share it.

    Args:
        device: cpu or cuda, the one that ONNX Runtime really uses.
        provider: Of ONNX Runtime, of all graphs.
        shortlist: Names the tokens to score; None to score the whole vocabulary.
        graphs: By name.
        exclusive_graphs: The same with more threads in the large ones, for an engine that has the processors
            to itself. They hold the weights once more; there are none unless the products are of integers,
            where it changes no bit of a result which graphs run.
        gpu: Where `device` is cuda; all sessions run in its one stream.
        turn: Held by whoever uses the device. While a thread of a process captures a CUDA graph, another's
            allocation or copy may fail and spoil the capture: so all sessions on a GPU share one lock.
        replay_numbers: One for each CUDA graph that any engine captures, by which ONNX Runtime knows it.
    """

    manifest: Manifest
    device: str
    provider: str
    shortlist: Shortlist | None
    graphs: Graphs
    exclusive_graphs: Graphs | None
    gpu: Gpu | None = None
    turn: Turn = field(default_factory=nullcontext)
    replay_numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @classmethod
    def load(
        cls, folder: Path, manifest: Manifest, config: SessionConfig, gpu_turn: Turn | None = None
    ) -> ModelSession:
        """Choose the device, and load an artifact there.

        Args:
            gpu_turn: The `turn` of all sessions of the process that are on a GPU.

        Raises:
            ArtifactError: a graph or the shortlist cannot be read, or is another than the manifest says.
            DeviceError: cuda was asked for and is not there, or the artifact does not list the device, or a
                shortlist was asked for that the artifact does not have or the device cannot use.
        """
        device = choose_device(config.device, manifest)
        _check_shortlist(device, manifest, config)
        turn: Turn = nullcontext() if device == "cpu" or gpu_turn is None else gpu_turn
        with turn:
            graphs = _load_graphs(folder, manifest, device, _needed_graphs(device, config), config)
        check_graphs(manifest, graphs)
        provider = next(iter(graphs.values())).get_providers()[0]
        if device == "cuda" and provider != CUDA:  # ONNX Runtime falls back silently
            if config.device == "cuda":
                raise DeviceError(f"device cuda was asked for, ONNX Runtime gives {provider}")
            return cls.load(folder, manifest, replace(config, device="cpu"))
        check_device(device, manifest)
        return cls(
            manifest=manifest,
            device=device,
            provider=provider,
            shortlist=_load_shortlist(folder, manifest) if config.with_shortlist else None,
            graphs=graphs,
            exclusive_graphs=_load_exclusive_graphs(folder, manifest, device, graphs, config),
            gpu=_gpu(device),
            turn=turn,
        )

    def close(self) -> None:
        """Give back the graphs, in turn: to free memory may spoil a capture as well. No run may follow."""
        with self.turn:
            self.graphs.clear()
            if self.exclusive_graphs is not None:
                self.exclusive_graphs.clear()

    def without_exclusive_graphs(self) -> ModelSession:
        """This session for a machine on which more threads are not faster; saves their weights' memory."""
        return replace(self, exclusive_graphs=None)

    @property
    def can_move_rows(self) -> bool:
        """Whether a sequence can change its row or lane: on a GPU it stays where it joined."""
        return self.device == "cpu"


def _check_shortlist(device: str, manifest: Manifest, config: SessionConfig) -> None:
    if config.with_shortlist and (manifest.shortlist is None or device == "cuda"):
        fault = "runs on a GPU, where none is used" if manifest.shortlist else "has none"
        raise DeviceError(f"a shortlist was asked for, model {manifest.name} {fault}")


def _load_shortlist(folder: Path, manifest: Manifest) -> Shortlist:
    try:
        shortlist = Shortlist.load(folder)
    except ShortlistError as error:
        raise ArtifactError(str(error)) from error
    if shortlist.vocabulary_size != manifest.vocabulary_size:
        raise ArtifactError(
            f"the shortlist of model {manifest.name} is of {shortlist.vocabulary_size} tokens, the "
            f"vocabulary_size is {manifest.vocabulary_size}"
        )
    return shortlist


def _needed_graphs(device: str, config: SessionConfig) -> frozenset[str]:
    """What is loaded: a decoder step with its output layer or without, never the weights of both."""
    if config.with_shortlist:
        return frozenset(
            {
                GraphName.ENCODER,
                GraphName.ATTENTION,
                GraphName.DECODER_HIDDEN,
                GraphName.OUTPUT_COLUMNS,
                GraphName.SHORTLIST_LOGITS,
            }
        )
    needed = frozenset(
        {
            GraphName.ENCODER,
            GraphName.ATTENTION,
            GraphName.DECODER_STEP,
            GraphName.LOG_PROBS,
            GraphName.CANDIDATES,
        }
    )
    return needed | {GraphName.COPY_CACHES} if device == "cuda" else needed


def _gpu(device: str) -> Gpu | None:
    """The GPU that graphs are loaded on; None where there is none, of which ONNX Runtime then tells."""
    try:
        return first_gpu() if device == "cuda" else None
    except (GpuError, OSError):
        return None


def _load_exclusive_graphs(
    folder: Path, manifest: Manifest, device: str, graphs: Graphs, config: SessionConfig
) -> Graphs | None:
    num_threads = config.num_exclusive_threads
    if device != "cpu" or num_threads <= config.num_threads or not manifest.multiplies_integers:
        return None
    exclusive = replace(config, num_threads=num_threads)
    return {**graphs, **_load_graphs(folder, manifest, device, _LARGE & graphs.keys(), exclusive)}


def _load_graphs(
    folder: Path, manifest: Manifest, device: str, names: Iterable[str], config: SessionConfig
) -> Graphs:
    """Those of the graphs named that the artifact has."""
    if device == "cuda":
        onnxruntime.preload_dlls()  # CUDA and cuDNN as Python packages are not on the loader's path
    return {
        name: _load_graph(folder / manifest.graphs[name].file, device, name, config)
        for name in names
        if name in manifest.graphs
    }


def _load_graph(path: Path, device: str, name: str, config: SessionConfig) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = config.num_threads
    options.add_session_config_entry("session.intra_op.spin_duration_us", str(_SPIN_MICROSECONDS))
    options.log_severity_level = _ERRORS
    return open_graph(path, options, providers_of(device, name, _gpu(device)))
