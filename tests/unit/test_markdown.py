"""Every Markdown page of the repository: narrow lines, links that lead somewhere, files that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_COLUMNS = 100
# Templates, by the folder that their page is written to.
_TEMPLATES = {"tests/architectures/report.md": "docs"}
_ROOMS = ("deploy", "docs", "export", "model", "proto", "server", "tests", "traghetto")
_FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)|\bsrc=\"([^\"]+)\"")
_CODE = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(rf"(?:{'|'.join(_ROOMS)})/[\w./*-]*")


def _pages() -> list[str]:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return tracked.stdout.splitlines()


PAGES = _pages()


def _prose(page: str) -> str:
    """A page without its code blocks."""
    return _FENCE.sub("", (ROOT / page).read_text(encoding="utf-8"))


def _may_be_wide(line: str) -> bool:
    """Tables, pictures, and lines that are one long word, such as an address."""
    return line.lstrip().startswith(("|", "!", "<")) or " " not in line.strip().removeprefix("- ")


@pytest.mark.parametrize("page", PAGES)
def test_prose_is_at_most_100_columns_wide(page: str) -> None:
    wide = [line for line in _prose(page).splitlines() if len(line) > MAX_COLUMNS and not _may_be_wide(line)]
    assert not wide


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_lead_to_files(page: str) -> None:
    targets = [address or picture for address, picture in _LINK.findall(_prose(page))]
    files = [target.partition("#")[0] for target in targets if "://" not in target]
    folder = ROOT / _TEMPLATES[page] if page in _TEMPLATES else (ROOT / page).parent
    missing = [file for file in files if file and not (folder / file).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_paths_of_ours_in_backticks_exist(page: str) -> None:
    """From the root, or, as the README of a folder may have it, from the page's own folder."""
    codes = [code for code in _CODE.findall(_prose(page)) if _PATH.fullmatch(code)]
    places = (ROOT, (ROOT / page).parent)
    missing = [code for code in codes if not any(_exists(place, code) for place in places)]
    assert not missing


def _exists(place: Path, path: str) -> bool:
    return any(place.glob(path.rstrip("/")))
