"""The server's configuration: each field is a flag and an environment variable, parsed here alone."""

from __future__ import annotations

import argparse
import ipaddress
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from server.tls.files import PemFile, TlsError, TlsFiles, check, read_bytes

DEFAULT_BEAM_SIZE = 4  # of a call that names none, unless --max-beam-size is less
# gRPC counts a connection's age in milliseconds and 32 bits.
MAX_AGE_SECONDS = 2_147_483


class ConfigError(ValueError):
    """Flags or variables that make no sense; lists every fault."""


def _option(default: Any, help_text: str, *, choices: tuple[str, ...] | None = None) -> Any:
    return field(default=default, metadata={"help": help_text, "choices": choices})


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """What the server listens on, runs on, and where its limits are.

    Args:
        artifacts: Folders of the models, in order of preference for a language pair.
        names: What faults call an option, by field, where not by its flag.
    """

    artifacts: tuple[Path, ...]
    names: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    listen: str = _option("127.0.0.1:50051", "HOST:PORT for gRPC; port 0 takes a free one")
    metrics_listen: str = _option("127.0.0.1:9464", "HOST:PORT for Prometheus metrics over HTTP")
    health_listen: str = _option(
        "", "HOST:PORT for a second grpc.health.v1, always without TLS; empty for none"
    )
    tls_certificate: str = _option("", "PEM file of the certificate and its chain: TLS on --listen")
    tls_key: str = _option("", "PEM file of the certificate's private key")
    tls_client_ca: str = _option(
        "", "PEM file of authorities; every client must then have a certificate of one of them"
    )
    max_connection_age_seconds: float = _option(
        0.0, "age at which a connection is ended gracefully, so that clients spread anew; 0 is never"
    )
    max_connection_age_grace_seconds: float = _option(
        0.0,
        "how long calls of a connection that is ended for its age may still run; 0 is as long as they need",
    )
    admin_listen: str = _option(
        "127.0.0.1:50053", "HOST:PORT for the admin service, without TLS; empty for none"
    )
    device: str = _option("auto", "where models run", choices=("auto", "cpu", "cuda"))
    runners: int = _option(0, "threads that run each model, on CPU; 0 is one for each processor")
    slots: int = _option(96, "sequences that each runner runs at once")
    threads: int = _option(1, "threads inside one operator, on CPU")
    lone_threads: int = _option(
        0,
        "the same while only one runner has work: an int8 Transformer translates a text alone sooner, and "
        "takes the memory of its weights once more; 0 is 2 where there are two processors and that is found "
        "to be a fifth faster",
    )
    pool_gib: float = _option(
        0.0, "memory for all models' pools, in GiB; 0 is three quarters of what is free"
    )
    shortlist: bool = _option(
        default=False,
        help_text="score only the tokens that a model's shortlist names for a sentence, where it has one: "
        "faster, for a translation that may differ",
    )
    max_queue: int = _option(4096, "texts that may wait for a slot of each model")
    max_texts: int = _option(1024, "texts in one call")
    max_beam_size: int = _option(16, "largest beam that a call may ask for")
    max_source_tokens: int = _option(0, "longest source, in tokens; 0 is each model's own limit")
    max_target_tokens: int = _option(0, "longest target, in tokens; 0 is each model's own limit")
    drain_seconds: float = _option(30.0, "how long running calls may take to finish after SIGTERM")
    allow_plaintext: bool = _option(
        default=False, help_text="listen without TLS on addresses that are not loopback"
    )
    log_level: str = _option(
        "info", "least severe message logged", choices=("debug", "info", "warning", "error")
    )
    log_format: str = _option("text", "how it logs: for a person or for a machine", choices=("text", "json"))
    otlp_endpoint: str = _option(
        "", "URL of an OpenTelemetry collector, OTLP over gRPC, that gets traces; empty for none"
    )
    trace_ratio: float = _option(1.0, "share of calls traced, from 0 to 1, where the caller does not decide")

    def __post_init__(self) -> None:
        faults = [
            f"{self._called(name)} is {getattr(self, name)}, must be at least {least}"
            for name, least in (
                ("slots", 1),
                ("runners", 0),
                ("threads", 1),
                ("lone_threads", 0),
                ("pool_gib", 0),
                ("max_queue", 1),
                ("max_texts", 1),
                ("max_beam_size", 1),
                ("max_source_tokens", 0),
                ("max_target_tokens", 0),
                ("drain_seconds", 0),
                ("max_connection_age_seconds", 0),
                ("max_connection_age_grace_seconds", 0),
            )
            if not getattr(self, name) >= least  # NaN is not
        ]
        faults += [
            f"{self._called(name)} is inf, must be a number"
            for name in ("pool_gib", "drain_seconds")
            if math.isinf(getattr(self, name))
        ]
        if not self.artifacts:
            faults.append("no artifact is named")
        for f in fields(self):
            choices = f.metadata.get("choices")
            if choices and getattr(self, f.name) not in choices:
                faults.append(
                    f"{self._called(f.name)} is {getattr(self, f.name)!r}, "
                    f"must be one of {', '.join(choices)}"
                )
        faults += [*self._address_faults(), *self._age_faults(), *self._tls_faults()]
        faults += self._trace_faults()
        if faults:
            raise ConfigError("; ".join(faults))

    def _called(self, name: str) -> str:
        return self.names.get(name, _flag(name))

    @property
    def tls_files(self) -> TlsFiles | None:
        """What TLS is made of; None without it."""
        named = {
            name: PemFile(self._called(name), getattr(self, name)) for name in _TLS if getattr(self, name)
        }
        if not named:
            return None
        return TlsFiles(
            certificate=named.get("tls_certificate"),
            key=named.get("tls_key"),
            authorities=named.get("tls_client_ca"),
        )

    def _tls_faults(self) -> list[str]:
        if (files := self.tls_files) is None:
            return []
        faults = [
            f"{given} needs {self._called(name)}"
            for given in (files.certificate, files.key, files.authorities)
            for name in _TLS[:2]
            if given and not getattr(self, name)
        ]
        try:
            check(files, read_bytes(files))
        except TlsError as error:
            faults += error.faults
        return faults

    def _age_faults(self) -> list[str]:
        age, grace = self.max_connection_age_seconds, self.max_connection_age_grace_seconds
        faults = [
            f"{self._called(name)} is {getattr(self, name)}, must be 0 or from 0.001 to {MAX_AGE_SECONDS}"
            for name in ("max_connection_age_seconds", "max_connection_age_grace_seconds")
            if getattr(self, name) > MAX_AGE_SECONDS or 0 < getattr(self, name) < 0.001
        ]
        if grace > 0 and age == 0:
            name = self._called("max_connection_age_grace_seconds")
            faults.append(f"{name} {grace} needs --max-connection-age-seconds")
        return faults

    def _address_faults(self) -> list[str]:
        faults = []
        for name in ("listen", "metrics_listen", "health_listen", "admin_listen"):
            value = getattr(self, name)
            if name in _MAY_BE_EMPTY and not value:
                continue
            try:
                host, _ = split_address(value)
            except ConfigError as error:
                faults.append(f"{self._called(name)}: {error}")
                continue
            has_tls = name == "listen" and bool(self.tls_certificate)
            is_safe = has_tls or self.allow_plaintext or is_loopback(host)
            if name in _NEEDS_TRUST and not is_safe:
                remedy = "--tls-certificate and --tls-key, or " if name == "listen" else ""
                faults.append(
                    f"{self._called(name)} {value} is not a loopback address and there is no TLS: "
                    f"give {remedy}--allow-plaintext if the network is trusted"
                )
        return faults

    def _trace_faults(self) -> list[str]:
        faults = []
        if self.otlp_endpoint and not _is_url(self.otlp_endpoint):
            faults.append(
                f"{self._called('otlp_endpoint')} is {self.otlp_endpoint!r}, must be a URL such as http://127.0.0.1:4317"
            )
        if not 0 <= self.trace_ratio <= 1:
            faults.append(f"{self._called('trace_ratio')} is {self.trace_ratio}, must be from 0 to 1")
        return faults


