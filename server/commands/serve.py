"""The command traghetto-serve: loads the models, serves until SIGTERM or SIGINT, and drains."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from typing import TYPE_CHECKING

import server.telemetry.grpc_core_log  # noqa: F401 - before all that imports gRPC
from server.api.listening import ServeError
from server.api.server import Server
from server.command_line import parse_config
from server.config import ServerConfig, ServerConfigError
from server.models.failures import WorkerError
from server.models.loading import UNSERVABLE
from server.models.serving import ServedModels
from server.telemetry.log_format import configure_logs
from server.telemetry.loop_lag import measure_lag
from server.telemetry.metrics import Metrics
from server.tls.certificates import Certificates
from server.tls.files import TlsError
from traghetto.version import __version__

if TYPE_CHECKING:
    from server.telemetry.tracing import Tracing

log = logging.getLogger("traghetto")
_STOPS = (signal.SIGTERM, signal.SIGINT)


def _start_tracing(config: ServerConfig) -> Tracing | None:
    """None where nobody asks for it: then nothing of OpenTelemetry is even imported.

    Raises:
        ServerConfigError: its packages are missing.
    """
    if config.otlp_endpoint is None:
        return None
    try:
        from server.telemetry.tracing import Tracing  # noqa: PLC0415 - an extra: only for those who trace
    except ImportError as error:
        raise ServerConfigError(
            f"--otlp-endpoint needs the extra 'trace' (pip install 'traghetto-server[trace]'): {error}"
        ) from error
    return Tracing(config.otlp_endpoint, config.trace_ratio)


def _stop(loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
    """Drain; whoever asks a second time does not want to wait, and ends the process as he would any other."""
    stopping.set()
    for number in _STOPS:
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)


async def _serve(config: ServerConfig) -> None:
    metrics = Metrics()
    metrics.build_info.labels(__version__).set(1)
    files = config.tls_files
    certificates = Certificates(files, metrics.tls_expiry.set) if files else None
    tracing = _start_tracing(config)
    served = ServedModels(config, metrics)
    server = Server(config, served, metrics, tracing, certificates)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _STOPS:
        loop.add_signal_handler(number, _stop, loop, stopping)
    loop.add_signal_handler(signal.SIGHUP, served.reload_soon)
    watches = [
        asyncio.create_task(measure_lag(metrics.event_loop_lag)),
        asyncio.create_task(served.drop_idle_models()),
    ]
    places = await server.start()
    names = ",".join(f"{model.name}({model.manifest.precision})" for model in served.current.in_order)
    print(f"traghetto ready: {places} models={names}", flush=True)
    try:
        await server.watch(stopping)
    finally:
        log.info(
            "stopping: running calls have %.0f s to finish; a second signal ends now", config.drain_seconds
        )
        await server.stop()
        for watch in watches:
            watch.cancel()
        if tracing is not None:
            await asyncio.to_thread(tracing.close)


def main() -> int:
    """Run the command; exit status 2 for a fault in its input, 1 for one while serving, 3 for a lost GPU."""
    try:
        config = parse_config(sys.argv[1:])
        configure_logs(config.log_level, config.log_format)
        log.info("configuration: %s", config)
        asyncio.run(_serve(config))
    except (*UNSERVABLE, TlsError) as error:
        print(f"traghetto-serve: {error}", file=sys.stderr)
        return 2
    except (ServeError, WorkerError) as error:
        print(f"traghetto-serve: {error}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
