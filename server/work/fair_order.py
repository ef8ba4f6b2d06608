"""Whose turn it is: clients share a model in tokens, and so do the calls of one client."""

from __future__ import annotations

import enum
import heapq
import itertools
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from server.engine.sequence import SequenceRequest
from server.work.client_weights import NO_WEIGHTS, Weights

_MOST_STALE = 64


class Priority(enum.Enum):
    """What a call's texts are to the others; the value is the weight of all calls of that kind together."""

    INTERACTIVE = 16.0
    BULK = 1.0


@dataclass(frozen=True, kw_only=True)
class Flow:
    """What a request belongs to.

    Args:
        client: Who asks.
        call: A number for each call.
    """

    client: str
    call: int
    priority: Priority = Priority.INTERACTIVE


@dataclass(eq=False)
class _Share:
    """A class, a client or a call: what it has had so far, and those that share its turns or its requests.

    Args:
        had: Work done for it, divided by its weight, on its parent's scale.
        virtual_time: What a child that was there all the time has had: where one that comes new begins.
        total_weight: Of all children.
        debts: What clients that have left had had beyond the virtual time, for when they come back.
    """

    weight: float = 1.0
    had: float = 0.0
    virtual_time: float = 0.0
    total_weight: float = 0.0
    children: dict[Any, _Share] = field(default_factory=dict)
    order: list[tuple[float, int, Any]] = field(default_factory=list)  # a heap of `had`, stale ones too
    debts: dict[str, float] = field(default_factory=dict)
    requests: OrderedDict[int, tuple[SequenceRequest, float]] = field(default_factory=OrderedDict)


class FairOrder:
    """Requests in the order of weighted fair queueing, in three layers: priority, client, call.

    Of those that wait whoever has had least of the model, in hypothesis tokens, is next; who comes new has no
    claim to what it did not ask for before. Requests of one call keep their order.

    Args:
        weights: Of clients, against others of their priority; 1 of any that is not there.

    Source: Parekh, Gallager 1993, "A generalized processor sharing approach to flow control in integrated
        services networks", https://doi.org/10.1109/90.234856 (virtual time); by start tags as in Goyal, Vin,
        Cheng 1996, "Start-time fair queueing", https://doi.org/10.1145/248156.248171.

    >>> from server.engine.sequence import Beam
    >>> order = FairOrder()
    >>> for i, client in enumerate(["crowd", "crowd", "crowd", "single"]):
    ...     request = SequenceRequest(
    ...         sequence_id=i, source=(3,), method=Beam(beam_size=1), length_penalty=1.0, max_target_tokens=9
    ...     )
    ...     order.add(request, Flow(client=client, call=0), work=2.0)
    >>> [order.pop().sequence_id for _ in range(4)]
    [0, 3, 1, 2]
    """

    def __init__(self, weights: Weights = NO_WEIGHTS) -> None:
        self._weights = weights
        self._root = _Share()
        self._flows: dict[int, Flow] = {}  # of each request that waits
        self._num_waiting = dict.fromkeys(Priority, 0)
        self._arrivals = itertools.count()  # who came first is first of those that have had the same

    def __len__(self) -> int:
        return len(self._flows)

    def num_waiting(self, priority: Priority) -> int:
        """Requests of one kind."""
        return self._num_waiting[priority]

    def add(self, request: SequenceRequest, flow: Flow, work: float) -> None:
        """Queue a request behind the others of its call.

        Args:
            work: Hypothesis tokens that it is expected to take.
        """
        share = self._root
        for key in _path(flow):
            if (child := share.children.get(key)) is None:
                weight = self._weight_of(key)
                debt = share.debts.pop(key, 0.0) if isinstance(key, str) else 0.0
                had = max(share.virtual_time, debt)
                child = share.children[key] = _Share(weight=weight, had=had)
                share.total_weight += weight
                self._push(share, key)
            share = child
        share.requests[request.sequence_id] = request, work
        self._flows[request.sequence_id] = flow
        self._num_waiting[flow.priority] += 1

    def remove(self, sequence_id: int) -> bool:
        """Forget a waiting request; False if it does not wait."""
        flow = self._flows.get(sequence_id)
        if flow is not None:
            self._take(flow, sequence_id)
        return flow is not None

    def pop(self, priorities: tuple[Priority, ...] = tuple(Priority)) -> SequenceRequest | None:
        """Forget the next request of these kinds, and return it; None if there is none."""
        shares = [(share.had, key) for key, share in self._root.children.items() if key in priorities]
        if not shares:
            return None
        _, priority = min(shares, key=lambda item: item[0])
        client, clients = self._next(self._root.children[priority])
        call, requests = self._next(clients)
        sequence_id = next(iter(requests.requests))
        return self._take(Flow(client=client, call=call, priority=priority), sequence_id, is_served=True)

    def _next(self, share: _Share) -> tuple[Any, _Share]:
        """The child whose turn it is."""
        while True:
            had, _, key = share.order[0]
            child = share.children.get(key)
            if child is not None and child.had == had:
                return key, child
            heapq.heappop(share.order)

    def _take(self, flow: Flow, sequence_id: int, *, is_served: bool = False) -> SequenceRequest:
        """Take a request out, and with it the shares that have no other."""
        keys = _path(flow)
        path = [self._root]
        for key in keys:
            path.append(path[-1].children[key])
        request, work = path[-1].requests.pop(sequence_id)
        del self._flows[sequence_id]
        self._num_waiting[flow.priority] -= 1
        for parent, child, key in reversed(list(zip(path, path[1:], keys, strict=False))):
            if is_served:
                parent.virtual_time += work / parent.total_weight
                child.had += work / child.weight
            if not (child.requests or child.children):
                del parent.children[key]
                parent.total_weight -= child.weight
                _remember(parent, key, child.had)
            elif is_served:
                self._push(parent, key)
        return request

    def charge(self, flow: Flow, work: float) -> None:
        """Add work to what a client and its call have had: a request took more than was expected."""
        share = self._root
        for key in _path(flow):
            parent, child = share, share.children.get(key)
            if child is None:
                if isinstance(key, str):
                    had = max(parent.debts.get(key, 0.0), parent.virtual_time)
                    _remember(parent, key, had + work / self._weight_of(key))
                return
            child.had += work / child.weight
            self._push(parent, key)
            share = child

    def _weight_of(self, key: Priority | str | int) -> float:
        """Of a class or a client; calls are all alike."""
        if isinstance(key, Priority):
            return key.value
        return self._weights.get(key, 1.0) if isinstance(key, str) else 1.0

    def _push(self, parent: _Share, key: Priority | str | int) -> None:
        """Put a child in order by what it has had; of the classes, which are two, there is no order."""
        if parent is self._root:
            return
        if len(parent.order) > 2 * len(parent.children) + _MOST_STALE:
            parent.order = [
                (child.had, next(self._arrivals), name)
                for name, child in parent.children.items()
                if name != key
            ]
            heapq.heapify(parent.order)
        heapq.heappush(parent.order, (parent.children[key].had, next(self._arrivals), key))


def _remember(parent: _Share, key: Priority | str | int, had: float) -> None:
    """Keep what a client has had beyond its share; calls do not come back."""
    if isinstance(key, str) and had > parent.virtual_time:
        parent.debts[key] = had
        if len(parent.debts) > 2 * len(parent.children) + _MOST_STALE:
            parent.debts = {name: debt for name, debt in parent.debts.items() if debt > parent.virtual_time}


def _path(flow: Flow) -> tuple[Priority | str | int, ...]:
    return flow.priority, flow.client, flow.call
