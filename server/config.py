"""The server's configuration: its fields, their defaults, and the rules between them.

`server/command_line.py` makes one from flags and environment variables. Nothing here reads a file.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from model.text.language_codes import is_language_code
from server.addresses import AddressError, is_collector_url, is_local, is_loopback, split_address
from server.documents.glossary_file import GlossaryError, parse_glossary_files
from server.tls.files import PemFile, TlsFiles
from server.work.client_weights import Weights, WeightsError, parse_weights

DEFAULT_BEAM_SIZE = 4  # of a call that names none, unless --max-beam-size is less
# gRPC counts a connection's age in milliseconds and 32 bits.
MAX_AGE_SECONDS = 2_147_483
MAX_MESSAGE_MIB = 1024  # gRPC counts a message's bytes in 32 bits


class ServerConfigError(ValueError):
    """Flags or variables of the server that make no sense; lists every fault."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """What a field of `ServerConfig` is to an operator, beside its name and its default.

    Args:
        help: What it is for, and what leaving it out means.
        kind: Type of its value: str, int, float or bool.
        choices: All values that it may have; None if it is free.
        may_be_none: Whether 0 or an empty text of an operator stands for None.
    """

    help: str
    kind: type[str | int | float]
    choices: tuple[str, ...] | None = None
    may_be_none: bool = False


def _option(default: Any, help_text: str, *, choices: tuple[str, ...] | None = None) -> Any:
    option = Option(help=help_text, kind=type(default), choices=choices)
    return field(default=default, metadata={"option": option})


def _optional(kind: type[str | int | float], help_text: str, default: Any = None) -> Any:
    return field(default=default, metadata={"option": Option(help=help_text, kind=kind, may_be_none=True)})


def options_of_server() -> Iterator[tuple[Field[Any], Option]]:
    """Each field that is an option, with what it is to an operator, in the order of the help."""
    for config_field in fields(ServerConfig):
        if config_field.default is not MISSING:
            yield config_field, config_field.metadata["option"]


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """What the server listens on, runs on, and where its limits are.

    Args:
        artifacts: Folders of the models, in order of preference for a language pair.
        names: What faults call an option, by field, where not by its flag.

    Raises:
        ServerConfigError: fields break a rule; lists every fault.
    """

    artifacts: tuple[Path, ...]
    names: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    listen: str = _option("127.0.0.1:50051", "HOST:PORT for gRPC, or unix:PATH; port 0 takes a free one")
    metrics_listen: str = _option("127.0.0.1:9464", "HOST:PORT for Prometheus metrics over HTTP")
    health_listen: str | None = _optional(
        str, "HOST:PORT or unix:PATH for a second grpc.health.v1, always without TLS; left out or empty: none"
    )
    tls_certificate: str | None = _optional(
        str, "PEM file of the certificate and its chain: TLS on --listen; left out: no TLS"
    )
    tls_key: str | None = _optional(
        str, "PEM file of the certificate's private key; goes with --tls-certificate"
    )
    tls_client_ca: str | None = _optional(
        str,
        "PEM file of authorities; every client must then have a certificate of one of them; left out: no "
        "client needs one",
    )
    access: str | None = _optional(
        str,
        "TOML file of tenants: who may call, for which models and pairs, and how much; left out or empty: "
        "whoever reaches --listen",
    )
    allow_anonymous: bool = _option(
        default=False,
        help_text="listen without --access on addresses that are not loopback: whoever reaches them may call",
    )
    max_connection_age_seconds: float | None = _optional(
        float,
        "age at which a connection is ended gracefully, so that clients spread anew; left out or 0: never",
    )
    max_connection_age_grace_seconds: float | None = _optional(
        float,
        "how long calls of a connection that is ended for its age may still run; left out or 0: as long as "
        "they need",
    )
    max_connections: int | None = _optional(
        int,
        "connections to --listen at once; one more is closed as it comes; left out or 0: as many as the "
        "process may have files",
    )
    max_streams: int = _option(
        128,
        "calls that a connection may have open at once; a client's others wait on its side, within their "
        "deadlines",
    )
    max_cancelled_calls: int | None = _optional(
        int,
        "calls that an address may cancel in a minute, beside as many as it lets end; the connection on "
        "which it cancels one more is closed; 0: any number",
        default=3000,
    )
    handshake_seconds: float = _option(
        10.0, "how long a new connection may take until it speaks HTTP/2, TLS included; then it is closed"
    )
    keepalive_seconds: float | None = _optional(
        float,
        "silence on a connection after which the client is asked for a sign of life; 0: never",
        default=60.0,
    )
    keepalive_timeout_seconds: float = _option(
        20.0, "how long the client has to give one; then its connection and its calls end"
    )
    min_ping_seconds: float = _option(
        1.0, "how often a client may ask for one: the connection of one that asks more often is ended"
    )
    max_message_mib: int = _option(4, "largest message, of a request and of an answer, in MiB")
    admin_listen: str | None = _optional(
        str,
        "HOST:PORT or unix:PATH for the admin service, without TLS; empty: none",
        default="127.0.0.1:50053",
    )
    device: str = _option("auto", "where models run", choices=("auto", "cpu", "cuda"))
    runners: int | None = _optional(
        int, "threads that run each model, on CPU; left out or 0: one for each processor"
    )
    slots: int = _option(96, "sequences that each runner runs at once")
    threads: int = _option(1, "threads inside one operator, on CPU")
    lone_threads: int | None = _optional(
        int,
        "threads inside one operator while only one runner has work: an int8 Transformer translates a text "
        "alone sooner, and takes the memory of its weights once more; left out or 0: 2 where there are two "
        "processors and that is found to be a fifth faster",
    )
    pool_gib: float | None = _optional(
        float,
        "memory for all models' pools, in GiB; left out or 0: three quarters of what is free, with --load "
        "on-demand of what --model-memory-gib leaves",
    )
    load: str = _option(
        "start",
        "when models come into memory: all at the start, or each when a call first needs it",
        choices=("start", "on-demand"),
    )
    idle_unload_seconds: float | None = _optional(
        float,
        "time without a call after which a model leaves memory, until a call needs it again; left out or 0: "
        "never",
    )
    model_memory_gib: float | None = _optional(
        float,
        "memory for the weights of all models that are loaded, in GiB; left out or 0: no limit, but with "
        "--load on-demand a quarter of what is free",
    )
    default_models: str | None = _optional(
        str,
        "PAIR=NAME,... as en-it=large: the model of a pair that several serve, for calls that name none; "
        "left out or empty: the first that is named",
    )
    pivot: str | None = _optional(
        str,
        "LANGUAGE,... as en,de: languages through which a pair that no model serves is translated by two, "
        "the first that serves; left out or empty: none",
    )
    shortlist: bool = _option(
        default=False,
        help_text="score only the tokens that a model's shortlist names for a sentence, where it has one: "
        "faster, for a translation that may differ",
    )
    max_queue: int = _option(4096, "sentences that may wait for a slot of each model")
    max_texts: int = _option(1024, "texts in one call")
    max_beam_size: int = _option(16, "largest beam that a call may ask for")
    max_call_tokens: int | None = _optional(
        int,
        "largest cost of a call: its source tokens and the target tokens expected of them, times the beam; "
        "0: none",
        default=1 << 22,  # a book: 16,384 sentences of 64 tokens, in and out, by a beam of 4
    )
    queue_late_calls: bool = _option(
        default=False, help_text="let calls wait that are not expected to be done before their deadline"
    )
    client_weights: str | None = _optional(
        str,
        "NAME=WEIGHT,... with the names of tenants, or without --access the common names of clients' "
        "certificates: shares of a model, against 1 of any other client, while several have work; left out "
        "or empty: all alike",
    )
    glossary: str | None = _optional(
        str,
        "NAME=FILE,... with glossaries that calls may name: tab-separated files, read again with the models; "
        "left out or empty: none",
    )
    time_limit_seconds: float | None = _optional(
        float,
        "time limit of a call whose client sets no deadline; 0: none",
        default=300.0,
    )
    max_source_tokens: int | None = _optional(
        int, "longest source, in tokens; left out or 0: each model's own limit"
    )
    max_target_tokens: int | None = _optional(
        int, "longest target, in tokens; left out or 0: each model's own limit"
    )
    drain_seconds: float = _option(30.0, "how long running calls may take to finish after SIGTERM")
    allow_plaintext: bool = _option(
        default=False, help_text="listen without TLS on addresses that are not loopback"
    )
    log_level: str = _option(
        "info", "least severe message logged", choices=("debug", "info", "warning", "error")
    )
    log_format: str = _option("text", "how it logs: for a person or for a machine", choices=("text", "json"))
    otlp_endpoint: str | None = _optional(
        str, "URL of an OpenTelemetry collector, OTLP over gRPC, that gets traces; left out or empty: none"
    )
    trace_ratio: float = _option(1.0, "share of calls traced, from 0 to 1, where the caller does not decide")

    def __post_init__(self) -> None:
        for config_field, option in options_of_server():
            value = getattr(self, config_field.name)
            assert not option.may_be_none or value is None or value, f"{config_field.name}: None is for none"
        faults = self._number_faults()
        if not self.artifacts:
            faults.append("no artifact is named")
        faults += [
            *self._choice_faults(),
            *self._address_faults(),
            *self._age_faults(),
            *self._connection_faults(),
            *self._tls_faults(),
            *self._weight_faults(),
            *self._default_faults(),
            *self._pivot_faults(),
            *self._glossary_faults(),
            *self._trace_faults(),
        ]
        if faults:
            raise ServerConfigError("; ".join(faults))

    def _called(self, name: str) -> str:
        return self.names.get(name, flag_of(name))

    @property
    def max_message_bytes(self) -> int:
        """The largest message of a request and of an answer."""
        return self.max_message_mib << 20

    @property
    def weights_of_clients(self) -> Weights:
        """The shares of clients that have another than 1."""
        return {} if self.client_weights is None else parse_weights(self.client_weights)

    @property
    def is_on_demand(self) -> bool:
        """Whether models are loaded when a call first needs them."""
        return self.load == "on-demand"

    @property
    def defaults_of_pairs(self) -> Mapping[str, str]:
        """The model of a pair, by the pair as it is listed, where it is not the first that serves it."""
        parts = self.default_models.split(",") if self.default_models else []
        return dict(part.strip().split("=", 1) for part in parts)

    @property
    def pivot_languages(self) -> tuple[str, ...]:
        """The languages through which pairs may be translated, the preferred first."""
        return tuple(part.strip() for part in self.pivot.split(",")) if self.pivot else ()

    @property
    def glossary_files(self) -> dict[str, Path]:
        """The files of glossaries, not read yet, by their names."""
        return {} if self.glossary is None else parse_glossary_files(self.glossary)

    @property
    def tls_files(self) -> TlsFiles | None:
        """What TLS is made of, not read yet; None without it."""
        files = {name: PemFile(self._called(name), path) for name in _TLS if (path := getattr(self, name))}
        if not files:
            return None
        return TlsFiles(
            certificate=files.get("tls_certificate"),
            key=files.get("tls_key"),
            authorities=files.get("tls_client_ca"),
        )

    def _number_faults(self) -> list[str]:
        faults = [
            f"{self._called(name)} is {value}, must be at least {least}"
            for name, least in _LEAST.items()
            if (value := getattr(self, name)) is not None and not value >= least  # NaN is not
        ]
        return faults + [
            f"{self._called(name)} is inf, must be a number"
            for name in (
                "pool_gib",
                "model_memory_gib",
                "idle_unload_seconds",
                "drain_seconds",
                "time_limit_seconds",
            )
            if (value := getattr(self, name)) is not None and math.isinf(value)
        ]

    def _choice_faults(self) -> Iterator[str]:
        for config_field, option in options_of_server():
            value = getattr(self, config_field.name)
            if option.choices and value not in option.choices:
                choices = ", ".join(option.choices)
                yield f"{self._called(config_field.name)} is {value!r}, must be one of {choices}"

    def _tls_faults(self) -> Iterator[str]:
        if (files := self.tls_files) is None:
            return
        for file in (files.certificate, files.key, files.authorities):
            for name in _TLS[:2]:
                if file and not getattr(self, name):
                    yield f"{file} needs {self._called(name)}"

    def _weight_faults(self) -> Iterator[str]:
        if self.client_weights is None:
            return
        name = self._called("client_weights")
        try:
            parse_weights(self.client_weights)
        except WeightsError as error:
            yield f"{name}: {error}"
        if self.tls_client_ca is None and self.access is None:
            needed = f"{self._called('access')} or {self._called('tls_client_ca')}"
            yield f"{name} needs {needed}: no client has a name without a credential"

    def _default_faults(self) -> Iterator[str]:
        parts = [part.strip() for part in (self.default_models or "").split(",")]
        pairs = Counter(part.partition("=")[0] for part in parts)
        for part in parts if self.default_models else []:
            pair, _, name = part.partition("=")
            if not (pair and name):
                yield f"{self._called('default_models')} has {part!r}, must be PAIR=NAME, as en-it=large"
            elif pairs.pop(pair, 0) > 1:
                yield f"{self._called('default_models')} has {pair!r} more than once"

    def _pivot_faults(self) -> Iterator[str]:
        for language in self.pivot_languages:
            if not is_language_code(language):
                yield f"{self._called('pivot')} has {language!r}, must be BCP-47 language codes, as en,de"

    def _glossary_faults(self) -> Iterator[str]:
        try:
            _ = self.glossary_files
        except GlossaryError as error:
            yield f"{self._called('glossary')}: {error}"

    def _age_faults(self) -> Iterator[str]:
        for name in ("max_connection_age_seconds", "max_connection_age_grace_seconds"):
            age = getattr(self, name)
            if age is not None and (age > MAX_AGE_SECONDS or 0 < age < 0.001):
                yield f"{self._called(name)} is {age}, must be 0 or from 0.001 to {MAX_AGE_SECONDS}"
        grace = self.max_connection_age_grace_seconds
        if grace is not None and grace > 0 and self.max_connection_age_seconds is None:
            name = self._called("max_connection_age_grace_seconds")
            yield f"{name} {grace} needs --max-connection-age-seconds"

    def _connection_faults(self) -> Iterator[str]:
        names = ("handshake_seconds", "keepalive_seconds", "keepalive_timeout_seconds", "min_ping_seconds")
        for name in names:
            seconds = getattr(self, name)
            if seconds is not None and not 0.001 <= seconds <= MAX_AGE_SECONDS:
                yield f"{self._called(name)} is {seconds}, must be from 0.001 to {MAX_AGE_SECONDS}"
        if self.max_message_mib > MAX_MESSAGE_MIB:
            name = self._called("max_message_mib")
            yield f"{name} is {self.max_message_mib}, must be at most {MAX_MESSAGE_MIB}"

    def _address_faults(self) -> Iterator[str]:
        for name in ("listen", "metrics_listen", "health_listen", "admin_listen"):
            if (address := getattr(self, name)) is None:
                continue
            try:
                # Prometheus asks over TCP.
                is_here = (
                    is_loopback(split_address(address)[0]) if name == "metrics_listen" else is_local(address)
                )
            except AddressError as error:
                yield f"{self._called(name)}: {error}"
                continue
            has_tls = name == "listen" and self.tls_certificate is not None
            is_safe = has_tls or self.allow_plaintext or is_here
            if name in _NEEDS_TRUST and not is_safe:
                remedy = "--tls-certificate and --tls-key, or " if name == "listen" else ""
                yield (
                    f"{self._called(name)} {address} is not a loopback address and there is no TLS: "
                    f"give {remedy}--allow-plaintext if the network is trusted"
                )
            if name in _NEEDS_TRUST and not (is_here or self.access or self.allow_anonymous):
                yield (
                    f"{self._called(name)} {address} is not a loopback address and anybody may call: "
                    "give --access FILE, or --allow-anonymous if whoever reaches it may"
                )

    def _trace_faults(self) -> Iterator[str]:
        if self.otlp_endpoint is not None and not is_collector_url(self.otlp_endpoint):
            yield (
                f"{self._called('otlp_endpoint')} is {self.otlp_endpoint!r}, "
                "must be a URL such as http://127.0.0.1:4317"
            )
        if not 0 <= self.trace_ratio <= 1:
            yield f"{self._called('trace_ratio')} is {self.trace_ratio}, must be from 0 to 1"


_NEEDS_TRUST = ("listen", "admin_listen")
_TLS = ("tls_certificate", "tls_key", "tls_client_ca")
_LEAST = {  # of a number that is there; an operator's 0 for none is None by now
    "slots": 1,
    "runners": 0,
    "threads": 1,
    "lone_threads": 0,
    "pool_gib": 0,
    "model_memory_gib": 0,
    "idle_unload_seconds": 0,
    "max_queue": 1,
    "max_texts": 1,
    "max_beam_size": 1,
    "max_call_tokens": 0,
    "time_limit_seconds": 0,
    "max_source_tokens": 0,
    "max_target_tokens": 0,
    "drain_seconds": 0,
    "max_connection_age_seconds": 0,
    "max_connection_age_grace_seconds": 0,
    "max_connections": 0,
    "max_streams": 1,
    "max_cancelled_calls": 0,
    "max_message_mib": 1,
}


def flag_of(name: str) -> str:
    """The flag of a field.

    >>> flag_of("max_queue")
    '--max-queue'
    """
    return "--" + name.replace("_", "-")


def variable_of(name: str) -> str:
    """The environment variable of a field.

    >>> variable_of("max_queue")
    'TRAGHETTO_MAX_QUEUE'
    """
    return "TRAGHETTO_" + name.upper()
