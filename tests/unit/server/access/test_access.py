"""Who a credential is, what is refused, and new files under a running server; of a token nothing is told."""

from __future__ import annotations

import base64
import hmac
import json
import logging
import time
from collections.abc import Callable
from hashlib import sha256
from http.client import BadStatusLine
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from server.access.access import MAX_TOKEN_BYTES, Access
from server.access.remote_keys import RemoteKeys
from server.access.secret_files import AccessError
from server.access.tokens import TokenTable, hash_of
from server.errors import Unauthenticated
from tests.certificates import pem

RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
SECRET = b"s" * 32
TOKEN = "traghetto_" + "t0KeN" * 8 + "abc"  # of one value: it names a case
SHOP = f'[tenants.shop]\ntokens = ["{hash_of(TOKEN)}"]\n'
ISSUER = """
[issuers.idp]
issuer = "https://idp.example"
audience = "traghetto"
"""
Write = Callable[..., Path]


def public_pem(key: Any) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key.public_key().public_bytes(serialization.Encoding.PEM, form))


def jwk(key: Any, **fields: str) -> dict[str, Any]:
    kinds = {rsa.RSAPrivateKey: "RS256", ec.EllipticCurvePrivateKey: "ES256"}
    name = next((name for kind, name in kinds.items() if isinstance(key, kind)), "EdDSA")
    made: dict[str, Any] = jwt.get_algorithm_by_name(name).to_jwk(key.public_key(), as_dict=True)
    return made | fields


