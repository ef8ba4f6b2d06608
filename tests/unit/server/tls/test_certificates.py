"""Certificates read again, behind a real gRPC port."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from server.tls import certificates as tls
from server.tls.certificates import Certificates
from server.tls.files import PemFile, TlsBytes, TlsContents, TlsError, TlsFiles
from tests.certificates import Authority, Issued
from traghetto.tls import Tls, channel_credentials

PATIENCE_SECONDS = 60.0
AUTHORITY = Authority()
Serve = Callable[[Certificates], int]


@pytest.fixture
def expiries() -> list[float]:
    return []


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Run a server without methods; gives its port."""
    servers = []

    def start(certificates: Certificates) -> int:
        servers.append(grpc.server(ThreadPoolExecutor(1)))
        port = servers[-1].add_secure_port("127.0.0.1:0", certificates.credentials())
        servers[-1].start()
        return int(port)

    yield start
    for server in servers:
        server.stop(0).wait()


def files_of(folder: Path) -> TlsFiles:
    return TlsFiles(
        certificate=PemFile("certificate", str(folder / "tls.crt")),
        key=PemFile("key", str(folder / "tls.key")),
    )


def is_reached(port: int, ca: Path) -> bool:
    """Whether a new connection gets through the handshake: to be told that there is no such method."""
    with grpc.secure_channel(f"127.0.0.1:{port}", channel_credentials(Tls(ca=ca))) as channel:
        method: Any = channel.unary_unary("/no/method")  # without serializers it takes bytes
        with pytest.raises(grpc.RpcError) as caught:
            method(b"", timeout=PATIENCE_SECONDS)
        code = caught.value.code()
        assert code in {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAVAILABLE}, caught.value
        return code is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["P-256", "P-384", "RSA"],
)
def test_every_kind_of_key_that_is_taken_serves(
    serve: Serve, tmp_path: Path, expiries: list[float], key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
) -> None:
    issued = AUTHORITY.issue(key=key)
    issued.write(tmp_path)
    (tmp_path / "ca.crt").write_bytes(AUTHORITY.certificate)
    port = serve(Certificates(files_of(tmp_path), expiries.append))
    assert is_reached(port, tmp_path / "ca.crt")
    assert expiries == [issued.expiry.timestamp()]


def test_a_port_takes_up_what_another_port_or_the_clock_saw_first(
    serve: Serve, tmp_path: Path, expiries: list[float]
) -> None:
    """A refresh between two handshakes must not make a port believe that it has the new certificate."""
    AUTHORITY.issue().write(tmp_path)
    certificates = Certificates(files_of(tmp_path), expiries.append)
    ports = [serve(certificates), serve(certificates)]
    other = Authority("other")
    other.issue().write(tmp_path)
    certificates.refresh()
    (tmp_path / "ca.crt").write_bytes(other.certificate)
    assert [is_reached(port, tmp_path / "ca.crt") for port in ports] == [True, True]
    (tmp_path / "old.crt").write_bytes(AUTHORITY.certificate)
    assert [is_reached(port, tmp_path / "old.crt") for port in ports] == [False, False]


