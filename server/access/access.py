"""Who a call is from, by rules that are read again when their files change."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path

from server.access.issuer import issuer_named_in
from server.access.quotas import Ledger
from server.access.remote_keys import RemoteKeys
from server.access.rules import Rules, read_rules
from server.access.secret_files import AccessError
from server.access.tenant import Tenant
from server.errors import Unauthenticated

log = logging.getLogger("traghetto.access")
MAX_TOKEN_BYTES = 8192
_WATCH_SECONDS = 0.5
_SCHEME = "bearer"


class Access:
    """The rules in force; `refresh` is for any thread but the event loop's, the rest for that.

    Files are compared by content, as those of TLS are. Rules that cannot serve are logged once, and the old
    ones stay.

    Args:
        path: The access file.
        set_refused: Told 1 while the newest files are refused, and 0 while they are not.
        remote: Makes the keys at a URL.

    Raises:
        AccessError: the files cannot serve.
    """

    def __init__(
        self,
        path: Path,
        set_refused: Callable[[float], None] = lambda _: None,
        remote: Callable[[str], RemoteKeys] = RemoteKeys,
    ) -> None:
        self._path, self._set_refused, self._make_remote = path, set_refused, remote
        self._remotes: dict[str, RemoteKeys] = {}
        self._lock = threading.Lock()
        self._last_fault = ""
        self.ledger = Ledger()
        self.rules = read_rules(path, self._remote)
        self._tell("access")
        self._refresh_remotes()

    def refresh(self) -> None:
        """Read the files again, and fetch the keys of URLs where it is time."""
        with self._lock:
            if self._has_changed():
                try:
                    self._take(read_rules(self._path, self._remote))
                except AccessError as error:
                    self._refuse(str(error))
            elif self._last_fault:
                self._last_fault = ""
                self._set_refused(0)
            self._refresh_remotes()

    async def keep_fresh(self) -> None:
        """Refresh time and again."""
        while True:
            try:
                await asyncio.to_thread(self.refresh)
            except Exception:
                log.exception("the access rules could not be read again; those from before stay")
            await asyncio.sleep(_WATCH_SECONDS)

    def tenant_of(self, authorization: Sequence[str], certificates: Collection[str]) -> Tenant:
        """Who shows these credentials; a token comes before a certificate, and a bad one ends it.

        Args:
            authorization: The values of the header of that name.
            certificates: The names in the client's certificate, as cn:shop.

        Raises:
            Unauthenticated: nobody that the file lists.
        """
        rules = self.rules
        if authorization:
            return self._tenant_of_token(rules, _token_in(authorization))
        for name in certificates:
            if (tenant := rules.certificates.get(name)) is not None:
                return tenant
        if rules.anonymous is not None:
            return rules.anonymous
        raise Unauthenticated("the call shows no credential: send the header `authorization: Bearer TOKEN`")

    def _tenant_of_token(self, rules: Rules, token: str) -> Tenant:
        if (tenant := rules.tokens.find(token)) is not None:
            return tenant
        if not rules.issuers or token.count(".") != 2:
            raise Unauthenticated("the token is not known")
        issuer = rules.issuers.get(issuer_named_in(token) or "")
        if issuer is None:
            raise Unauthenticated("the token is of another issuer")
        if (tenant := rules.subjects.get((issuer.issuer, issuer.subject_of(token)))) is None:
            raise Unauthenticated("the token is good, but its subject is no tenant's")
        return tenant

    def _has_changed(self) -> bool:
        # A file that cannot be read is read again as a whole, for its fault.
        now: dict[Path, bytes] = {}
        with suppress(OSError):
            now = {path: path.read_bytes() for path in self.rules.contents}
        return now != self.rules.contents

    def _remote(self, url: str) -> RemoteKeys:
        if url not in self._remotes:
            self._remotes[url] = self._make_remote(url)
        return self._remotes[url]

    def _refresh_remotes(self) -> None:
        for url in self.rules.urls:
            self._remotes[url].refresh()

    def _take(self, rules: Rules) -> None:
        self.rules, self._last_fault = rules, ""
        self._tell("access has new rules")

    def _refuse(self, fault: str) -> None:
        if fault != self._last_fault:
            log.error("the new access files are refused, the old rules stay: %s", fault)
        self._last_fault = fault
        self._set_refused(1)

    def _tell(self, what: str) -> None:
        self._set_refused(0)
        log.info("%s: %d tenants, %d issuers", what, len(self.rules.tenants), len(self.rules.issuers))


def _token_in(authorization: Sequence[str]) -> str:
    """The one token of a call.

    Raises:
        Unauthenticated: there are several, it is none, or it is far too long to be one.
    """
    if len(authorization) > 1:
        raise Unauthenticated("the call has several headers `authorization`")
    scheme, _, token = authorization[0].partition(" ")
    if scheme.lower() != _SCHEME or not token:
        raise Unauthenticated("the header `authorization` is not of the form `Bearer TOKEN`")
    if len(token) > MAX_TOKEN_BYTES:
        raise Unauthenticated(f"the token has {len(token)} characters, the limit is {MAX_TOKEN_BYTES}")
    return token
