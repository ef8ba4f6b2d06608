"""Files that can serve for TLS, and what is said of those that cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from server.command_line import parse_config
from server.config import ServerConfig, ServerConfigError
from server.tls.files import TlsError, check, read_bytes
from tests.certificates import Authority, pem

AUTHORITY = Authority()
SERVER = AUTHORITY.issue()
FILES = {"certificate": SERVER.certificate, "key": SERVER.key, "client-ca": AUTHORITY.certificate}
Configure = Callable[..., ServerConfig]
P521, ED25519 = ec.generate_private_key(ec.SECP521R1()), ed25519.Ed25519PrivateKey.generate()


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """Flags for files of these contents, and any more flags, checked as before a server loads a model.

    None is a file that is missing.
    """

    def parse(contents: dict[str, bytes | None], *more: str) -> ServerConfig:
        flags = []
        for name, content in contents.items():
            path = tmp_path / f"{name}.pem"
            if content is not None:
                path.write_bytes(content)
            flags.append(f"--tls-{name}={path}")
        config = parse_config(["model", *flags, *more], {})
        if config.tls_files is not None:
            check(config.tls_files, read_bytes(config.tls_files))
        return config

    return parse


def test_files_that_fit_are_taken(configure: Configure, tmp_path: Path) -> None:
    config = configure(FILES)
    files = config.tls_files
    assert files is not None
    found = (files.certificate, files.key, files.authorities)
    assert [str(i) for i in found] == [f"--tls-{name} {tmp_path / name}.pem" for name in FILES]
    assert configure({}).tls_files is None


def test_with_tls_no_address_needs_permission_for_plain_text(configure: Configure) -> None:
    pair = {name: FILES[name] for name in ("certificate", "key")}
    assert (
        configure(pair, "--listen=0.0.0.0:1", "--allow-anonymous", "--health-listen=0.0.0.0:2").listen
        == "0.0.0.0:1"
    )


def test_a_chain_an_old_authority_in_it_and_a_key_in_the_same_file_are_fine(configure: Configure) -> None:
    old = Authority("old", (-10, -5)).certificate
    together = SERVER.key + SERVER.certificate + AUTHORITY.certificate + old
    config = configure({"certificate": together, "key": together, "client-ca": old + AUTHORITY.certificate})
    assert config.tls_files is not None


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"key": None}, ["--tls-key {}/key.pem: No such file"]),
        ({"certificate": None}, ["--tls-certificate {}/certificate.pem: No such file"]),
        ({"client-ca": None}, ["--tls-client-ca {}/client-ca.pem: No such file"]),
        ({"certificate": b""}, ["--tls-certificate {}/certificate.pem holds no certificate in PEM"]),
        ({"certificate": SERVER.key}, ["certificate.pem holds no certificate in PEM"]),
        ({"certificate": SERVER.certificate.replace(b"M", b"N")}, ["holds no certificate in PEM"]),
        ({"key": SERVER.certificate}, ["--tls-key {}/key.pem holds no private key in PEM"]),
        ({"key": b"nonsense"}, ["key.pem holds no private key in PEM"]),
        ({"key": pem(ec.generate_private_key(ec.SECP256R1()), b"secret")}, ["key.pem is encrypted"]),
        (
            {"key": AUTHORITY.issue().key},
            ["key.pem does not belong to the first certificate of --tls-certificate {}/certificate.pem"],
        ),
        ({"certificate": AUTHORITY.certificate + SERVER.certificate}, ["does not belong to the first"]),
        ({"client-ca": b"\xff"}, ["--tls-client-ca {}/client-ca.pem holds no certificate in PEM"]),
        (
            {"client-ca": Authority("old", (-2, -1)).certificate},
            ["client-ca.pem holds only certificates that"],
        ),
        (
            {"certificate": b"", "key": None, "client-ca": b""},
            ["key.pem: No such file", "certificate.pem holds no", "client-ca.pem holds no"],
        ),
    ],
    ids=[
        "no key",
        "no certificate",
        "no authorities",
        "empty certificate",
        "key for certificate",
        "damaged certificate",
        "certificate for key",
        "damaged key",
        "encrypted key",
        "another key",
        "chain upside down",
        "damaged authorities",
        "old authorities",
        "all at once",
    ],
)
def test_what_is_wrong_with_a_file_is_said_by_flag_and_path(
    configure: Configure, tmp_path: Path, changed: dict[str, bytes | None], words: list[str]
) -> None:
    with pytest.raises(TlsError) as caught:
        configure(FILES | changed)
    faults = str(caught.value).split("; ")
    assert len(faults) == len(words)
    for fault, word in zip(faults, words, strict=True):
        assert word.format(tmp_path) in fault


@pytest.mark.parametrize(
    ("valid_days", "words"), [((-2, -1), "expired on"), ((1, 2), "is not valid before")], ids=["old", "young"]
)
def test_a_certificate_outside_its_time_is_refused(
    configure: Configure, valid_days: tuple[float, float], words: str
) -> None:
    issued = AUTHORITY.issue(valid_days=valid_days)
    with pytest.raises(TlsError, match=rf"certificate\.pem {words} 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC$"):
        configure({"certificate": issued.certificate, "key": issued.key})


@pytest.mark.parametrize("key", [P521, ED25519], ids=["P-521", "Ed25519"])
def test_a_kind_of_key_that_no_handshake_takes_is_refused(
    configure: Configure, key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
) -> None:
    issued = AUTHORITY.issue(key=key)
    with pytest.raises(TlsError, match="P-256 and P-384"):
        configure({"certificate": issued.certificate, "key": issued.key})


@pytest.mark.parametrize(
    ("given", "missing"),
    [(["certificate"], ["key"]), (["key"], ["certificate"]), (["client-ca"], ["certificate", "key"])],
    ids=["no key", "no certificate", "authorities alone"],
)
def test_flags_that_need_each_other_are_named(
    configure: Configure, given: list[str], missing: list[str]
) -> None:
    with pytest.raises(ServerConfigError) as caught:
        configure({name: FILES[name] for name in given}, "--slots=0")
    faults = str(caught.value).split("; ")
    assert [fault.split(" needs ")[1] for fault in faults[1:]] == [f"--tls-{name}" for name in missing]
    assert "--slots" in faults[0]
