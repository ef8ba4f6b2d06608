"""The access file, as an operator writes it in TOML: its fields, and what is wrong with them."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from server.access.secret_files import AccessError
from server.access.tokens import HASH_FORM
from server.addresses import is_loopback

Name = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z._-]{1,64}$")]  # it becomes a label
_Count = Annotated[int, Field(ge=1)]
_Text = Annotated[str, StringConstraints(min_length=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class TenantTable(_Table):
    """`[tenants.NAME]`: what it may, and how it is known."""

    tokens: list[Annotated[str, StringConstraints(pattern=rf"^{HASH_FORM}$")]] = []
    subjects: list[_Text] = []
    certificates: list[Annotated[str, StringConstraints(pattern=r"^(cn|dns|uri):.")]] = []
    models: list[_Text] | None = None
    pairs: list[_Text] | None = None
    priority: Literal["interactive", "bulk"] = "interactive"
    requests_per_minute: _Count | None = None
    tokens_per_minute: _Count | None = None
    concurrent_texts: _Count | None = None
    admin: bool = False


class IssuerTable(_Table):
    """`[issuers.NAME]`: whose JSON Web Tokens are taken."""

    issuer: _Text
    audience: _Text | list[_Text]
    keys: _Text | None = None
    secret: _Text | None = None
    claim: _Text = "sub"
    leeway_seconds: Annotated[float, Field(ge=0, le=300)] = 30

    @property
    def url(self) -> str | None:
        """Where its keys are, if not in a file."""
        return self.keys if self.keys is not None and "://" in self.keys else None


class AccessFile(_Table):
    """All of it."""

    anonymous: str | None = None
    tenants: Annotated[dict[Name, TenantTable], Field(min_length=1)]
    issuers: dict[Name, IssuerTable] = {}


def parse_access_file(content: bytes) -> AccessFile:
    """The file, checked.

    Raises:
        AccessError: with every fault; a value that stands where it should not is not repeated, for it may be
            a secret.
    """
    try:
        file = AccessFile.model_validate(tomllib.loads(content.decode()))
    except UnicodeDecodeError:
        raise AccessError("is no TOML: it is not in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise AccessError(f"is no TOML: {error}") from None
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg']}" for e in error.errors()]
        raise AccessError("; ".join(faults)) from None
    if faults := [*_tenant_faults(file), *_issuer_faults(file)]:
        raise AccessError("; ".join(faults))
    return file


def _tenant_faults(file: AccessFile) -> Iterator[str]:
    if file.anonymous is not None and file.anonymous not in file.tenants:
        yield f"anonymous: there is no tenant {file.anonymous!r}"
    seen: Counter[str] = Counter()
    for name, tenant in file.tenants.items():
        known_by = [*tenant.tokens, *tenant.subjects, *tenant.certificates]
        seen.update(known_by)
        if not known_by and name != file.anonymous:
            yield f"tenants.{name}: has neither tokens nor subjects nor certificates: nobody is it"
        if name == file.anonymous and tenant.admin:
            yield f"tenants.{name}.admin: whoever shows no credential must not be an admin"
        for subject in tenant.subjects:
            issuer, colon, _ = subject.partition(":")
            if not colon or issuer not in file.issuers:
                yield f"tenants.{name}.subjects: {subject!r} is no ISSUER:SUBJECT of one of the issuers"
    for credential, count in seen.items():
        if count > 1:
            yield f"{credential!r} stands {count} times: it must be of one tenant"


def _issuer_faults(file: AccessFile) -> Iterator[str]:
    issuers = Counter(table.issuer for table in file.issuers.values())
    for name, table in file.issuers.items():
        if (table.keys is None) == (table.secret is None):
            yield f"issuers.{name}: must have either keys or secret"
        if issuers[table.issuer] > 1:
            yield f"issuers.{name}.issuer: another one has the same"
        if table.url is not None and not _is_safe(table.url):
            yield f"issuers.{name}.keys: is {table.url!r}, must be a file, or a URL with https"


def _is_safe(url: str) -> bool:
    """Whether nobody on the way can put keys in the place of those that are asked for."""
    parts = urlsplit(url)
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    )
