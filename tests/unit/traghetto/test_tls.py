"""A client's files for TLS, and what is said of those that cannot serve."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.certificates import Authority, pem
from traghetto import Tls, TlsError
from traghetto.tls import channel_credentials

AUTHORITY = Authority()
CLIENT = AUTHORITY.issue("client")
FILES = {"ca": AUTHORITY.certificate, "certificate": CLIENT.certificate, "key": CLIENT.key}


def make_tls(folder: Path, contents: Mapping[str, bytes | None]) -> Tls:
    """Files of these contents; None is a file that is missing."""
    paths = {name: folder / f"{name}.pem" for name in contents}
    for name, content in contents.items():
        if content is not None:
            paths[name].write_bytes(content)
    return Tls(**paths)


@pytest.mark.parametrize("names", [("ca",), ("ca", "certificate", "key")], ids=["trust", "identity"])
def test_files_that_fit_are_taken(tmp_path: Path, names: tuple[str, ...]) -> None:
    channel_credentials(make_tls(tmp_path, {name: FILES[name] for name in names}))


def test_a_key_in_the_same_file_and_an_old_authority_beside_a_new_one_are_fine(tmp_path: Path) -> None:
    together = CLIENT.key + CLIENT.certificate
    old = Authority("old", (-10, -5)).certificate
    contents = {"ca": old + AUTHORITY.certificate, "certificate": together, "key": together}
    channel_credentials(make_tls(tmp_path, contents))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"ca": None}, ["the authorities {}/ca.pem: No such file"]),
        ({"ca": b""}, ["the authorities {}/ca.pem holds no certificate in PEM"]),
        ({"ca": b"\xff"}, ["the authorities {}/ca.pem holds no certificate in PEM"]),
        ({"ca": Authority("old", (-2, -1)).certificate}, ["ca.pem holds only certificates that expired"]),
        ({"certificate": None}, ["the certificate {}/certificate.pem: No such file"]),
        ({"certificate": CLIENT.key}, ["the certificate {}/certificate.pem holds no certificate in PEM"]),
        ({"key": None}, ["the key {}/key.pem: No such file"]),
        ({"key": b"nonsense"}, ["the key {}/key.pem holds no private key in PEM"]),
        ({"key": pem(ec.generate_private_key(ec.SECP256R1()), b"secret")}, ["key.pem is encrypted"]),
        (
            {"key": AUTHORITY.issue().key},
            ["key.pem does not belong to the first certificate of the certificate {}/certificate.pem"],
        ),
        ({"ca": b"", "key": None}, ["the key {}/key.pem: No such file", "ca.pem holds no certificate"]),
    ],
    ids=[
        "no authorities",
        "empty authorities",
        "damaged authorities",
        "old authorities",
        "no certificate",
        "key for certificate",
        "no key",
        "damaged key",
        "encrypted key",
        "another key",
        "two at once",
    ],
)
def test_what_is_wrong_with_a_file_is_said_by_path(
    tmp_path: Path, changed: dict[str, bytes | None], words: list[str]
) -> None:
    with pytest.raises(TlsError) as caught:
        channel_credentials(make_tls(tmp_path, {**FILES, **changed}))
    assert len(caught.value.faults) == len(words)
    for fault, word in zip(caught.value.faults, words, strict=True):
        assert word.format(tmp_path) in fault


@pytest.mark.parametrize(("present", "missing"), [("certificate", "key"), ("key", "certificate")])
def test_a_file_that_needs_another_is_named(tmp_path: Path, present: str, missing: str) -> None:
    with pytest.raises(TlsError, match=rf"the {present} .*/{present}\.pem is given without a {missing}"):
        channel_credentials(make_tls(tmp_path, {present: FILES[present]}))
