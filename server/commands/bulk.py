"""The command traghetto-bulk: corpora of any size, translated block by block, without a server."""

from __future__ import annotations

import argparse
import sys

import server.telemetry.grpc_core_log  # noqa: F401 - before all that imports gRPC
from server.commands.bulk_arguments import parse_arguments, run_of
from server.commands.standard_streams import run_command
from server.config import ServerConfigError
from server.errors import RequestError
from server.models.loading import UNSERVABLE


def main() -> int:
    """Run the command; exit status 1 if the run failed, 2 for input that it cannot take."""
    return run_command("traghetto-bulk", _command)


def _command() -> int:
    arguments = parse_arguments()
    try:
        status, said = _bulk(arguments)
    except ImportError as error:
        status, said = 2, f"needs the extra 'bulk' (pip install 'traghetto-server[bulk]'): {error}"
    print(f"traghetto-bulk: {said}", file=sys.stderr)
    return status


def _bulk(arguments: argparse.Namespace) -> tuple[int, str]:
    """Status, and what to say."""
    from server.bulk.blocks import BulkError  # noqa: PLC0415 - an extra: only for those who have it
    from server.bulk.run import RayError, run_bulk  # noqa: PLC0415 - likewise

    try:
        result = run_bulk(run_of(arguments), has_bar=sys.stderr.isatty())
    except (BulkError, RequestError, ServerConfigError, *UNSERVABLE) as error:
        return 2, str(error)
    except OSError as error:
        return 2, f"{error.filename}: {error.strerror}" if error.filename else str(error)
    except RayError as error:
        reason = str(error).strip().splitlines()[-1]  # above it are the actor's calls
        return 1, f"{reason}; what is done is kept: start it again"
    return 0, f"{result.num_rows} rows in {arguments.output}, {result.num_errors} of them with an error"


if __name__ == "__main__":
    sys.exit(main())
