"""TLS of the real server: who gets in, and certificates that change while it runs."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.certificates import Authority, Issued
from tests.faulty_proxy import Harm, Harms, faulty_proxy
from tests.running_server import RunningServer, StartServer
from traghetto import CallError, Client, Tls, Translation
from traghetto.tls import channel_credentials

PATIENCE_SECONDS = 120.0
EXPIRY = "translator_tls_certificate_expiry_timestamp_seconds"
ARTIFACT = Path(__file__).parents[2] / "export/artifacts/en-it-lstm"
TEXT = "Good morning."


@dataclass(frozen=True, kw_only=True)
class TlsServer:
    """A running server, the authority behind its first certificate, and the folder of its files."""

    running: RunningServer
    authority: Authority
    folder: Path

    def use(self, authority: Authority) -> Issued:
        """Give the server a new certificate of this authority."""
        issued = authority.issue()
        issued.write(self.folder)
        return issued


@pytest.fixture(scope="module")
def one_tls_server(
    start_server: StartServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TlsServer]:
    folder, authority = tmp_path_factory.mktemp("tls"), Authority()
    certificate, key = authority.issue().write(folder)
    flags = ("--tls-certificate", certificate, "--tls-key", key)
    with start_server(ARTIFACT, "--slots=2", "--handshake-seconds=5", *flags) as running:
        yield TlsServer(running=running, authority=authority, folder=folder)


@pytest.fixture
def tls_server(one_tls_server: TlsServer) -> TlsServer:
    """With a certificate of its own authority, whichever test left another there."""
    one_tls_server.use(one_tls_server.authority)
    return one_tls_server


@pytest.fixture(scope="module")
def mtls_server(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    """One that lets in who has a certificate of its own authority."""
    folder, authority = tmp_path_factory.mktemp("mtls"), Authority()
    certificate, key = authority.issue().write(folder)
    ca = folder / "ca.crt"
    ca.write_bytes(authority.certificate)
    flags = ("--tls-certificate", certificate, "--tls-key", key, "--tls-client-ca", ca)
    with start_server(ARTIFACT, "--slots=2", *flags) as running:
        yield TlsServer(running=running, authority=authority, folder=folder)


@pytest.fixture
def trust(tmp_path: Path) -> Callable[[Authority], Tls]:
    """A client's side that trusts an authority, and is nobody itself."""

    def make(authority: Authority) -> Tls:
        path = tmp_path / "ca.crt"
        path.write_bytes(authority.certificate)
        return Tls(ca=path)

    return make


Trust = Callable[[Authority], Tls]


def translation(server: TlsServer, tls: Tls | None) -> str:
    with Client(server.running.address, PATIENCE_SECONDS, tls) as client:
        return translated(client)


def translated(client: Client) -> str:
    (result,) = client.translate([TEXT], "en", "it", beam_size=1)
    assert isinstance(result, Translation)
    assert result.text
    return result.text


def shown_serial(server: TlsServer) -> int:
    """Of the certificate that a new connection is shown."""
    host, port = server.running.address.split(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host, int(port)), PATIENCE_SECONDS) as plain,
        context.wrap_socket(plain) as secure,
    ):
        shown = secure.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number


def test_a_call_over_tls_is_answered(tls_server: TlsServer, trust: Trust) -> None:
    issued = tls_server.use(tls_server.authority)
    assert translation(tls_server, trust(tls_server.authority))
    assert shown_serial(tls_server) == issued.serial


def test_handshakes_that_never_end_keep_nobody_out_and_are_closed(
    tls_server: TlsServer, trust: Trust
) -> None:
    host, port = tls_server.running.address.split(":")
    client_hello = bytes.fromhex("16030100c8010000c4")  # the first bytes of one
    with ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection((host, int(port)), PATIENCE_SECONDS))
            for _ in range(100)
        ]
        for connection in connections[::2]:
            connection.sendall(client_hello)
        assert translation(tls_server, trust(tls_server.authority))
        for connection in connections:
            with suppress(ConnectionResetError):
                assert connection.recv(1) == b"", "the server ends it"


