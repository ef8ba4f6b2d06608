"""JSON Web Tokens of one issuer: whether one is good, and whom it names (RFC 7519)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from server.access.keys import VerificationKey
from server.errors import Unauthenticated

_REASONS = {  # nothing of the token itself; the first that fits
    jwt.ExpiredSignatureError: "the token has expired",
    jwt.ImmatureSignatureError: "the token is not valid yet",
    jwt.InvalidAudienceError: "the token is for another audience",
    jwt.InvalidIssuerError: "the token is of another issuer",
    jwt.MissingRequiredClaimError: "the token lacks a claim that is required",
    jwt.InvalidSignatureError: "the token's signature is not of a key that is trusted",
}
_BAD = "the token is not valid"


@dataclass(frozen=True, kw_only=True)
class Issuer:
    """Who signs tokens, and what these must say.

    Args:
        issuer: Their `iss`.
        audience: One of these must be in their `aud`.
        claim: What holds the subject, by which a tenant is found.
        leeway_seconds: What its clock and ours may differ by.
        keys: Those in use now.
        want_keys: Called when a token names a key that is not among them.
    """

    issuer: str
    audience: Sequence[str]
    claim: str
    leeway_seconds: float
    keys: Callable[[], Sequence[VerificationKey]]
    want_keys: Callable[[], None] = lambda: None

    def subject_of(self, token: str) -> str:
        """Whom a good token names.

        Raises:
            Unauthenticated: it is not good; says why, and quotes nothing of it.
        """
        try:
            return self._checked(token)
        except jwt.PyJWTError as error:
            raise Unauthenticated(_reason(error)) from None

    def _checked(self, token: str) -> str:
        header = jwt.get_unverified_header(token)
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str):
            raise jwt.InvalidAlgorithmError
        keys = self.keys()
        if kid is not None and all(key.kid is not None and key.kid != kid for key in keys):
            self.want_keys()
        failure: jwt.PyJWTError = jwt.InvalidSignatureError()
        for key in keys:
            if algorithm in key.algorithms and (kid is None or key.kid in (None, kid)):
                try:
                    return self._subject(self._claims(token, key, algorithm))
                except jwt.InvalidSignatureError as error:
                    failure = error
        raise failure

    def _claims(self, token: str, key: VerificationKey, algorithm: str) -> dict[str, Any]:
        return jwt.decode(
            token,
            key.key,
            algorithms=[algorithm],
            audience=self.audience,
            issuer=self.issuer,
            leeway=self.leeway_seconds,
            options={"require": ["exp", "iss", "aud", self.claim]},
        )

    def _subject(self, claims: dict[str, Any]) -> str:
        subject = claims[self.claim]
        if not isinstance(subject, str):
            raise jwt.InvalidTokenError
        return subject


def issuer_named_in(token: str) -> str | None:
    """The `iss` of a token that nobody has checked yet: it tells whose keys are to check it, no more."""
    try:
        claimed = jwt.decode(token, options={"verify_signature": False}).get("iss")
    except jwt.PyJWTError:
        return None
    return claimed if isinstance(claimed, str) else None


def _reason(error: jwt.PyJWTError) -> str:
    return next((reason for kind, reason in _REASONS.items() if isinstance(error, kind)), _BAD)
