"""Flags, variables, and what is refused."""

from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from server.addresses import AddressError, is_loopback, split_address
from server.command_line import option_rows, parse_config
from server.config import ServerConfig, ServerConfigError
from tests.certificates import Authority

# For each flag a value for its variable, and another one for the flag; neither is the default.
VALUES: dict[str, tuple[str, str]] = {
    "listen": ("127.0.0.1:7", "[::1]:8"),
    "metrics_listen": ("127.0.0.1:7", "0.0.0.0:8"),
    "health_listen": ("127.0.0.1:7", "0.0.0.0:8"),
    "access": ("a.toml", "b.toml"),
    "admin_listen": ("127.0.0.1:9", "127.0.0.1:10"),
    "device": ("cpu", "cuda"),
    "runners": ("7", "8"),
    "slots": ("7", "8"),
    "threads": ("7", "8"),
    "lone_threads": ("2", "4"),
    "pool_gib": ("7.5", "8.5"),
    "idle_unload_seconds": ("7.5", "8.5"),
    "model_memory_gib": ("7.5", "8.5"),
    "default_models": ("en-it=a", "en-it=b"),
    "pivot": ("en", "de"),
    "max_queue": ("7", "8"),
    "max_texts": ("7", "8"),
    "glossary": ("a=b.tsv", "c=d.tsv"),
    "max_beam_size": ("7", "8"),
    "max_call_tokens": ("7", "8"),
    "time_limit_seconds": ("7.5", "8.5"),
    "max_source_tokens": ("7", "8"),
    "max_target_tokens": ("7", "8"),
    "drain_seconds": ("7.5", "8.5"),
    "max_connection_age_seconds": ("7.5", "8.5"),
    "max_connections": ("7", "8"),
    "max_streams": ("7", "8"),
    "max_cancelled_calls": ("7", "8"),
    "handshake_seconds": ("7.5", "8.5"),
    "keepalive_seconds": ("7.5", "8.5"),
    "keepalive_timeout_seconds": ("7.5", "8.5"),
    "min_ping_seconds": ("7.5", "8.5"),
    "max_message_mib": ("7", "8"),
    "log_level": ("debug", "error"),
    "otlp_endpoint": ("http://127.0.0.1:4317", "https://collector:4317"),
    "trace_ratio": ("0.25", "0.5"),
}
CHOICES = {"load": "on-demand", "log_format": "json"}  # one that is not the default, of two
BOOLEANS = {"allow_anonymous", "allow_plaintext", "queue_late_calls", "shortlist"}
FILES = {"tls_certificate", "tls_key", "tls_client_ca"}  # must exist and fit each other
GRACE = "max_connection_age_grace_seconds"  # needs an age
WEIGHTS = "client_weights"  # need certificates


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def variable(name: str) -> str:
    return "TRAGHETTO_" + name.upper()


def test_the_tables_above_name_every_option() -> None:
    options = {f.name for f in fields(ServerConfig) if f.default is not MISSING}
    assert options == VALUES.keys() | CHOICES.keys() | BOOLEANS | FILES | {GRACE, WEIGHTS}


@pytest.mark.parametrize("name", sorted(VALUES))
def test_a_variable_replaces_the_default_and_a_flag_wins_over_both(name: str) -> None:
    from_variable, from_flag = VALUES[name]
    environment = {variable(name): from_variable}
    found = [
        getattr(parse_config(["model"], {}), name),
        getattr(parse_config(["model"], environment), name),
        getattr(parse_config(["model", flag(name), from_flag], environment), name),
    ]
    assert [str(value) for value in found[1:]] == [from_variable, from_flag]
    assert len(set(found)) == 3
    assert len({type(value) for value in found if value is not None}) == 1
    assert type(found[1]) is type(found[2])


