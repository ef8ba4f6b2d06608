"""The programs that check deploy/: on PATH, or where `make test` puts them; a missing one fails its test."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

TOOLS = Path(sys.prefix) / "deploy-tools"  # beside this environment: what checkov pins fits no other
NODE_MODULES = Path(sys.prefix) / "deploy-node"
PATIENCE_SECONDS = 240.0


class MissingToolError(RuntimeError):
    """A program that these tests need is not installed."""


def kustomize_command() -> list[str]:
    """Renders the folder that follows."""
    for program, arguments in (("kubectl", ["kustomize"]), ("kustomize", ["build"])):
        if path := shutil.which(program):
            return [path, *arguments]
    raise MissingToolError(
        "neither kubectl (1.30 or newer) nor kustomize (5.4 or newer) is on PATH: install one"
    )


def installed(program: str) -> str:
    """One of requirements/deploy-tools.txt."""
    path = TOOLS / "bin" / program
    if not path.exists():
        raise MissingToolError(f"{path} is missing: `make test` installs requirements/deploy-tools.txt there")
    return str(path)


def node_command(script: Path) -> list[str]:
    """A script of this folder, with the modules of package-lock.json."""
    node = shutil.which("node")
    if node is None:
        raise MissingToolError("node (20 or newer) is not on PATH: install nodejs and npm")
    if not (NODE_MODULES / "node_modules").is_dir():
        raise MissingToolError(
            f"{NODE_MODULES} is missing: `make test` installs tests/deploy/package-lock.json there"
        )
    return [node, str(script), str(NODE_MODULES)]


def run(*command: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """A program's output and status; it may fail."""
    return subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
