"""Who joins next: first come, first admitted, within the free slots and a budget of source tokens."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from server.engine.sequence import SequenceRequest

# An encoder run of at most so many tokens was fastest, and delays the running sequences little.
MAX_ENCODE_TOKENS = 640


class Scheduler:
    """The queue of sequences that wait for a slot; num_tokens are their source tokens."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[int, SequenceRequest] = OrderedDict()
        self.num_tokens = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, request: SequenceRequest) -> None:
        """Queue a request behind all others."""
        self._waiting[request.sequence_id] = request
        self.num_tokens += len(request.source)

    def remove(self, sequence_id: int) -> bool:
        """Forget a waiting request; False if it does not wait."""
        request = self._waiting.pop(sequence_id, None)
        if request is not None:
            self.num_tokens -= len(request.source)
        return request is not None

    def take(
        self, free_slots: int, has_room: Callable[[SequenceRequest], bool] = lambda _: True
    ) -> list[SequenceRequest]:
        """The next requests to encode, in order of arrival; at least one if there is a slot and room."""
        taken: list[SequenceRequest] = []
        tokens = 0
        while self._waiting and len(taken) < free_slots:
            first = next(iter(self._waiting.values()))
            tokens += len(first.source)
            if (taken and tokens > MAX_ENCODE_TOKENS) or not has_room(first):
                break
            request = self._waiting.popitem(last=False)[1]
            self.num_tokens -= len(request.source)
            taken.append(request)
        return taken
