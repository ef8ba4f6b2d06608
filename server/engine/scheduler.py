"""Who joins next: first come, first admitted, within the free slots and a budget of source tokens."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import islice

from server.engine.sequence import SequenceRequest

# An encoder run of at most so many tokens was fastest, and delays the running sequences little.
MAX_ENCODE_TOKENS = 640


class Scheduler:
    """Requests that wait for a slot.

    Attributes:
        num_tokens: Source tokens of all that wait.

    >>> from server.engine.sequence import Beam
    >>> scheduler = Scheduler()
    >>> for i in range(3):
    ...     scheduler.add(
    ...         SequenceRequest(
    ...             sequence_id=i,
    ...             source=(4, 5, 3),
    ...             method=Beam(beam_size=1),
    ...             length_penalty=1.0,
    ...             max_target_tokens=9,
    ...         )
    ...     )
    >>> [request.sequence_id for request in scheduler.take(free_slots=2)]
    [0, 1]
    >>> (len(scheduler), scheduler.num_tokens)
    (1, 3)
    """

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

    def pop(self, count: int) -> list[SequenceRequest]:
        """Forget the first `count` requests, and return them in order of arrival; there must be so many."""
        requests = list(islice(self._waiting.values(), count))
        for request in requests:
            self.remove(request.sequence_id)
        return requests

    def take(
        self, free_slots: int, has_room: Callable[[SequenceRequest], bool] = lambda _: True
    ) -> list[SequenceRequest]:
        """The next requests to encode, in order of arrival; at least one if there is a slot and room.

        Args:
            has_room: Whether a lane takes one more; asked once for each request that would be taken. One that
                has no room holds back those behind it.
        """
        taken: list[SequenceRequest] = []
        tokens = 0
        for request in self._waiting.values():
            tokens += len(request.source)
            if len(taken) >= free_slots or (taken and tokens > MAX_ENCODE_TOKENS) or not has_room(request):
                break
            taken.append(request)
        for request in taken:  # only now: if `has_room` raises, all still wait
            self.remove(request.sequence_id)
        return taken
