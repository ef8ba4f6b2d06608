"""Versions of the libraries that make and prove an artifact."""

from __future__ import annotations

import importlib.metadata


def library_versions(*names: str) -> dict[str, str]:
    """By distribution its version without the local part, "2.13.0" of "2.13.0+cpu"; only what is installed.

    >>> library_versions("no-such-library")
    {}
    """
    versions = {}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name).split("+")[0]
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
