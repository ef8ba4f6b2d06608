"""How one engine runs its model's graphs, and in which threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import onnxruntime

from server.engine.sequence import InferenceError
from server.engine.session import ModelSession

_NO_CUDA_GRAPH = -1


class GraphRunner:
    """Runs graphs in those of a session's two sets that suit the moment, see `ModelSession.exclusive_graphs`.

    Attributes:
        session: What was loaded, shared with other engines.
        is_exclusive: Whether the exclusive graphs run; a binding is of the graphs that ran when it was made.
    """

    def __init__(self, session: ModelSession) -> None:
        self.session = session
        self._graphs = session.graphs
        self.is_exclusive = False

    def set_exclusive(self, is_exclusive: bool) -> None:  # noqa: FBT001 - what it sets
        """Say whether the engine has all processors to itself; without exclusive graphs nothing changes."""
        exclusive_graphs = self.session.exclusive_graphs
        self.is_exclusive = is_exclusive and exclusive_graphs is not None
        self._graphs = exclusive_graphs if is_exclusive and exclusive_graphs else self.session.graphs

    def binding(self, graph: str) -> Any:
        """A new IOBinding of a graph, for runs under the present `is_exclusive`."""
        return self._graphs[graph].io_binding()

    def new_replay(self) -> int:
        """A number for one binding's CUDA graph, which belongs to the thread that captures it."""
        return next(self.session.replay_numbers)

    def release(self, graph: str, replay: int) -> None:
        """Give up what a graph has captured under a number, in the thread that captured it.

        Raises:
            InferenceError: ONNX Runtime failed.
        """
        with device_errors(graph):
            self._graphs[graph].release_captured_graph(replay)

    def run(self, graph: str, binding: Any, replay: int | None = None, *, waits: bool = True) -> None:
        """Run a graph.

        Args:
            replay: From `new_replay`: captured in its first run and replayed in later ones, which must be of
                the same binding.
            waits: Whether it is done on return; else on a GPU only after `Gpu.wait`.

        Raises:
            InferenceError: ONNX Runtime failed.
        """
        options = None if self.session.device == "cpu" else _run_options(replay, waits)
        try:
            self._graphs[graph].run_with_iobinding(binding, options)
        except Exception as error:  # its exceptions share no base but Exception
            raise InferenceError(_kind(error), f"{graph}: {error}") from error


@contextmanager
def device_errors(what: str) -> Iterator[None]:
    """Whatever ONNX Runtime raises within becomes an InferenceError that says what was done.

    >>> with device_errors("copying scores"):
    ...     raise RuntimeError("CUDA failure 2: out of memory")
    Traceback (most recent call last):
    ...
    server.engine.sequence.InferenceError: copying scores: CUDA failure 2: out of memory
    """
    try:
        yield
    except Exception as error:  # its exceptions share no base but Exception
        raise InferenceError(_kind(error), f"{what}: {error}") from error


@lru_cache(maxsize=4096)
def _run_options(replay: int | None, waits: bool) -> onnxruntime.RunOptions:  # noqa: FBT001 - of `run`
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("disable_synchronize_execution_providers", "0" if waits else "1")
    options.add_run_config_entry("gpu_graph_id", str(_NO_CUDA_GRAPH if replay is None else replay))
    return options


def _kind(error: Exception) -> str:
    """A fault as metrics count it.

    >>> _kind(RuntimeError("Failed to allocate memory for requested buffer"))
    'out_of_memory'
    """
    text = str(error).lower()
    if "out of memory" in text or "failed to allocate" in text:
        return "out_of_memory"
    return "cuda" if "cuda" in text else "runtime"
