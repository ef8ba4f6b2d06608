"""What a process ends with when a model serves no more."""

from __future__ import annotations

from collections.abc import Mapping

from server.engine.sequence import InferenceError

WORKER_FAILED, DEVICE_LOST = 1, 3


class WorkerError(RuntimeError):
    """A model's worker died.

    Args:
        exit_status: Of the process: 3 where its GPU is lost, which only another process may get back.
    """

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status


def worker_error(failures: Mapping[str, Exception]) -> WorkerError:
    """The error of models that serve no more.

    Args:
        failures: What their workers died of, by the models' names; not empty.

    >>> worker_error({"en-it": InferenceError("cuda", "CUDA failure 700")}).exit_status
    3
    >>> print(worker_error({"en-it": ValueError("no lane"), "it-en": ValueError("no lane")}))
    the worker of model en-it, it-en failed
    """
    is_lost = any(is_device_lost(error) for error in failures.values())
    what, exit_status = ("GPU", DEVICE_LOST) if is_lost else ("worker", WORKER_FAILED)
    return WorkerError(f"the {what} of model {', '.join(failures)} failed", exit_status)


def is_device_lost(error: BaseException | None) -> bool:
    """Whether what an engine was given up for came of its GPU, which then answers this process no more."""
    while error is not None:
        if isinstance(error, InferenceError) and error.kind == "cuda":
            return True
        error = error.__cause__
    return False