def test_bytes_that_are_damaged_on_the_way_are_noticed_and_asked_for_again(
    tls_server: TlsServer, trust: Trust
) -> None:
    harm = Harm(then="corrupt", after_bytes=4000)  # the handshake is over by then
    texts = [TEXT] * 400
    with faulty_proxy(tls_server.running.address) as proxy:
        for harms in (Harms(request=harm), Harms(response=harm)):
            proxy.coming.append(harms)
            with Client(proxy.address, PATIENCE_SECONDS, trust(tls_server.authority)) as client:
                results = client.translate(texts, "en", "it", beam_size=1)
            assert len({result.text for result in results if isinstance(result, Translation)}) == 1
            assert len(results) == len(texts)
        assert proxy.num_connections >= 4, "each that was harmed, and one that took its place"


def test_a_client_that_speaks_plain_text_is_refused(tls_server: TlsServer) -> None:
    with pytest.raises(CallError, match=r"\(asked without TLS\)") as caught:
        translation(tls_server, None)
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE


def test_a_client_that_trusts_another_authority_refuses(tls_server: TlsServer, trust: Trust) -> None:
    with pytest.raises(CallError, match="CERTIFICATE_VERIFY_FAILED"):
        translation(tls_server, trust(Authority("another")))


def test_only_clients_with_a_certificate_of_the_authority_get_in(
    mtls_server: TlsServer, trust: Trust, tmp_path: Path
) -> None:
    trusting = trust(mtls_server.authority)
    tls = {}
    foreign = Authority("foreign").issue("client")
    for name, issued in (("own", mtls_server.authority.issue("client")), ("foreign", foreign)):
        certificate, key = issued.write(tmp_path / name)
        tls[name] = Tls(ca=trusting.ca, certificate=certificate, key=key)
    assert translation(mtls_server, tls["own"])
    for refused in (trusting, tls["foreign"], None):
        with pytest.raises(CallError) as caught:
            translation(mtls_server, refused)
        assert caught.value.code is grpc.StatusCode.UNAVAILABLE


def test_an_authority_for_clients_is_replaced_while_serving(
    mtls_server: TlsServer, trust: Trust, tmp_path: Path
) -> None:
    """A new one is added beside the old one: both kinds of client get in."""
    new = Authority("new")
    with (mtls_server.folder / "ca.crt").open("ab") as file:
        file.write(new.certificate)
    for authority in (mtls_server.authority, new):
        certificate, key = authority.issue("client").write(tmp_path)
        tls = Tls(ca=trust(mtls_server.authority).ca, certificate=certificate, key=key)
        assert translation(mtls_server, tls)


def test_a_new_certificate_serves_new_connections_and_old_ones_go_on(
    tls_server: TlsServer, trust: Trust
) -> None:
    """The old client trusts the old authority alone: were its connection made anew, it would fail."""
    old, new = Authority("old"), Authority("new")
    first = tls_server.use(old)
    tls_server.running.wait_for(EXPIRY, first.expiry.timestamp())
    with Client(tls_server.running.address, PATIENCE_SECONDS, trust(old)) as client:
        assert translated(client)
        second = tls_server.use(new)
        assert shown_serial(tls_server) == second.serial
        assert translated(client)
        assert translation(tls_server, trust(new))
        with pytest.raises(CallError, match="CERTIFICATE_VERIFY_FAILED"):
            translation(tls_server, trust(old))
        assert translated(client)


def test_the_metric_tells_when_the_certificate_ends_without_a_handshake(tls_server: TlsServer) -> None:
    for days in (60, 90):
        issued = tls_server.authority.issue(valid_days=(-1, days))
        issued.write(tls_server.folder)
        tls_server.running.wait_for(EXPIRY, issued.expiry.timestamp())


def test_without_tls_the_metric_is_zero(server: RunningServer) -> None:
    assert server.scrape()[EXPIRY] == 0


