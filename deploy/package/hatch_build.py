"""Puts the sources of server, exporter and trainer into the wheel of traghetto-server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_PARTS = ("server", "export", "model")
_SUFFIXES = frozenset((".py", ".typed", ".yaml"))
_PAGE = "server/gateway/page"  # all of it: what a browser loads
_MODELS = frozenset(("artifacts", "pretrained"))  # an operator mounts those
_APPLICATION = "traghetto_server/app"  # traghetto_server.launcher looks there


def application_files(root: Path) -> Iterator[Path]:
    """Every source of the application in a checkout."""
    for part in _PARTS:
        for path in sorted((root / part).rglob("*")):
            is_model = _MODELS & set(path.relative_to(root).parts)
            is_page = path.is_file() and path.relative_to(root).as_posix().startswith(f"{_PAGE}/")
            if (path.suffix in _SUFFIXES or is_page) and not is_model:
                yield path


class ApplicationHook(BuildHookInterface[Any]):
    """Adds the application's files, and the client of the same version as a dependency."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Say what the wheel holds; one that is editable leaves the sources where they are."""
        build_data["dependencies"].append(f"traghetto=={self.metadata.version}")
        if version == "editable":
            return
        root = Path(self.root).parents[1]
        for path in application_files(root):
            build_data["force_include"][str(path)] = f"{_APPLICATION}/{path.relative_to(root).as_posix()}"
        build_data["force_include"][str(root / "LICENSE")] = "traghetto_server/LICENSE"
