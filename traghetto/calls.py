"""A call from its first try to its answer, as steps that a shell carries out: no network, no sleep.

`Client` and `AsyncClient` differ only in how they carry out a `Try` and a `Wait`; what follows from the
outcome is decided here, once for both.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypeVar

import grpc

from traghetto.errors import CallError
from traghetto.failures import Failure, Kind, error_of
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.requests import CallCutter, RequestTemplate, calls_of
from traghetto.responses import model_of, results_of, scores_of, served_pair_of
from traghetto.results import ModelDescription, Result, Score, ServedLanguagePair, TextError
from traghetto.retries import Retries, RetryBudget, RetryPolicy, Uniform
from traghetto.target import proxy_of
from traghetto.tls import Tls, security_of

T = TypeVar("T")
Method = Literal["Translate", "Score", "ListModels", "ListLanguagePairs", "ListGlossaries"]


@dataclass(frozen=True, kw_only=True)
class Try:
    """Send a request; the outcome of this step is the response, or a `Failure`.

    Args:
        method: The rpc's name.
        request: Its message.
        timeout_seconds: What is left of the call's time.
        renew_token: Whether the token of the last try was refused, and another is to be asked for.
    """

    method: Method
    request: Any
    timeout_seconds: float
    renew_token: bool = False


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Wait before the next step; this one has no outcome."""

    seconds: float


@dataclass(kw_only=True)
class Outage:
    """The failures of a stream since its last answer.

    Args:
        end: Until when it is tried again; None before the first.
    """

    retries: Retries
    end: float | None = None


Steps = Generator[Try | Wait, Any, T]
_ANSWERED = (Kind.BUSY, Kind.REFUSED)


def checked_timeout(timeout_seconds: float) -> float:
    """A deadline that a call can have.

    Raises:
        ValueError: it is no finite number above 0.

    >>> checked_timeout(0)
    Traceback (most recent call last):
    ValueError: timeout_seconds is 0, must be a finite number above 0
    """
    if not (math.isfinite(timeout_seconds) and timeout_seconds > 0):
        raise ValueError(f"timeout_seconds is {timeout_seconds}, must be a finite number above 0")
    return timeout_seconds


