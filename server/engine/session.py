"""A model's ONNX Runtime sessions on one device."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime

from export.manifest import BEAM, ENCODER, GREEDY, Manifest
from server.engine.sequence import InferenceError

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"


_ERRORS = 3  # a severity of ONNX Runtime's log


class DeviceError(RuntimeError):
    """The device asked for is not there, or the artifact may not run on it."""


@dataclass(frozen=True, kw_only=True)
class SessionConfig:
    """How sessions run.

    Args:
        device: auto, cpu or cuda; auto takes cuda where there is one and the artifact allows it.
        num_threads: Threads inside one operator, on CPU.
    """

    device: str = "auto"
    num_threads: int = 1


class ModelSession:
    """The encoder and the two decoder steps of one artifact, on one device.

    Raises:
        DeviceError: asked for cuda without one, or the artifact does not list the device.
    """

    def __init__(self, folder: Path, manifest: Manifest, config: SessionConfig) -> None:
        self.manifest = manifest
        self.provider = CPU
        wants_cuda = config.device == "cuda" or (config.device == "auto" and self._may_use_cuda())
        self._sessions = {
            name: self._load(folder / manifest.graphs[name].file, config, wants_cuda=wants_cuda)
            for name in (ENCODER, GREEDY, BEAM)
        }
        self.device = "cuda" if self.provider == CUDA else "cpu"
        if self.device not in manifest.devices:
            raise DeviceError(
                f"model {manifest.name} ({manifest.precision}) runs on {', '.join(manifest.devices)}, "
                f"not on {self.device}"
            )

    def _load(self, path: Path, config: SessionConfig, *, wants_cuda: bool) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = config.num_threads
        options.log_severity_level = _ERRORS
        if wants_cuda:
            onnxruntime.preload_dlls()  # CUDA and cuDNN as Python packages are not on the loader's path
        # The fused SkipLayerNormalization takes 5 times as long on CPU as Add and LayerNormalization.
        session = onnxruntime.InferenceSession(
            str(path),
            options,
            providers=[CUDA, CPU] if wants_cuda else [CPU],
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

    def binding(self, graph: str) -> Any:
        """A new IOBinding of a graph."""
        return self._sessions[graph].io_binding()

    def run(self, graph: str, binding: Any) -> None:
        """Run a graph.

        Raises:
            InferenceError: ONNX Runtime failed.
        """
        try:
            self._sessions[graph].run_with_iobinding(binding)
        except Exception as error:  # its exceptions share no base but Exception
            raise InferenceError(_kind(error), f"{graph}: {error}") from error


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
