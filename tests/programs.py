"""The programs that tests run: on PATH, or where `make test` puts them; a missing one fails its test."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

TOOLS = Path(sys.prefix) / "deploy-tools"  # beside this environment: what checkov pins fits no other
NODE_MODULES = Path(sys.prefix) / "deploy-node"
PATIENCE_SECONDS = 240.0
_DEBIAN_NAMES = {"alertmanager": "prometheus-alertmanager"}  # where they differ from the project's own
_PACKAGES = {
    "alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "chromium": "chromium",
    "nginx": "nginx-light",
    "node": "nodejs (20 or newer) npm",
    "openssl": "openssl",
    "prometheus": "prometheus",
    "promtool": "prometheus",
}


class MissingProgramError(RuntimeError):
    """A program that these tests need is not installed."""


def program(name: str) -> str:
    """Where a program is.

    Raises:
        MissingProgramError: it is not on PATH.
    """
    path = shutil.which(name) or shutil.which(_DEBIAN_NAMES.get(name, name))
    if path is None:
        raise MissingProgramError(f"{name} is not on PATH: apt-get install {_PACKAGES[name]}")
    return path


def kustomize_command() -> list[str]:
    """Renders the folder that follows."""
    for name, arguments in (("kubectl", ["kustomize"]), ("kustomize", ["build"])):
        if path := shutil.which(name):
            return [path, *arguments]
    raise MissingProgramError(
        "neither kubectl (1.30 or newer) nor kustomize (5.4 or newer) is on PATH: install one"
    )


def installed(name: str) -> str:
    """One of requirements/deploy-tools.txt."""
    path = TOOLS / "bin" / name
    if not path.exists():
        raise MissingProgramError(
            f"{path} is missing: `make test` installs requirements/deploy-tools.txt there"
        )
    return str(path)


def node_module(path: str) -> Path:
    """A file of the modules in tests/deploy/package-lock.json.

    Raises:
        MissingProgramError: it is not installed.
    """
    found = NODE_MODULES / "node_modules" / path
    if not found.is_file():
        raise MissingProgramError(f"{found} is missing: `make test` installs tests/deploy/package-lock.json")
    return found


def node_command(script: Path) -> list[str]:
    """A script that gets the folder of the modules in tests/deploy/package-lock.json."""
    if not (NODE_MODULES / "node_modules").is_dir():
        raise MissingProgramError(
            f"{NODE_MODULES} is missing: `make test` installs tests/deploy/package-lock.json there"
        )
    return [program("node"), str(script), str(NODE_MODULES)]


def run_module(*command: object, patience: float | None = None) -> str:
    """Run a module of this environment with its arguments to its good end; gives its standard output.

    Args:
        patience: Seconds that it may take; None where its test has a limit of its own.
    """
    ended = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        timeout=patience,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def run(*command: str | Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """A program's output and status; it may fail."""
    return subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
