"""The call that is worked on now, as far as access is concerned; without access there is none."""

from __future__ import annotations

from contextvars import ContextVar

from server.access.quotas import Admission
from server.access.tenant import Tenant

# Set by the interceptor, and read wherever the call goes: its tasks and threads have copies of its context.
current_admission: ContextVar[Admission | None] = ContextVar("current_admission", default=None)


def current_tenant() -> Tenant | None:
    """Who the call is from; None without access."""
    admission = current_admission.get()
    return None if admission is None else admission.tenant


def charge_source_tokens(count: int) -> None:
    """Charge the call's tenant for texts that are tokenized and about to wait for a model.

    Raises:
        QuotaExceeded: the tenant has not so many left in this minute.
    """
    if (admission := current_admission.get()) is not None:
        admission.charge(count)
