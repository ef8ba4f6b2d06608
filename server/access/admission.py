"""The call that is worked on now, as far as access is concerned; without access there is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial

from server.access.quotas import Admission
from server.access.tenant import TEXTS, Tenant

_ROOM_SECONDS = 0.05  # between two looks whether a tenant's other texts have left room

# Set by the interceptor, and read wherever the call goes: its tasks and threads have copies of its context.
current_admission: ContextVar[Admission | None] = ContextVar("current_admission", default=None)


def current_tenant() -> Tenant | None:
    """Who the call is from; None without access."""
    admission = current_admission.get()
    return None if admission is None else admission.tenant


def charge_source_tokens(count: int) -> Callable[[], None]:
    """Charge the call's tenant for texts that are tokenized and about to wait for a model.

    Returns:
        Says that a model has worked on them; until then they are given back where the call is shed.

    Raises:
        QuotaExceeded: the tenant has not so many left in this minute.
    """
    if (admission := current_admission.get()) is None:
        return lambda: None
    return partial(admission.settle, admission.charge(count))


@asynccontextmanager
async def room_for_texts(count: int) -> AsyncIterator[None]:
    """Count some texts of a stream as under way; where the tenant has too many, wait until it has fewer.

    More texts than a tenant may have at all count as that many.
    """
    if (admission := current_admission.get()) is None:
        yield
        return
    count = min(count, admission.tenant.limits.get(TEXTS, count))
    while True:
        if admission.has_room(count):
            break
        await asyncio.sleep(_ROOM_SECONDS)
    admission.hold(count)
    try:
        yield
    finally:
        admission.release(count)
