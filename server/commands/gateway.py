"""The command traghetto-gateway: REST in front of a server, and a page to try it, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping, Sequence

import server.telemetry.grpc_core_log  # noqa: F401 - before all that imports gRPC
from server.gateway.config import GatewayConfig, GatewayConfigError
from server.telemetry.log_format import configure_logs
from traghetto.errors import TlsError
from traghetto.tls import Tls

_VARIABLE = "TRAGHETTO_GATEWAY_"
_DEFAULTS = GatewayConfig()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="traghetto-gateway",
        description="REST and JSON in front of a running traghetto-serve: its own API, LibreTranslate's and "
        f"DeepL's, and a page. Every flag has a variable, --listen for example {_VARIABLE}LISTEN; a flag "
        "wins.",
    )
    _add_addresses(parser)
    _add_limits(parser)
    parser.add_argument(
        "--stop-with", type=int, metavar="PID", help="stop once its parent is not this process"
    )
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    parser.add_argument("--log-format", choices=("text", "json"), default="text")
    return parser


def _add_addresses(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server", metavar="HOST:PORT", help="of the server, or another gRPC target")
    parser.add_argument("--listen", metavar="HOST:PORT", help="for HTTP; port 0 takes a free one")
    parser.add_argument("--metrics-listen", metavar="HOST:PORT", help="for Prometheus (default: none)")
    parser.add_argument(
        "--tls",
        action="store_true",
        default=None,
        help="reach the server with TLS, by the system's authorities",
    )
    parser.add_argument("--tls-ca", metavar="FILE", help="authorities that may vouch for the server instead")
    parser.add_argument("--tls-certificate", metavar="FILE", help="the gateway's own, for a server that asks")
    parser.add_argument("--tls-key", metavar="FILE", help="its private key")
    parser.add_argument(
        "--cors-origin",
        action="append",
        dest="cors_origins",
        metavar="ORIGIN",
        help="an origin whose pages may call the gateway, or *; once for each (default: none may)",
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    for name, kind, text in (
        ("max_body_mib", int, "largest body of a request, a file among them, in MiB"),
        ("max_message_mib", int, "largest message to and from the server, in MiB"),
        ("timeout_seconds", float, "deadline of a call to the server, and of a body to arrive"),
        ("drain_seconds", float, "how long running requests may still take once it stops"),
        ("file_seconds", float, "how long a translated file can be fetched"),
        ("max_file_jobs", int, "files that are kept at once, those in work among them"),
    ):
        note = f"{text} (default: {getattr(_DEFAULTS, name):g})"
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, help=note)


def parse_config(
    arguments: Sequence[str], environment: Mapping[str, str] = os.environ
) -> tuple[GatewayConfig, argparse.Namespace]:
    """The configuration, and what else there is: how to log.

    Raises:
        GatewayConfigError: with every fault that could be found.
    """
    parser = _parser()
    parsed = vars(parser.parse_args([*_from_variables(parser, environment), *arguments]))
    tls_files = {name: parsed.pop(f"tls_{name}") for name in ("ca", "certificate", "key")}
    tls = Tls(**tls_files) if parsed.pop("tls") or any(tls_files.values()) else None
    logs = argparse.Namespace(level=parsed.pop("log_level"), format=parsed.pop("log_format"))
    given = {name: value for name, value in parsed.items() if value is not None}
    given["cors_origins"] = tuple(given.get("cors_origins", ()))
    return GatewayConfig(tls=tls, **given), logs


def _from_variables(parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> list[str]:
    """The flags that variables spell out, before those of the command line."""
    flags = []
    for action in parser._actions:  # noqa: SLF001 - argparse has no other list of its flags
        flag = action.option_strings[-1]
        text = environment.get(_VARIABLE + flag.removeprefix("--").replace("-", "_").upper())
        if flag == "--help" or not text:
            continue
        flags += [flag] if action.nargs == 0 else [f"{flag}={part}" for part in text.split(",")]
    return flags


def main() -> int:
    """Run the command; exit status 2 for a fault in its input, or for an address that cannot be had."""
    try:
        config, logs = parse_config(sys.argv[1:])
        configure_logs(logs.level, logs.format)
        from server.gateway.serving import serve  # noqa: PLC0415 - an extra, which may be missing

        asyncio.run(serve(config))
    except ImportError as error:
        print(
            f"traghetto-gateway: the extra 'gateway' is missing (pip install 'traghetto-server[gateway]'): "
            f"{error}",
            file=sys.stderr,
        )
        return 2
    except (GatewayConfigError, TlsError, OSError) as error:
        print(f"traghetto-gateway: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
