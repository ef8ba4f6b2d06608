"""A model without a network: words are tokens, and its worker is told what becomes of each job."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import numpy as np

from server.documents.document import Segmentation
from server.engine.sequence import Beam, Hypothesis, StopReason
from server.models.served_model import ServedModel
from server.translation.request import TranslationRequest
from server.translation.results import Translation
from server.work.job import Job, JobFuture, JobTimes
from server.work.options import SearchOptions

TAG, END = 4, 3
OPTIONS = SearchOptions(method=Beam(beam_size=2), length_penalty=1.0, max_target_tokens=9)
Outcome = tuple[Hypothesis, ...] | Exception | None  # None: it never ends


def hypothesis(
    *token_ids: int, stop_reason: StopReason = StopReason.END, is_attended: bool = False
) -> Hypothesis:
    weights = np.full((len(token_ids), 3), 0.25, np.float32) if is_attended else None
    return Hypothesis(
        token_ids=token_ids, log_prob=-2.0, score=-1.0, stop_reason=stop_reason, attention=weights
    )


class FakeTokenizer:
    """A token for each word: its length; white space inside a text has none."""

    special_ids = SimpleNamespace(end=END)

    def encode_source(self, text: str, target_language: str, *, source_language: str) -> list[int]:
        return [TAG, *map(len, text.replace("\u200b", " ").split()), END]

    def first_target_token(self, target_language: str) -> None:
        return None

    def detokenize(self, token_ids: Sequence[int]) -> str:
        return " ".join("x" * token for token in token_ids)

    def piece(self, token: int) -> str:
        return f"<{token}>"

    source_piece = piece


@dataclass
class FakeWorker:
    """Ends each job at once as `outcome` says."""

    outcome: Callable[[Job], Outcome]
    jobs: list[Job] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    max_queue: int = 8
    calls: list[tuple[int, int, bool]] = field(default_factory=list)  # jobs, later ones, whether it had begun

    def submit(
        self, jobs: Sequence[Job], *, later: Sequence[Job] = (), is_begun: bool = False
    ) -> list[tuple[int, JobFuture]]:
        self.calls.append((len(jobs), len(later), is_begun))
        first = len(self.jobs)
        self.jobs += jobs
        submitted = [(first + i, JobFuture(0.0)) for i in range(len(jobs))]
        for job, (_, future) in zip(jobs, submitted, strict=True):
            result = self.outcome(job)
            if isinstance(result, Exception):
                future.set_exception(result)
            elif result is not None:
                future.set_result(result)
        return submitted

    def cancel(self, sequence_ids: Sequence[int]) -> None:
        self.cancelled += sequence_ids


class FakeModel(SimpleNamespace):
    """Takes sources of 6 tokens."""

    def __init__(self, outcome: Callable[[Job], Outcome]) -> None:
        super().__init__(
            name="fake",
            sha256="ab12",
            max_source_tokens=6,
            tokenizer=FakeTokenizer(),
            worker=FakeWorker(outcome),
        )


@dataclass
class FakeRecord:
    """Remembers what it is told."""

    stages: list[str] = field(default_factory=list)
    times: list[JobTimes] = field(default_factory=list)
    counted: list[Translation] = field(default_factory=list)
    followed: asyncio.Event = field(default_factory=asyncio.Event)

    def end_stage(self, name: str, started: float) -> None:
        self.stages.append(name)

    def follow(self, times: list[JobTimes]) -> None:
        self.times = times
        self.followed.set()

    def count(self, translation: Translation) -> None:
        self.counted.append(translation)


def request_of(
    model: FakeModel,
    *texts: str,
    options: SearchOptions = OPTIONS,
    deadline: float | None = None,
    segmentation: Segmentation = Segmentation.NONE,
) -> TranslationRequest:
    return TranslationRequest(
        model=cast("ServedModel", model),
        pair=("en", "it"),
        texts=texts,
        options=options,
        deadline=deadline,
        segmentation=segmentation,
    )