@pytest.mark.parametrize("name", sorted(CHOICES))
def test_a_choice_comes_from_its_variable_or_its_flag(name: str) -> None:
    default = getattr(parse_config(["model"], {}), name)
    environment = {variable(name): CHOICES[name]}
    assert default != CHOICES[name]
    assert getattr(parse_config(["model"], environment), name) == CHOICES[name]
    assert getattr(parse_config(["model", flag(name), CHOICES[name]], {}), name) == CHOICES[name]
    assert getattr(parse_config(["model", flag(name), default], environment), name) == default


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:4317", "ftp://host:1", "http://host", "http://host:4317/v1/traces", "http://me:word@host:1"],
)
def test_a_collector_is_a_url_of_scheme_host_and_port(url: str) -> None:
    with pytest.raises(ServerConfigError, match="--otlp-endpoint"):
        parse_config(["model", f"--otlp-endpoint={url}"], {})
    assert parse_config(["model", "--otlp-endpoint=http://[::1]:4317/"], {}).otlp_endpoint


@pytest.mark.parametrize("ratio", ["-0.1", "1.1", "nan"])
def test_a_share_of_calls_lies_between_none_and_all(ratio: str) -> None:
    with pytest.raises(ServerConfigError, match=f"--trace-ratio is {ratio}"):
        parse_config(["model", f"--trace-ratio={ratio}"], {})


def test_files_of_tls_come_from_variables_and_flags_win(tmp_path: Path) -> None:
    authority = Authority()
    paths = {}
    for source in ("variable", "flag"):
        certificate, key = authority.issue().write(tmp_path / source)
        authorities = tmp_path / source / "ca.crt"
        authorities.write_bytes(authority.certificate)
        chosen = {"tls_certificate": certificate, "tls_key": key, "tls_client_ca": authorities}
        assert chosen.keys() == FILES
        paths[source] = {name: str(path) for name, path in chosen.items()}
    environment = {variable(name): path for name, path in paths["variable"].items()}
    flags = [f"{flag(name)}={path}" for name, path in paths["flag"].items()]
    for arguments, given, source in (([], environment, "variable"), (flags, environment, "flag")):
        config = parse_config(["model", *arguments], given)
        assert {name: getattr(config, name) for name in FILES} == paths[source]


def test_weights_are_of_clients_that_have_a_certificate() -> None:
    certificates = [f"{flag(name)}={name}.pem" for name in sorted(FILES)]
    environment = {variable(WEIGHTS): "shop=4"}
    config = parse_config(["model", *certificates], environment)
    assert config.weights_of_clients == {"name:shop": 4.0}
    config = parse_config(["model", *certificates, f"{flag(WEIGHTS)}=CN=a b = 0.5,shop=2"], environment)
    assert config.weights_of_clients == {"name:CN=a b": 0.5, "name:shop": 2.0}
    assert parse_config(["model"], {variable(WEIGHTS): ""}).weights_of_clients == {}
    with pytest.raises(ServerConfigError, match="TRAGHETTO_CLIENT_WEIGHTS needs --access or --tls-client-ca"):
        parse_config(["model"], environment)


@pytest.mark.parametrize("text", ["shop", "=4", "shop=", "shop=0", "shop=-1", "shop=nan", "shop=inf", "a=1,"])
def test_a_weight_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ServerConfigError, match=f"^{flag(WEIGHTS)}: "):
        parse_config(["model", f"{flag(WEIGHTS)}={text}"], {})


@pytest.mark.parametrize("name", ["listen", "health_listen", "admin_listen"])
def test_a_unix_socket_needs_no_tls(name: str) -> None:
    assert getattr(parse_config(["model", flag(name), "unix:/run/a.sock"], {}), name) == "unix:/run/a.sock"
    for path in ("", "/" + "a" * 107):
        with pytest.raises(ServerConfigError, match=f"^{flag(name)}: .* is no unix:PATH"):
            parse_config(["model", flag(name), f"unix:{path}"], {})
    with pytest.raises(ServerConfigError, match=r"--metrics-listen: .* is no HOST:PORT"):
        parse_config(["model", "--metrics-listen=unix:/run/a.sock"], {})


def test_an_age_has_its_grace_and_the_grace_needs_an_age() -> None:
    environment = {variable(GRACE): "7.5", "TRAGHETTO_MAX_CONNECTION_AGE_SECONDS": "60"}
    assert getattr(parse_config(["model"], environment), GRACE) == 7.5
    assert getattr(parse_config(["model", flag(GRACE), "8.5"], environment), GRACE) == 8.5
    with pytest.raises(ServerConfigError, match=r"-grace-seconds 8.5 needs --max-connection-age-seconds"):
        parse_config(["model", flag(GRACE), "8.5"], {})


