"""Who joins next: first come, first admitted, within the free slots, their lanes' room and a token budget."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable

from server.engine.sequence import SequenceRequest

# An encoder run of at most so many tokens was fastest, and delays the running sequences little.
MAX_ENCODE_TOKENS = 640
MAX_PASSES = 64


class Scheduler:
    """Requests that wait for a slot.

    Attributes:
        num_tokens: Source tokens of all that wait.
        blocked: That had no room in the last `take` and has been passed too often: nobody of this scheduler
            passes it any more.

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
        self._num_passes: Counter[int] = Counter()  # takes in which others passed one that had no room
        self._passed: list[SequenceRequest] = []  # had no room in the last one
        self.num_tokens = 0
        self.blocked: SequenceRequest | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def num_without_room(self) -> int:
        """Requests that had no room in the last `take`."""
        return len(self._passed)

    @property
    def last(self) -> SequenceRequest | None:
        """The request behind all others; None if none waits."""
        return next(reversed(self._waiting.values()), None)

    def add(self, request: SequenceRequest) -> None:
        """Queue a request behind all others."""
        self._waiting[request.sequence_id] = request
        self.num_tokens += len(request.source)

    def remove(self, sequence_id: int) -> bool:
        """Forget a waiting request; False if it does not wait."""
        request = self._waiting.pop(sequence_id, None)
        if request is not None:
            self.num_tokens -= len(request.source)
            del self._num_passes[sequence_id]  # of a Counter no error if it is not there
        return request is not None

    def take(
        self,
        free_slots: int,
        has_room: Callable[[SequenceRequest], bool] = lambda _: True,
        max_tokens: int = MAX_ENCODE_TOKENS,
    ) -> list[SequenceRequest]:
        """The next requests to encode, in order of arrival; at least one if there is a slot and room.

        Args:
            has_room: Whether a lane takes one more; asked once for each request that would be taken. One that
                has no room lets those behind it pass, so that a lane that is full keeps nobody from another;
                after `MAX_PASSES` takes they wait for it.
            max_tokens: What is left of the budget; if it is whole, one source alone may exceed it.
        """
        taken: list[SequenceRequest] = []
        self._passed, self.blocked = [], None
        tokens = 0
        for request in self._waiting.values():
            num_tokens = len(request.source)
            is_first = not taken and max_tokens == MAX_ENCODE_TOKENS
            if len(taken) >= free_slots or (tokens + num_tokens > max_tokens and not is_first):
                break
            if has_room(request):
                taken.append(request)
                tokens += num_tokens
                continue
            self._passed.append(request)
            if self._num_passes[request.sequence_id] >= MAX_PASSES:
                self.blocked = request
                break
        for request in taken:  # only now: if `has_room` raises, all still wait
            self.remove(request.sequence_id)
        if taken:
            self.count_passes(lambda _: True)
        return taken

    def count_passes(self, is_passed: Callable[[SequenceRequest], bool]) -> None:
        """Count that others went before some of those that had no room in the last `take`."""
        self._num_passes.update(request.sequence_id for request in self._passed if is_passed(request))
