"""What gRPC itself is told of connections, streams, pings and messages."""

from __future__ import annotations

from server.config import ServerConfig

Options = list[tuple[str, int]]

# Calls that have arrived and that nobody has looked at yet, and for how long. By default gRPC begins
# at 1,000, and after 30 s, to end some as CANCELLED by itself, unseen and uncounted; what there is
# too much of is for the queue to refuse, by name.
_MAX_PENDING = 10_000
_MAX_UNSEEN_SECONDS = 600


def plain_options(config: ServerConfig) -> Options:
    """Of every listener."""
    return [
        ("grpc.so_reuseport", 0),  # a port that is taken is an error, not a shared one
        ("grpc.max_receive_message_length", config.max_message_bytes),
        ("grpc.max_send_message_length", config.max_message_bytes),
        # What a connection may have open. gRPC counts those that ended and that Python has not let go yet
        # too, which a client cannot know of: without room for as many again a burst would be refused.
        ("grpc.max_concurrent_streams", config.max_streams),
        ("grpc.http2.max_deallocating_streams", config.max_streams),
        ("grpc.server.max_pending_requests", _MAX_PENDING),
        ("grpc.server.max_pending_requests_hard_limit", 2 * _MAX_PENDING),
        ("grpc.server_max_unrequested_time_in_server", _MAX_UNSEEN_SECONDS),
        # By default gRPC gives a connection that says nothing two minutes.
        ("grpc.server_handshake_timeout_ms", _milliseconds(config.handshake_seconds)),
        *_keepalive(config),
    ]


def translation_options(config: ServerConfig) -> Options:
    """Of the listener that translates."""
    options = plain_options(config)
    if config.max_connections is not None:
        options.append(("grpc.max_allowed_incoming_connections", config.max_connections))
    ages = (
        ("grpc.max_connection_age_ms", config.max_connection_age_seconds),
        ("grpc.max_connection_age_grace_ms", config.max_connection_age_grace_seconds),
    )
    return options + [(name, _milliseconds(seconds)) for name, seconds in ages if seconds is not None]


def _keepalive(config: ServerConfig) -> Options:
    options = [
        # By default gRPC takes a ping in five minutes from a client that waits for an answer, and ends the
        # connection of one that is more careful: "too many pings".
        ("grpc.http2.min_ping_interval_without_data_ms", _milliseconds(config.min_ping_seconds)),
        ("grpc.keepalive_permit_without_calls", 1),
    ]
    if config.keepalive_seconds is not None:
        options += [
            ("grpc.keepalive_time_ms", _milliseconds(config.keepalive_seconds)),
            ("grpc.keepalive_timeout_ms", _milliseconds(config.keepalive_timeout_seconds)),
        ]
    return options


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