@pytest.mark.parametrize("name", ["max_connection_age_seconds", GRACE])
@pytest.mark.parametrize("value", ["0.0009", "2147484.0", "inf", "-1.0"])
def test_an_age_that_grpc_cannot_count_is_refused(value: str, name: str) -> None:
    arguments = ["--max-connection-age-seconds=1", f"{flag(name)}={value}"]
    with pytest.raises(ServerConfigError, match=f"^{flag(name)} is {value}, must be "):
        parse_config(["model", *arguments], {})


@pytest.mark.parametrize(
    "name", ["handshake_seconds", "keepalive_seconds", "keepalive_timeout_seconds", "min_ping_seconds"]
)
@pytest.mark.parametrize("value", ["0.0009", "2147484.0", "inf", "-1.0", "nan"])
def test_a_time_between_signs_of_life_that_grpc_cannot_count_is_refused(value: str, name: str) -> None:
    with pytest.raises(ServerConfigError, match=f"^{flag(name)} is {value}, must be from"):
        parse_config(["model", f"{flag(name)}={value}"], {})
    assert parse_config(["model", "--keepalive-seconds=0"], {}).keepalive_seconds is None


@pytest.mark.parametrize("value", ["0", "1025", "-4"])
def test_a_message_that_grpc_cannot_count_is_refused(value: str) -> None:
    with pytest.raises(ServerConfigError, match=f"^--max-message-mib is {value}, must be"):
        parse_config(["model", f"--max-message-mib={value}"], {})
    assert parse_config(["model", "--max-message-mib=8"], {}).max_message_bytes == 8 << 20


@pytest.mark.parametrize("name", sorted(BOOLEANS))
@pytest.mark.parametrize("text", ["1", "true", "YES"])
def test_a_boolean_variable_turns_its_option_on(text: str, name: str) -> None:
    assert getattr(parse_config(["model"], {variable(name): text}), name) is True


@pytest.mark.parametrize("name", sorted(BOOLEANS))
@pytest.mark.parametrize("text", ["0", "False", "no", ""])
def test_a_boolean_variable_turns_its_option_off_and_the_flag_wins(text: str, name: str) -> None:
    environment = {variable(name): text}
    assert getattr(parse_config(["model"], environment), name) is False
    assert getattr(parse_config(["model", flag(name)], environment), name) is True


def test_artifacts_come_from_arguments_or_else_from_their_variable() -> None:
    environment = {"TRAGHETTO_ARTIFACTS": "one:two"}
    assert parse_config([], environment).artifacts == (Path("one"), Path("two"))
    assert parse_config(["three"], environment).artifacts == (Path("three"),)


def test_without_an_artifact_there_is_nothing_to_serve() -> None:
    with pytest.raises(ServerConfigError, match="no artifact"):
        parse_config([], {"TRAGHETTO_ARTIFACTS": ""})


def test_all_faults_are_listed_at_once() -> None:
    least = dict.fromkeys(("slots", "threads", "max_queue", "max_texts", "max_beam_size"), "0")
    least |= dict.fromkeys(("runners", "max_source_tokens", "max_target_tokens"), "-1")
    least |= {"drain_seconds": "-1", "pool_gib": "-0.5"}
    addresses = {"listen": "nonsense", "metrics_listen": "127.0.0.1:70000", "health_listen": ":9"}
    arguments = [f"{flag(name)}={value}" for name, value in (least | addresses).items()]
    environment = {"TRAGHETTO_DEVICE": "abacus", "TRAGHETTO_LOG_LEVEL": "loud"}
    with pytest.raises(ServerConfigError) as caught:
        parse_config(arguments, environment)
    for name in (*map(flag, (*least, *addresses)), *environment):
        assert name in str(caught.value)
    assert all(word in str(caught.value) for word in ("no artifact", "abacus", "loud", "70000", "nonsense"))


