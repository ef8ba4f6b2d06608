"""Which language a text is in, among those that are served."""

from __future__ import annotations

import re
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from server.documents.markup.reading import Format
from server.errors import DeadlineExceeded, LanguageUnsure, RequestError

# Of 373 short sentences in each of two languages, none is taken for another with 0.6 or more; among eight
# languages one in a thousand is, and one in 25 is refused.
LEAST_CONFIDENCE = 0.6
_MAX_CHARACTERS = 1024  # what a text is judged by: it takes 3 ms
_MAX_TOLD = 3  # candidates in an error
_TAGS = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectedLanguage:
    """What a text is likely to be in.

    Args:
        language: As the model spells it.
        confidence: Its share of the probability of all candidates, from 0 to 1.
    """

    language: str
    confidence: float


class LanguageDetector:
    """py3langid, a naive Bayes classifier of byte n-grams; read when it is first needed, for any thread.

    Source: Lui and Baldwin 2012, "langid.py: An Off-the-shelf Language Identification Tool".
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @property
    def labels(self) -> list[str]:
        """The languages that it knows, in ISO 639's codes."""
        labels: list[str] = self._loaded.labels
        return labels

    def detect(
        self,
        texts: Sequence[str],
        form: Format,
        candidates: Mapping[str, str],
        deadline: float | None = None,
    ) -> list[DetectedLanguage | RequestError | None]:
        """The language of each text; None for one without letters, which has none.

        Args:
            candidates: What the labels that are served are called there; labels of one name count together.
            deadline: On the monotonic clock, in seconds; None for none.

        Raises:
            DeadlineExceeded: it has passed meanwhile.
        """
        found: list[DetectedLanguage | RequestError | None] = []
        for text in texts:
            if deadline is not None and time.monotonic() >= deadline:
                raise DeadlineExceeded(was_queued=False)
            found.append(self._detect(_visible(text, form), candidates))
        return found

    def _detect(self, text: str, candidates: Mapping[str, str]) -> DetectedLanguage | RequestError | None:
        if not any(map(str.isalpha, text)):
            return None
        shares: dict[str, float] = defaultdict(float)
        for label, probability in self._loaded.rank(text):
            if label in candidates:
                shares[candidates[label]] += probability
        total = sum(shares.values()) or 1.0
        ranked = sorted(((share / total, name) for name, share in shares.items()), reverse=True)
        confidence, language = ranked[0]
        if confidence < LEAST_CONFIDENCE:
            return LanguageUnsure([(name, share) for share, name in ranked[:_MAX_TOLD]])
        return DetectedLanguage(language=language, confidence=confidence)

    @property
    def _loaded(self) -> Any:
        with self._lock:  # whoever comes second waits for the first
            return self._identifier

    @cached_property
    def _identifier(self) -> Any:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415 - 90 MiB: for who needs it

        return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _visible(text: str, form: Format) -> str:
    """The beginning of a text, of markup as far as a reader sees it."""
    if form in {Format.HTML, Format.XML}:
        text = _TAGS.sub(" ", text[: 8 * _MAX_CHARACTERS])
    return text[:_MAX_CHARACTERS]