def _is_url(value: str) -> bool:
    """Whether it is the scheme, host and port of a gRPC server: no path, which gRPC would drop."""
    scheme, _, address = value.partition("://")
    try:
        host, _ = split_address(address.removesuffix("/"))
    except ConfigError:
        return False
    return scheme in ("http", "https") and not set(host) & set("/@?#")


_MAY_BE_EMPTY = ("health_listen", "admin_listen")
_NEEDS_TRUST = ("listen", "admin_listen")


def split_address(value: str) -> tuple[str, int]:
    """Host and port of "HOST:PORT" or "[IPV6]:PORT".

    Raises:
        ConfigError: no host, or no port from 0 to 65535.
    """
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"{value!r} is no HOST:PORT with a port from 0 to 65535")
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_TLS = ("tls_certificate", "tls_key", "tls_client_ca")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _variable(name: str) -> str:
    return "TRAGHETTO_" + name.upper()


_TRUE, _FALSE = ("1", "true", "yes"), ("0", "false", "no", "")


def _from_environment(default: Any, name: str, text: str) -> Any:
    if isinstance(default, bool):
        if text.lower() not in (*_TRUE, *_FALSE):
            raise ConfigError(
                f"{_variable(name)} is {text!r}, must be one of {', '.join(_TRUE + _FALSE[:3])}"
            )
        return text.lower() in _TRUE
    try:
        return type(default)(text)
    except ValueError as error:
        raise ConfigError(f"{_variable(name)} is {text!r}, must be a number") from error


def parse_config(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> ServerConfig:
    """Flags, then TRAGHETTO_ variables, then defaults; artifacts may come from TRAGHETTO_ARTIFACTS.

    Raises:
        ConfigError: with every fault that could be found.
    """
    parser = argparse.ArgumentParser(
        prog="traghetto-serve",
        description="Serve translation models over gRPC. Every flag has a variable, --max-queue for "
        "example TRAGHETTO_MAX_QUEUE; a flag wins.",
    )
    parser.add_argument(
        "artifacts",
        nargs="*",
        type=Path,
        help=f"model folders (or TRAGHETTO_ARTIFACTS, separated by {os.pathsep!r})",
    )
    options = [f for f in fields(ServerConfig) if f.default is not MISSING]
    for f in options:
        note = f"{f.metadata['help']} (default: {f.default or 'none' if f.default != 0 else f.default})"
        if isinstance(f.default, bool):
            parser.add_argument(_flag(f.name), action="store_true", default=None, help=f.metadata["help"])
        else:
            parser.add_argument(_flag(f.name), type=type(f.default), choices=f.metadata["choices"], help=note)
    parsed = vars(parser.parse_args(arguments))
    values: dict[str, Any] = {}
    names = {}
    faults = []
    for f in options:
        if parsed[f.name] is not None:
            values[f.name] = parsed[f.name]
        elif (text := environment.get(_variable(f.name))) is not None:
            names[f.name] = _variable(f.name)
            try:
                values[f.name] = _from_environment(f.default, f.name, text)
            except ConfigError as error:
                faults.append(str(error))
    if faults:
        raise ConfigError("; ".join(faults))
    listed = [Path(p) for p in environment.get("TRAGHETTO_ARTIFACTS", "").split(os.pathsep) if p]
    return ServerConfig(artifacts=tuple(parsed["artifacts"] or listed), names=names, **values)