def test_every_variable_that_is_no_number_is_named() -> None:
    environment = {
        "TRAGHETTO_SLOTS": "many",
        "TRAGHETTO_DRAIN_SECONDS": "a while",
        "TRAGHETTO_ALLOW_PLAINTEXT": "perhaps",
    }
    for name, value in environment.items():
        with pytest.raises(ServerConfigError, match=f"{name} is '{value}'"):
            parse_config(["model"], {name: value})
    with pytest.raises(ServerConfigError) as caught:
        parse_config(["model"], environment)
    assert all(name in str(caught.value) for name in environment)


@pytest.mark.parametrize("name", ["drain_seconds", "pool_gib", "max_connection_age_seconds"])
@pytest.mark.parametrize("value", ["nan", "-0.1"])
def test_a_quantity_that_is_none_is_refused(value: str, name: str) -> None:
    with pytest.raises(ServerConfigError, match=f"{flag(name)} is {value}"):
        parse_config(["model", f"{flag(name)}={value}"], {})


def test_a_flag_with_a_bad_value_ends_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--slots", "many"], ["--device", "abacus"], ["--no-such-flag"]):
        with pytest.raises(SystemExit) as caught:
            parse_config(["model", *arguments], {})
        assert caught.value.code == 2
        assert arguments[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    "address", ["0.0.0.0:1", "[::]:1", "192.168.0.7:1", "example.org:1", "[2001:db8::1]:1"]
)
def test_plain_text_beyond_loopback_must_be_allowed(address: str) -> None:
    with pytest.raises(ServerConfigError, match="--allow-plaintext"):
        parse_config(["model", "--listen", address], {})
    trusted = ["model", "--listen", address, "--allow-plaintext"]
    assert parse_config([*trusted, "--allow-anonymous"], {}).listen == address


@pytest.mark.parametrize("name", ["listen", "admin_listen"])
def test_anybody_beyond_loopback_must_be_let_in_by_name(name: str) -> None:
    public = ["model", f"{flag(name)}=0.0.0.0:1", "--allow-plaintext"]
    with pytest.raises(ServerConfigError, match=f"^{flag(name)} 0.0.0.0:1 .* --access FILE, or --allow-ano"):
        parse_config(public, {})
    for way in ("--access=access.toml", "--allow-anonymous"):
        assert getattr(parse_config([*public, way], {}), name) == "0.0.0.0:1"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_permission(host: str) -> None:
    assert is_loopback(host)
    address = f"[{host}]:0" if ":" in host else f"{host}:0"
    assert parse_config(["model", "--listen", address], {}).listen == address


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]:65535", ("::1", 65535)),
        ("localhost:50051", ("localhost", 50051)),
    ],
)
def test_an_address_is_a_host_and_a_port(address: str, expected: tuple[str, int]) -> None:
    assert split_address(address) == expected


@pytest.mark.parametrize("address", ["", "host", "host:", ":1", "host:-1", "host:65536", "host:http", "1"])
def test_what_is_no_host_and_port_is_refused(address: str) -> None:
    with pytest.raises(AddressError, match="HOST:PORT"):
        split_address(address)


def test_help_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_config(["--help"], {})
    text = capsys.readouterr().out
    assert all(flag(name) in text for name in VALUES.keys() | CHOICES.keys() | BOOLEANS | FILES | {GRACE})


def test_a_fault_of_a_variable_is_reported_under_its_name() -> None:
    with pytest.raises(ServerConfigError, match=r"^TRAGHETTO_SLOTS is 0, must be at least 1; --threads is 0"):
        parse_config(["model", "--threads=0"], {"TRAGHETTO_SLOTS": "0", "TRAGHETTO_THREADS": "7"})
    with pytest.raises(ServerConfigError, match=r"^TRAGHETTO_LISTEN: 'nowhere' is no HOST:PORT"):
        parse_config(["model"], {"TRAGHETTO_LISTEN": "nowhere"})


@pytest.mark.parametrize("name", ["pool_gib", "model_memory_gib", "idle_unload_seconds", "drain_seconds"])
def test_what_must_end_is_no_infinity(name: str) -> None:
    with pytest.raises(ServerConfigError, match=f"^{flag(name)} is inf, must be a number$"):
        parse_config(["model", f"{flag(name)}=inf"], {})


