"""An artifact's graph as a session of ONNX Runtime, wherever its weights lie."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnxruntime

from export.contract.manifest import WEIGHTS_NAME, ArtifactError
from server.engine.device import Provider


def open_graph(
    path: Path, options: onnxruntime.SessionOptions, providers: list[Provider]
) -> onnxruntime.InferenceSession:
    """Load a graph, with its weights from the file beside it.

    Raises:
        ArtifactError: ONNX Runtime does not take it.
    """
    try:
        with _weights_beside(path, options):
            # The fused SkipLayerNormalization takes 5 times as long on CPU as Add and LayerNormalization.
            return onnxruntime.InferenceSession(
                str(path), options, providers=providers, disabled_optimizers=["SkipLayerNormFusion"]
            )
    except Exception as error:  # its exceptions share no base but Exception
        raise ArtifactError(f"{path} cannot be loaded: {' '.join(str(error).split())}") from error


@contextmanager
def _weights_beside(path: Path, options: onnxruntime.SessionOptions) -> Iterator[None]:
    """Hand over weights that a link leads to: ONNX Runtime takes none that lie elsewhere than the graph.

    It copies what it needs of them, where it would else map the file: so this is for links alone.
    """
    weights = path.with_name(WEIGHTS_NAME)
    if weights.resolve().parent == path.resolve().parent:
        yield
        return
    with weights.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        options.add_external_initializers_from_files_in_memory([WEIGHTS_NAME], [content], [len(content)])
        yield