def claims(**others: Any) -> dict[str, Any]:
    now = time.time()
    usual = {"iss": "https://idp.example", "aud": "traghetto", "sub": "alice", "exp": now + 300}
    return {name: value for name, value in (usual | others).items() if value is not None}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files beside the access file; gives that."""

    def write_(content: str, **files: bytes) -> Path:
        for name, text in files.items():
            (tmp_path / name).write_bytes(text)
            (tmp_path / name).chmod(0o640)
        (tmp_path / "access.toml").write_text(content)
        return tmp_path / "access.toml"

    return write_


@pytest.fixture
def with_issuer(write: Write) -> Access:
    """Of one issuer with a key of each kind, and a tenant of it."""
    keys = {"keys": [jwk(RSA_KEY, kid="rsa"), jwk(EC_KEY, kid="ec", use="sig"), jwk(ED_KEY, kid="ed")]}
    tenant = '[tenants.shop]\nsubjects = ["idp:alice"]\n'
    return Access(write(f'{tenant}{ISSUER}keys = "jwks"\n', jwks=json.dumps(keys).encode()))


def who(access: Access, token: str | None = None, *certificates: str) -> str:
    return access.tenant_of([] if token is None else [f"Bearer {token}"], certificates).name


def refusal(access: Access, *authorization: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        access.tenant_of(authorization, ())
    message = str(caught.value)
    for header in authorization:
        assert header.partition(" ")[2][:40] not in message or not header.partition(" ")[2]
    assert caught.value.__cause__ is None  # the library's words, which might quote the token
    return message


def test_a_token_is_its_tenants_and_any_other_is_nobodys(write: Write) -> None:
    access = Access(write(SHOP))
    assert who(access, TOKEN) == "shop"
    assert refusal(access, f"Bearer {TOKEN}x") == "the token is not known"
    assert refusal(access, f"Bearer {hash_of(TOKEN)}") == "the token is not known"
    assert "shows no credential" in refusal(access)
    assert "of the form" in refusal(access, f"Basic {TOKEN}")
    assert "several headers" in refusal(access, f"Bearer {TOKEN}", f"Bearer {TOKEN}")


def test_hashes_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    right = hmac.compare_digest

    def compare(a: str, b: str) -> bool:
        compared.append((a, b))
        return right(a, b)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert TokenTable([(hash_of(TOKEN), object())]).find(TOKEN) is not None  # type: ignore[list-item]
    assert compared == [(hash_of(TOKEN), hash_of(TOKEN))]


def test_a_megabyte_is_no_token_and_nothing_reads_it(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    access = Access(write(SHOP))
    monkeypatch.setattr(TokenTable, "find", None)
    assert f"the limit is {MAX_TOKEN_BYTES}" in refusal(access, "Bearer " + "a" * (1 << 20))


def test_a_certificate_is_known_by_its_typed_name_and_a_bad_token_is_not_passed_over(write: Write) -> None:
    access = Access(
        write(
            'anonymous = "all"\n[tenants.all]\n[tenants.shop]\ncertificates = ["cn:shop", "uri:spiffe://a/shop"]\n'
        )
    )
    assert who(access, None, "dns:x", "uri:spiffe://a/shop") == "shop"
    assert who(access, None, "dns:shop") == who(access) == "all"
    with pytest.raises(Unauthenticated):
        who(access, "traghetto_unknown", "cn:shop")


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(RSA_KEY, "RS256"), (RSA_KEY, "PS512"), (EC_KEY, "ES256"), (ED_KEY, "EdDSA")],
)
def test_a_signed_token_is_its_subjects(with_issuer: Access, key: Any, algorithm: str) -> None:
    assert who(with_issuer, jwt.encode(claims(), key, algorithm)) == "shop"
    kid = {"RS": "rsa", "PS": "rsa", "ES": "ec", "Ed": "ed"}[algorithm[:2]]
    assert who(with_issuer, jwt.encode(claims(), key, algorithm, headers={"kid": kid})) == "shop"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"exp": 1}, "the token has expired"),
        ({"exp": None}, "the token lacks a claim that is required"),
        ({"exp": "soon"}, "the token is not valid"),
        ({"nbf": 4e9}, "the token is not valid yet"),
        ({"aud": "another"}, "the token is for another audience"),
        ({"aud": None}, "the token lacks a claim that is required"),
        ({"iss": "https://evil.example"}, "the token is of another issuer"),
        ({"iss": None}, "the token is of another issuer"),
        ({"sub": None}, "the token lacks a claim that is required"),
        ({"sub": "mallory"}, "the token is good, but its subject is no tenant's"),
    ],
)
def test_a_token_that_says_something_else_is_refused_for_it(
    with_issuer: Access, changed: dict[str, Any], words: str
) -> None:
    assert refusal(with_issuer, f"Bearer {jwt.encode(claims(**changed), RSA_KEY, 'RS256')}") == words


def forged(header: dict[str, Any], secret: bytes | None) -> str:
    """A token made by hand: no library lets a public key be a secret."""

    def part(content: bytes) -> bytes:
        return base64.urlsafe_b64encode(content).rstrip(b"=")

    signed = part(json.dumps(header).encode()) + b"." + part(json.dumps(claims()).encode())
    mac = b"" if secret is None else hmac.digest(secret, signed, sha256)
    return (signed + b"." + part(mac)).decode()


def test_no_algorithm_and_no_confusion_of_keys_gets_anywhere(with_issuer: Access) -> None:
    refused = "the token's signature is not of a key that is trusted"
    for name in ("none", "None", "NONE", "", ["RS256"], None):
        assert refusal(with_issuer, f"Bearer {forged({'alg': name}, None)}").startswith("the token")
    for secret in (public_pem(RSA_KEY), public_pem(RSA_KEY).rstrip(), json.dumps(jwk(RSA_KEY)).encode()):
        for header in ({"alg": "HS256"}, {"alg": "HS256", "kid": "rsa"}):
            assert refusal(with_issuer, f"Bearer {forged(header, secret)}") == refused
    wrong = rsa.generate_private_key(65537, 2048)
    assert refusal(with_issuer, f"Bearer {jwt.encode(claims(), wrong, 'RS256')}") == refused
    other_key = jwt.encode(claims(), RSA_KEY, "RS256", headers={"kid": "ec"})
    assert refusal(with_issuer, f"Bearer {other_key}") == refused
    own = jwt.encode(claims(), wrong, "RS256", headers={"jwk": jwk(wrong), "jku": "https://evil.example"})
    assert refusal(with_issuer, f"Bearer {own}") == refused


def test_a_declared_secret_checks_hs256_alone(write: Write) -> None:
    access = Access(
        write(f'[tenants.shop]\nsubjects = ["idp:alice"]\n{ISSUER}secret = "secret"\n', secret=SECRET + b"\n")
    )
    assert who(access, jwt.encode(claims(), SECRET, "HS256")) == "shop"
    for token in (jwt.encode(claims(), SECRET * 2, "HS512"), jwt.encode(claims(), RSA_KEY, "RS256")):
        assert "not of a key that is trusted" in refusal(access, f"Bearer {token}")


def test_keys_at_a_url_are_fetched_again_for_an_unknown_one_but_not_by_a_call(write: Write) -> None:
    fetched, now = [], [1000.0]
    sets = [{"keys": [jwk(RSA_KEY, kid="old")]}, {"keys": [jwk(EC_KEY, kid="new")]}]

    def fetch(url: str) -> bytes:
        fetched.append(url)
        return json.dumps(sets[min(len(fetched), 2) - 1]).encode()

    url = "https://idp.example/jwks"
    access = Access(
        write(f'[tenants.shop]\nsubjects = ["idp:alice"]\n{ISSUER}keys = "{url}"\n'),
        remote=lambda url: RemoteKeys(url, fetch, lambda: now[0]),
    )
    new = jwt.encode(claims(), EC_KEY, "ES256", headers={"kid": "new"})
    assert who(access, jwt.encode(claims(), RSA_KEY, "RS256", headers={"kid": "old"})) == "shop"
    for _ in range(100):
        refusal(access, f"Bearer {new}")
        access.refresh()
    assert fetched == [url]
    now[0] += 10
    access.refresh()
    assert who(access, new) == "shop"
    assert fetched == [url, url]


@pytest.mark.parametrize("fault", [BadStatusLine("nonsense"), OSError(), ValueError()])
def test_keys_that_cannot_be_had_leave_those_from_before(fault: Exception) -> None:
    now = [1000.0]
    answers: list[bytes | Exception] = [json.dumps({"keys": [jwk(EC_KEY, kid="new")]}).encode(), fault]

    def fetch(url: str) -> bytes:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    keys = RemoteKeys("https://idp.example/jwks", fetch, lambda: now[0])
    keys.refresh()
    now[0] += 1e6
    keys.refresh()
    assert not answers
    assert [key.kid for key in keys.keys] == ["new"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["tenants"]),
        ("tenants = 1", ["tenants"]),
        ("[tenants", ["is no TOML"]),
        (SHOP + 'colour = "red"', ["tenants.shop.colour"]),
        (
            SHOP + "requests_per_minute = 0\nconcurrent_texts = 1.5",
            ["requests_per_minute", "concurrent_texts"],
        ),
        (SHOP + 'priority = "high"', ["tenants.shop.priority"]),
        (f'[tenants.shop]\ntokens = ["{TOKEN}"]', ["tenants.shop.tokens.0"]),
        ('[tenants."a b"]\ntokens = []', ["tenants"]),
        ("[tenants.shop]", ["nobody is it"]),
        (SHOP + SHOP.replace("shop", "other"), ["stands 2 times"]),
        (f'anonymous = "x"\n{SHOP}', ["anonymous: there is no tenant 'x'"]),
        ('anonymous = "a"\n[tenants.a]\nadmin = true', ["tenants.a.admin"]),
        (SHOP + 'subjects = ["idp:alice"]', ["tenants.shop.subjects", "ISSUER:SUBJECT"]),
        (SHOP + ISSUER, ["issuers.idp: must have either keys or secret"]),
        (SHOP + ISSUER + 'keys = "http://idp.example/jwks"', ["must be a file, or a URL with https"]),
        (SHOP + ISSUER + 'keys = "nowhere"', ["nowhere: No such file"]),
        (SHOP + ISSUER + 'keys = "short"', ["short holds neither a public key"]),
        (SHOP + ISSUER + 'secret = "short"', ["short holds a secret of 5 bytes, must have at least 32"]),
        (SHOP + ISSUER + 'keys = "private"', ["private holds neither a public key"]),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_and_no_secret_is_repeated(
    write: Write, content: str, words: list[str]
) -> None:
    with pytest.raises(AccessError) as caught:
        Access(write(content, short=b"short", private=pem(RSA_KEY)))
    assert all(word in str(caught.value) for word in words), caught.value
    assert TOKEN not in str(caught.value)


def test_what_anybody_may_read_is_no_secret_and_what_anybody_may_write_is_no_rule(write: Write) -> None:
    content = f'[tenants.shop]\nsubjects = ["idp:alice"]\n{ISSUER}secret = "secret"\n'
    path = write(content, secret=SECRET)
    Access(path)
    path.with_name("secret").chmod(0o644)
    with pytest.raises(AccessError, match="secret has mode 0644, and can be read by anybody"):
        Access(path)
    path.with_name("secret").chmod(0o440)
    path.chmod(0o646)
    with pytest.raises(AccessError, match=r"access.toml has mode 0646, and can be written by anybody"):
        Access(path)


def test_new_rules_are_taken_and_broken_ones_are_told_of_once(
    write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    refused: list[float] = []
    access = Access(write(SHOP), refused.append)
    write(SHOP.replace("shop", "market"))
    access.refresh()
    assert who(access, TOKEN) == "market"
    write("[tenants.shop")
    for _ in range(3):
        access.refresh()
    assert who(access, TOKEN) == "market"
    assert refused[-1] == 1
    assert [r.levelname for r in caplog.records].count("ERROR") == 1
    write(SHOP)
    access.refresh()
    assert (who(access, TOKEN), refused[-1]) == ("shop", 0)
    assert TOKEN not in caplog.text


def test_a_key_that_changes_alone_is_read_again(write: Write) -> None:
    content = f'[tenants.shop]\nsubjects = ["idp:alice"]\n{ISSUER}keys = "key"\n'
    access = Access(write(content, key=public_pem(RSA_KEY)))
    token = jwt.encode(claims(), EC_KEY, "ES256")
    refusal(access, f"Bearer {token}")
    write(content, key=public_pem(EC_KEY))
    access.refresh()
    assert who(access, token) == "shop"