def test_a_port_gets_each_certificate_once(
    serve: Serve, tmp_path: Path, expiries: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To prepare one costs more than a handshake that finds it ready."""
    prepared = []

    def prepare(contents: TlsContents) -> grpc.ServerCertificateConfiguration:
        prepared.append(contents.serial)
        return configuration(contents)

    configuration = tls._configuration
    monkeypatch.setattr(tls, "_configuration", prepare)
    (tmp_path / "ca.crt").write_bytes(AUTHORITY.certificate)
    old, new = AUTHORITY.issue(), AUTHORITY.issue()
    old.write(tmp_path)
    port = serve(Certificates(files_of(tmp_path), expiries.append))
    for issued in (old, new, old):
        issued.write(tmp_path)
        assert [is_reached(port, tmp_path / "ca.crt") for _ in range(2)] == [True, True]
    assert prepared == [old.serial, new.serial, old.serial]


def test_files_that_are_swapped_while_they_are_read_are_read_again(
    tmp_path: Path, expiries: list[float], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = AUTHORITY.issue(), AUTHORITY.issue()
    old.write(tmp_path)
    certificates = Certificates(files_of(tmp_path), expiries.append)
    whole = TlsBytes(new.certificate, new.key, b"")
    found = iter([whole._replace(certificate=old.certificate), whole])
    monkeypatch.setattr(tls, "read_bytes", lambda files: next(found))
    assert certificates.refresh().serial == new.serial
    assert not [i for i in caplog.records if i.levelname == "ERROR"]


def test_without_a_change_nothing_is_taken_up(tmp_path: Path, expiries: list[float]) -> None:
    certificate, _ = AUTHORITY.issue().write(tmp_path)
    certificates = Certificates(files_of(tmp_path), expiries.append)
    first = certificates.refresh()
    certificate.write_bytes(certificate.read_bytes())  # another time, the same content
    assert certificates.refresh() is first
    assert len(expiries) == 1


def broken(old: Issued, new: Issued) -> dict[str, tuple[bytes | None, bytes | None]]:
    expired = AUTHORITY.issue(valid_days=(-2, -1))
    return {
        "another key": (new.certificate, old.key),
        "no certificate": (b"nonsense", new.key),
        "no key": (new.certificate, b"nonsense"),
        "expired": (expired.certificate, expired.key),
        "gone": (None, None),
    }


@pytest.mark.parametrize("kind", ["another key", "no certificate", "no key", "expired", "gone"])
def test_a_broken_pair_is_logged_once_and_the_old_one_stays_until_a_whole_one_comes(
    tmp_path: Path, expiries: list[float], caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    old, new = AUTHORITY.issue(), AUTHORITY.issue(valid_days=(-1, 60))
    paths = old.write(tmp_path)
    certificates = Certificates(files_of(tmp_path), expiries.append)
    for path, content in zip(paths, broken(old, new)[kind], strict=True):
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
    with caplog.at_level(logging.INFO):
        assert [certificates.refresh().serial for _ in range(3)] == [old.serial] * 3
        assert [i.levelname for i in caplog.records] == ["ERROR"]
        assert str(tmp_path) in caplog.text
        new.write(tmp_path)
        assert certificates.refresh().serial == new.serial
    assert [i.levelname for i in caplog.records] == ["ERROR", "INFO"]
    assert f"{new.serial:x}" in caplog.text
    assert expiries == [old.expiry.timestamp(), new.expiry.timestamp()]


def test_the_same_fault_after_a_return_is_logged_again(
    tmp_path: Path, expiries: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    old = AUTHORITY.issue()
    certificate, _ = old.write(tmp_path)
    certificates = Certificates(files_of(tmp_path), expiries.append)
    for _ in range(2):
        certificate.write_bytes(b"nonsense")
        certificates.refresh()
        old.write(tmp_path)
        certificates.refresh()
    assert [i.levelname for i in caplog.records if i.levelname == "ERROR"] == ["ERROR"] * 2


def test_a_folder_that_a_link_points_to_is_swapped_as_kubernetes_does(
    tmp_path: Path, expiries: list[float]
) -> None:
    old, new = AUTHORITY.issue(), AUTHORITY.issue()
    old.write(tmp_path / "1")
    new.write(tmp_path / "2")
    (tmp_path / "data").symlink_to("1")
    certificates = Certificates(files_of(tmp_path / "data"), expiries.append)
    (tmp_path / "next").symlink_to("2")
    (tmp_path / "next").rename(tmp_path / "data")
    assert certificates.refresh().serial == new.serial


def test_a_first_pair_that_is_broken_is_no_beginning(tmp_path: Path, expiries: list[float]) -> None:
    with pytest.raises(TlsError, match=r"certificate .*No such file.*; key .*No such file"):
        Certificates(files_of(tmp_path), expiries.append)
    assert expiries == []


def test_the_key_is_not_shown(tmp_path: Path, expiries: list[float]) -> None:
    issued = AUTHORITY.issue()
    issued.write(tmp_path)
    shown = repr(Certificates(files_of(tmp_path), expiries.append).refresh())
    assert "BEGIN CERTIFICATE" in shown
    assert "PRIVATE KEY" not in shown