def test_a_broken_new_certificate_leaves_the_old_one(tls_server: TlsServer, trust: Trust) -> None:
    issued = tls_server.use(tls_server.authority)
    assert shown_serial(tls_server) == issued.serial
    before = tls_server.running.log.read_text().count(" ERROR traghetto the new TLS files are refused")
    (tls_server.folder / "tls.key").write_bytes(tls_server.authority.issue().key)
    assert shown_serial(tls_server) == issued.serial
    assert translation(tls_server, trust(tls_server.authority))
    log = tls_server.running.log.read_text()
    assert log.count(" ERROR traghetto the new TLS files are refused") == before + 1
    assert f"--tls-key {tls_server.folder}/tls.key does not belong to" in log
    assert tls_server.running.scrape()[EXPIRY] == issued.expiry.timestamp()


def test_health_speaks_tls_on_the_grpc_port_and_plain_text_on_its_own(
    tls_server: TlsServer, trust: Trust
) -> None:
    credentials = channel_credentials(trust(tls_server.authority))
    with (
        grpc.secure_channel(tls_server.running.address, credentials) as secure,
        grpc.insecure_channel(tls_server.running.health) as plain,
    ):
        for channel in (secure, plain):
            stub: Any = health_pb2_grpc.HealthStub(channel)  # its methods are not typed
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_SECONDS)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


def translate(server: TlsServer, *flags: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    places = ("--server", server.running.address, "--source=en", "--target=it", "--beam-size=1")
    return subprocess.run(
        [sys.executable, "-m", "server.commands.translate", *places, *map(str, flags), TEXT],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
        env={**os.environ, **variables},
    )


def test_the_command_reaches_a_server_with_tls(tls_server: TlsServer, tmp_path: Path) -> None:
    ca = tmp_path / "ca.crt"
    ca.write_bytes(tls_server.authority.certificate)
    expected = translation(tls_server, Tls(ca=ca))
    for ended in (
        translate(tls_server, "--tls-ca", ca),
        translate(tls_server, "--tls", SSL_CERT_FILE=str(ca)),
    ):
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"{expected}\n", "")
    stranger = translate(tls_server, "--tls")  # the system knows nothing of the test's authority
    assert (stranger.returncode, stranger.stdout) == (1, "")
    assert "CERTIFICATE_VERIFY_FAILED" in stranger.stderr


def test_the_command_shows_its_certificate(mtls_server: TlsServer, tmp_path: Path) -> None:
    certificate, key = mtls_server.authority.issue("client").write(tmp_path)
    ca = tmp_path / "ca.crt"
    ca.write_bytes(mtls_server.authority.certificate)
    known = translate(mtls_server, "--tls-ca", ca, "--tls-certificate", certificate, "--tls-key", key)
    assert known.returncode == 0, known.stderr
    assert known.stdout.strip()
    unknown = translate(mtls_server, "--tls-ca", ca)
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "UNAVAILABLE" in unknown.stderr
    assert "(asked with TLS, and without a certificate)" in unknown.stderr


def test_the_command_names_a_file_that_cannot_serve(tls_server: TlsServer, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("nonsense")
    ended = translate(tls_server, "--tls-ca", tmp_path / "ca.crt")
    assert (ended.returncode, ended.stdout) == (2, "")
    expected = f"the authorities {tmp_path}/ca.crt holds no certificate in PEM"
    assert ended.stderr == f"traghetto-translate: {expected}\n"


def test_a_server_with_files_that_do_not_fit_refuses_to_start(
    serve_in_vain: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    authority = Authority()
    certificate, key = authority.issue(valid_days=(-2, -1)).write(tmp_path)
    key.write_bytes(authority.issue().key)
    flags = ("--tls-certificate", certificate, "--tls-key", key, "--tls-client-ca", tmp_path / "ca.crt")
    ended = serve_in_vain(ARTIFACT, *flags)
    assert (ended.returncode, ended.stdout) == (2, "")
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("traghetto-serve: ")
    assert all(
        words in last
        for words in (
            f"--tls-certificate {certificate} expired on ",
            f"--tls-key {key} does not belong to the first certificate of --tls-certificate {certificate}",
            f"--tls-client-ca {tmp_path}/ca.crt: No such file or directory",
        )
    )
