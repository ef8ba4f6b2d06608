"""Fetch the archive MODEL_ARCHIVE_URL, and unpack it into a folder if its SHA-256 is MODEL_ARCHIVE_SHA256.

Runs before the server, in its image, with the standard library alone.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tarfile
import tempfile
import urllib.request
from pathlib import Path
from typing import IO

_CHUNK_BYTES = 1024 * 1024
_TIMEOUT_SECONDS = 60.0


class FetchError(RuntimeError):
    """The archive cannot be had, or is another one."""


def fetch(url: str, sha256: str, folder: Path) -> None:
    """Unpack the .tar or .tar.gz at a URL.

    Raises:
        FetchError: a setting makes no sense, or the digest is another one.
        OSError: the network or the disk failed.
    """
    if not url.startswith("https://"):
        raise FetchError(f"MODEL_ARCHIVE_URL is {url!r}, must begin with https://")
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise FetchError(f"MODEL_ARCHIVE_SHA256 is {sha256!r}, must be 64 hexadecimal digits")
    with tempfile.TemporaryFile(dir=folder) as archive:
        found = _download(url, archive)
        if found != sha256:
            raise FetchError(f"the archive at {url} has SHA-256 {found}, must have {sha256}")
        archive.seek(0)
        with tarfile.open(fileobj=archive) as members:
            members.extractall(folder, filter="data")


def _download(url: str, archive: IO[bytes]) -> str:
    digest = hashlib.sha256()
    with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310 - https, checked above
        while chunk := response.read(_CHUNK_BYTES):
            digest.update(chunk)
            archive.write(chunk)
    return digest.hexdigest()


def main() -> None:
    """Run the command; exit status 1 keeps the server from starting."""
    try:
        fetch(
            os.environ.get("MODEL_ARCHIVE_URL", ""),
            os.environ.get("MODEL_ARCHIVE_SHA256", ""),
            Path(sys.argv[1]),
        )
    except (FetchError, OSError, tarfile.TarError) as error:
        sys.exit(f"fetch_models: {error}")


if __name__ == "__main__":
    main()
