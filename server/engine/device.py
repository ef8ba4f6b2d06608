"""Where a model runs: the choice between CPU and GPU, and what ONNX Runtime is told of it."""

from __future__ import annotations

import ctypes

import onnxruntime

from export.contract.graph_names import GraphName
from export.contract.manifest import Manifest
from server.engine.gpu import Gpu

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"

Provider = str | tuple[str, dict[str, str]]

# ONNX Runtime's bits for Flash (1), memory-efficient (2) and plain (16) attention, without cuDNN's (8): that
# builds a plan for each number of rows, and is not what cards before Hopper run.
_ATTENTION_KERNELS = str(1 | 2 | 16)


class DeviceError(RuntimeError):
    """The device asked for is not there, or the artifact may not run on it."""


def choose_device(requested: str, manifest: Manifest) -> str:
    """The device to load an artifact on, "cpu" or "cuda".

    Args:
        requested: auto, cpu or cuda; auto takes cuda where there is one and the artifact allows it.
    """
    if requested != "auto":
        return requested
    may_use_cuda = (
        "cuda" in manifest.devices
        and not _reads_padded_lengths(manifest)
        and CUDA in onnxruntime.get_available_providers()
        and _has_cuda_driver()
    )
    return "cuda" if may_use_cuda else "cpu"


def check_device(device: str, manifest: Manifest) -> None:
    """Refuse a device that the artifact was not proven on.

    Raises:
        DeviceError: the manifest does not list it, or the artifact is of a version that was wrong there.
    """
    if device not in manifest.devices:
        raise DeviceError(
            f"model {manifest.name} ({manifest.precision}) runs on {', '.join(manifest.devices)}, "
            f"not on {device}"
        )
    if device == "cuda" and _reads_padded_lengths(manifest):
        raise DeviceError(
            f"model {manifest.name} ({manifest.precision}) was exported by a version whose attention reads "
            "wrong source lengths on a GPU: export it again, or serve it with --device cpu"
        )


def _reads_padded_lengths(manifest: Manifest) -> bool:
    """Whether steps attend to the source by the operator for CPUs, which has its memory as outputs."""
    memory = {f"{spec.name}_out" for spec in manifest.memory}
    return any(spec.name in memory for spec in manifest.graphs[GraphName.DECODER_STEP].outputs)


def providers_of(device: str, graph: str, gpu: Gpu | None = None) -> list[Provider]:
    """What ONNX Runtime may run a graph with, the best first.

    On a GPU steps replay as CUDA graphs; sources and copies differ in size from run to run.

    Args:
        gpu: Whose stream everything runs in; None for a stream of ONNX Runtime's own.

    >>> providers_of("cpu", "encoder")
    ['CPUExecutionProvider']
    """
    if device == "cpu":
        return [CPU]
    has_fixed_size = graph not in {GraphName.ENCODER, GraphName.COPY_CACHES}
    options = {"enable_cuda_graph": "1" if has_fixed_size else "0", "sdpa_kernel": _ATTENTION_KERNELS}
    if gpu is not None:
        options["user_compute_stream"] = str(gpu.stream)
    return [(CUDA, options), CPU]


def _has_cuda_driver() -> bool:
    """Asked before ONNX Runtime is, which logs errors where there is no GPU."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True
