"""Tenants and how they are known: an access file with the keys that it names, ready for use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from server.access.access_file import AccessFile, IssuerTable, TenantTable, parse_access_file
from server.access.issuer import Issuer
from server.access.keys import KeyFault, VerificationKey, public_keys, secret_key
from server.access.remote_keys import RemoteKeys
from server.access.secret_files import AccessError, read_guarded
from server.access.tenant import QUOTAS, Tenant
from server.access.tokens import TokenTable
from server.work.fair_order import Priority

Remote = Callable[[str], RemoteKeys]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What is in force.

    Args:
        subjects: Tenants by the issuer's `iss` and the subject.
        issuers: By their `iss`.
        certificates: Tenants by a name in a certificate, as cn:shop.
        anonymous: Who calls without a credential; None if nobody may.
        contents: Every file that was read, by its path.
        urls: Where keys are fetched from.
    """

    tenants: Mapping[str, Tenant]
    tokens: TokenTable
    subjects: Mapping[tuple[str, str], Tenant]
    issuers: Mapping[str, Issuer]
    certificates: Mapping[str, Tenant]
    anonymous: Tenant | None
    contents: Mapping[Path, bytes]
    urls: frozenset[str]


def read_rules(path: Path, remote: Remote) -> Rules:
    """Read an access file and the keys that it names; their paths are relative to its folder.

    Args:
        remote: Gives the keys at a URL.

    Raises:
        AccessError: with what is wrong, in which file.
    """
    contents = {path: read_guarded(path)}
    try:
        file = parse_access_file(contents[path])
    except AccessError as error:
        raise AccessError(f"{path}: {error}") from None
    issuers: dict[str, Issuer] = {}
    for name, table in file.issuers.items():
        issuers[name] = _issuer(table, path.parent, contents, remote)
    return _rules(file, issuers, contents)


def _rules(file: AccessFile, issuers: Mapping[str, Issuer], contents: Mapping[Path, bytes]) -> Rules:
    tenants = {name: _tenant(name, table) for name, table in file.tenants.items()}
    subjects = {}
    for name, table in file.tenants.items():
        for listed in table.subjects:
            issuer, _, subject = listed.partition(":")
            subjects[issuers[issuer].issuer, subject] = tenants[name]
    return Rules(
        tenants=tenants,
        tokens=TokenTable((token, tenants[name]) for name, t in file.tenants.items() for token in t.tokens),
        subjects=subjects,
        issuers={issuer.issuer: issuer for issuer in issuers.values()},
        certificates={
            certificate: tenants[name] for name, t in file.tenants.items() for certificate in t.certificates
        },
        anonymous=tenants[file.anonymous] if file.anonymous is not None else None,
        contents=contents,
        urls=frozenset(table.url for table in file.issuers.values() if table.url is not None),
    )


def _tenant(name: str, table: TenantTable) -> Tenant:
    limits = {quota: limit for quota in QUOTAS if (limit := getattr(table, quota)) is not None}
    return Tenant(
        name=name,
        models=None if table.models is None else frozenset(table.models),
        pairs=None if table.pairs is None else tuple(pair.lower() for pair in table.pairs),
        priority=Priority[table.priority.upper()],
        limits=limits,
        is_admin=table.admin,
    )


def _issuer(table: IssuerTable, folder: Path, contents: dict[Path, bytes], remote: Remote) -> Issuer:
    keys: Callable[[], tuple[VerificationKey, ...]]
    audience = [table.audience] if isinstance(table.audience, str) else table.audience
    fields = {"issuer": table.issuer, "claim": table.claim, "leeway_seconds": table.leeway_seconds}
    if table.url is not None:
        source = remote(table.url)
        return Issuer(audience=audience, keys=lambda: source.keys, want_keys=source.want, **fields)  # type: ignore[arg-type]
    path = folder / (table.keys or table.secret or "")
    contents[path] = read_guarded(path, is_secret=table.secret is not None)
    try:
        read = tuple(public_keys(contents[path])) if table.keys else (secret_key(contents[path]),)
    except KeyFault as error:
        raise AccessError(f"{path} {error}") from None
    keys = lambda: read  # noqa: E731
    return Issuer(audience=audience, keys=keys, **fields)  # type: ignore[arg-type]
