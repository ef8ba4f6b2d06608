"""A model in memory."""

from __future__ import annotations

from dataclasses import dataclass

from model.text.tokenizer import Tokenizer
from server.engine.session import ModelSession
from server.work.worker import Worker


@dataclass(kw_only=True, eq=False)
class LoadedModel:
    """What translates: a model's graphs, and the threads that run them.

    Args:
        provider: Of ONNX Runtime, the one that it really runs on.
        load_seconds: Until it was ready.
        warm_up_seconds: That it took of these to check itself and to warm up.
    """

    tokenizer: Tokenizer
    session: ModelSession
    worker: Worker
    provider: str
    load_seconds: float
    warm_up_seconds: float

    def stop(self) -> None:
        """End its worker, and give back its graphs."""
        self.worker.stop()
        self.session.close()
