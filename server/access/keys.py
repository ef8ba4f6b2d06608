"""The keys that an issuer of JSON Web Tokens signs with: PEM, a set of JSON Web Keys, or a shared secret.

Each key knows the algorithms that it may check, by its own kind: a token's header chooses among these and
can add none, so that neither `none` nor a public key used as a secret gets anywhere (RFC 8725, sections 3.1
and 3.2).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

_RSA = frozenset(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"))
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_SECRET = frozenset(("HS256",))
_MIN_RSA_BITS = 2048
_MIN_SECRET_BYTES = 32  # RFC 7518, section 3.2


class KeyFault(ValueError):
    """What is no key, or none that is strong enough."""


@dataclass(frozen=True, kw_only=True)
class VerificationKey:
    """A key, and what it may check.

    Args:
        kid: Its name in a set; None without one.
        algorithms: As a token's header names them.
    """

    key: Any = field(repr=False)
    algorithms: frozenset[str]
    kid: str | None = None


def secret_key(content: bytes) -> VerificationKey:
    """A secret that server and issuer share; white space at its end is not part of it.

    Raises:
        KeyFault: it is too short.
    """
    secret = content.rstrip()
    if len(secret) < _MIN_SECRET_BYTES:
        raise KeyFault(f"holds a secret of {len(secret)} bytes, must have at least {_MIN_SECRET_BYTES}")
    return VerificationKey(key=secret, algorithms=_SECRET)


def public_keys(content: bytes) -> list[VerificationKey]:
    """Of a public key in PEM, or of a set of JSON Web Keys.

    Raises:
        KeyFault: it is neither, or has no key that can check a signature.
    """
    if content.lstrip().startswith(b"{"):
        return _keys_of_set(content)
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise KeyFault("holds neither a public key in PEM nor a JSON Web Key Set") from None
    return [VerificationKey(key=key, algorithms=_algorithms_of(key))]


def _keys_of_set(content: bytes) -> list[VerificationKey]:
    try:
        listed = json.loads(content)["keys"]
        found = [key for entry in listed if (key := _key_of(entry)) is not None]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise KeyFault("is no JSON Web Key Set") from None
    if not found:
        raise KeyFault("has no public key that checks signatures by RSA, ECDSA or EdDSA")
    return found


def _key_of(entry: dict[str, Any]) -> VerificationKey | None:
    """None of what is for something else: a set may well hold more than we can use."""
    if entry.get("use", "sig") != "sig" or entry.get("kty") == "oct":
        return None
    try:
        key = jwt.PyJWK.from_dict(entry).key
        algorithms = _algorithms_of(key.public_key() if hasattr(key, "public_key") else key)
    except (jwt.PyJWTError, KeyFault):
        return None
    if "d" in entry:
        raise KeyFault("holds a private key: give the public ones alone")
    if "alg" in entry:
        algorithms &= {entry["alg"]}
    return VerificationKey(key=key, algorithms=algorithms, kid=entry.get("kid")) if algorithms else None


def _algorithms_of(key: object) -> frozenset[str]:
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < _MIN_RSA_BITS:
            raise KeyFault(f"holds an RSA key of {key.key_size} bits, must have at least {_MIN_RSA_BITS}")
        return _RSA
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return frozenset((_CURVES[key.curve.name],))
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return frozenset(("EdDSA",))
    raise KeyFault("holds a key of a kind that is not taken: RSA, P-256, P-384, P-521, Ed25519 and Ed448 are")
