"""Starts the commands of the application: its own packages first, whatever else has their names.

The application's packages are called server, export and model. They are found first, in this process alone: a
`server.py` in the working directory or on PYTHONPATH cannot take their place, nor they that of another's.
"""

from __future__ import annotations

import importlib
import sys
from functools import partial
from pathlib import Path

_MODULES = {
    "bulk": "server.commands.bulk",
    "evaluate": "server.commands.evaluate",
    "export": "export.command",
    "gateway": "server.commands.gateway",
    "import": "model.commands.import_model",
    "prepare": "model.commands.prepare",
    "reload": "server.commands.reload",
    "serve": "server.commands.serve",
    "shortlist": "model.commands.shortlist",
    "token": "server.commands.token",
    "train": "model.commands.train",
    "translate": "server.commands.translate",
}
_PACKAGE = Path(__file__).resolve().parent


def application() -> Path:
    """The folder that holds the application's packages: inside the wheel, or the root of the checkout."""
    carried = _PACKAGE / "app"
    return carried if carried.is_dir() else _PACKAGE.parents[2]


def run(command: str) -> int:
    """Run a command with the arguments of this process.

    Args:
        command: Its name without `traghetto-`.

    Returns:
        The exit status.
    """
    sys.path.insert(0, str(application()))
    if sys.argv[1:] == ["--version"]:
        from traghetto.version import __version__  # noqa: PLC0415 - of the checkout, where it is one

        sys.stdout.write(f"traghetto-{command} {__version__}\n")
        return 0
    status: int = importlib.import_module(_MODULES[command]).main()
    return status


bulk = partial(run, "bulk")
evaluate = partial(run, "evaluate")
export = partial(run, "export")
gateway = partial(run, "gateway")
import_model = partial(run, "import")
prepare = partial(run, "prepare")
reload = partial(run, "reload")
serve = partial(run, "serve")
shortlist = partial(run, "shortlist")
token = partial(run, "token")
train = partial(run, "train")
translate = partial(run, "translate")