@dataclass(kw_only=True)
class Caller:
    """Makes the steps of calls; for use from any thread.

    Args:
        timeout_seconds: For each call, with all its tries and waits.
        security: How the server is asked, for messages.
        proxy: What is between, for messages; None for nothing.
        can_renew_token: Whether another token may come of asking again.
    """

    timeout_seconds: float
    security: str
    proxy: str | None
    can_renew_token: bool = False
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    budget: RetryBudget = field(default_factory=RetryBudget)
    clock: Callable[[], float] = time.monotonic
    uniform: Uniform = random.uniform
    _is_known: bool = False  # whether a server at this address has ever answered, if only with an error

    @classmethod
    def to(
        cls, address: str, timeout_seconds: float, tls: Tls | None, *, can_renew_token: bool = False
    ) -> Self:
        """The caller of a server.

        Raises:
            ValueError: `timeout_seconds` is no finite number above 0.
        """
        return cls(
            timeout_seconds=checked_timeout(timeout_seconds),
            security=security_of(tls),
            proxy=proxy_of(address),
            can_renew_token=can_renew_token,
        )

    def translate(self, template: RequestTemplate, texts: Sequence[str]) -> Steps[list[Result]]:
        """Translate all texts, in as many calls as they need, within one deadline."""
        end = self.clock() + self.timeout_seconds
        results: list[Result] = []
        for call in calls_of(texts, CallCutter()):
            request = template.with_texts(call, first=len(results))
            response = yield from self._tries("Translate", request, end)
            results += results_of(response)
        return results

    def score(self, requests: Iterable[pb.ScoreRequest]) -> Steps[list[Score | TextError]]:
        """Score all translations, within one deadline."""
        end = self.clock() + self.timeout_seconds
        results: list[Score | TextError] = []
        for request in requests:
            response = yield from self._tries("Score", request, end)
            results += scores_of(response)
        return results

    def models(self) -> Steps[list[ModelDescription]]:
        """Ask for the models that the server serves."""
        end = self.clock() + self.timeout_seconds
        response = yield from self._tries("ListModels", pb.ListModelsRequest(), end)
        return [model_of(model) for model in response.models]

    def language_pairs(self, source_language: str, target_language: str) -> Steps[list[ServedLanguagePair]]:
        """Ask for the language pairs that the server offers."""
        end = self.clock() + self.timeout_seconds
        request = pb.ListLanguagePairsRequest(
            source_language=source_language, target_language=target_language
        )
        response = yield from self._tries("ListLanguagePairs", request, end)
        return [served_pair_of(pair) for pair in response.pairs]

    def glossaries(self) -> Steps[dict[str, int]]:
        """Ask for the glossaries that the server has read."""
        end = self.clock() + self.timeout_seconds
        response = yield from self._tries("ListGlossaries", pb.ListGlossariesRequest(), end)
        return {glossary.name: glossary.num_terms for glossary in response.glossaries}

    def outage(self) -> Outage:
        """None yet: of a stream that begins, or that had an answer."""
        return Outage(retries=self._retries())

    def answered(self) -> None:
        """Note an answer of a stream."""
        self._is_known = True
        self.budget.refund()

    def wait_to_resume(self, outage: Outage, failure: Failure) -> float:
        """Seconds until a stream that was cut is tried again.

        Raises:
            CallError: it is not, or was without an answer for as long as a call may take.
        """
        self._is_known = outage.retries.is_known = self._is_known or failure.kind in _ANSWERED
        now = self.clock()
        outage.end = now + self.timeout_seconds if outage.end is None else outage.end
        wait = outage.retries.wait_after(failure)
        if wait is None or now + wait >= outage.end:
            raise self._error_of(failure)
        return wait

    def _retries(self) -> Retries:
        return Retries(policy=self.policy, budget=self.budget, uniform=self.uniform, is_known=self._is_known)

    def _tries(self, method: Method, request: Any, end: float) -> Steps[Any]:
        retries = self._retries()
        earlier: Failure | None = None
        has_renewed = renews = False
        while (left_seconds := end - self.clock()) > 0:
            outcome = yield Try(
                method=method, request=request, timeout_seconds=left_seconds, renew_token=renews
            )
            renews = False
            if not isinstance(outcome, Failure):
                self._is_known = True
                self.budget.refund()
                return outcome
            # A call that died is no sign of a server: so does a call to a port of something else.
            self._is_known = retries.is_known = self._is_known or outcome.kind in _ANSWERED
            if outcome.code is grpc.StatusCode.UNAUTHENTICATED and self.can_renew_token and not has_renewed:
                has_renewed = renews = True
                continue
            if earlier is not None and outcome.code is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise self._late(earlier)
            earlier = outcome
            wait = retries.wait_after(outcome)
            if wait is None or self.clock() + wait >= end:
                raise self._error_of(outcome)
            yield Wait(seconds=wait)
        raise self._late(earlier)

    def _late(self, earlier: Failure | None) -> CallError:
        """The error of a call whose time is over; what kept it waiting is worth more than the bare fact."""
        if earlier is not None and earlier.kind is Kind.BUSY:
            return self._error_of(earlier)
        message = f"{self.timeout_seconds:g} s passed without an answer"
        if earlier is not None:
            message += f"; an earlier try met {earlier.code.name}: {earlier.message}"
        return self._error_of(Failure(code=grpc.StatusCode.DEADLINE_EXCEEDED, message=message))

    def _error_of(self, failure: Failure) -> CallError:
        return error_of(failure, self.timeout_seconds, security=self.security, proxy=self.proxy)