def test_defaults_and_pivots_are_read_whole_or_refused_with_what_is_wrong() -> None:
    config = parse_config(["model", "--default-models=en-it=a, en-pt-BR=b=c", "--pivot=en, zh-Hans"], {})
    assert config.defaults_of_pairs == {"en-it": "a", "en-pt-BR": "b=c"}
    assert config.pivot_languages == ("en", "zh-Hans")
    for value, fault in (
        ("en-it", "has 'en-it', must be PAIR=NAME"),
        ("en-it=a,", "has '', must be PAIR=NAME"),
        ("en-it=a,en-it=b", "has 'en-it' more than once"),
    ):
        with pytest.raises(ServerConfigError, match=f"^--default-models {fault}"):
            parse_config(["model", f"--default-models={value}"], {})
    with pytest.raises(ServerConfigError, match=r"^--pivot has '', must be BCP-47 language codes"):
        parse_config(["model", "--pivot=en,"], {})


# What an operator may write for none, by field.
NONE = {
    **dict.fromkeys(("health_listen", "admin_listen", "tls_certificate", "tls_key", "tls_client_ca"), ""),
    **dict.fromkeys(("runners", "lone_threads", "max_source_tokens", "max_target_tokens"), "0"),
    "max_connections": "0",
    **dict.fromkeys(("pool_gib", "model_memory_gib", "idle_unload_seconds"), "0.0"),
    **dict.fromkeys(("max_connection_age_seconds", GRACE), "0.0"),
    **dict.fromkeys(("access", "default_models", "pivot"), ""),
    "otlp_endpoint": "",
    "glossary": "",
    WEIGHTS: "",
    "max_call_tokens": "0",
}
HAVE_DEFAULTS = {"admin_listen", "max_call_tokens"}  # of these


@pytest.mark.parametrize("name", sorted(NONE))
def test_0_and_an_empty_text_of_an_operator_are_none(name: str) -> None:
    assert getattr(parse_config(["model", f"{flag(name)}={NONE[name]}"], {}), name) is None
    assert getattr(parse_config(["model"], {variable(name): NONE[name]}), name) is None
    if name not in HAVE_DEFAULTS:
        assert getattr(parse_config(["model"], {}), name) is None


@pytest.mark.parametrize("value", [0, 0.0, ""])
def test_our_own_code_says_none_where_it_means_none(value: float | str) -> None:
    for name in NONE:
        with pytest.raises(AssertionError, match=name):
            ServerConfig(artifacts=(Path("model"),), **{name: value})  # type: ignore[arg-type]


def test_no_file_is_read_to_know_the_flags(tmp_path: Path) -> None:
    flags = [f"--tls-{name}={tmp_path / 'nowhere'}" for name in ("certificate", "key")]
    assert parse_config(["model", *flags], {}).tls_files is not None


def test_every_option_has_a_row_with_its_flag_its_variable_and_what_it_is() -> None:
    rows = list(option_rows())
    options = [f.name for f in fields(ServerConfig) if f.default is not MISSING]
    assert [row.flag for row in rows] == [flag(name) for name in options]
    assert [row.variable for row in rows] == [variable(name) for name in options]
    assert all(row.help and row.kind and row.default for row in rows)
    described = {row.flag: row for row in rows}
    assert {
        name for name in options if described[flag(name)].default == "none"
    } == NONE.keys() - HAVE_DEFAULTS
    assert all(
        word in described[flag(name)].help
        for name in NONE.keys() - HAVE_DEFAULTS - {"tls_key"}
        for word in ("left out", ": ")
    )


@pytest.mark.parametrize(
    ("text", "fault"), [("legal", "'legal' is no NAME=FILE"), ("a=b,a=c", "'a' is there twice")]
)
def test_glossaries_that_have_no_name_of_their_own_are_refused(text: str, fault: str) -> None:
    with pytest.raises(ServerConfigError, match=f"^--glossary: {fault}$"):
        ServerConfig(artifacts=(Path("a"),), glossary=text)
