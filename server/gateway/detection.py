"""Which of the server's languages a text is in, where nothing is to be translated: no rpc tells that."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterable
from typing import Any

_MAX_CHARACTERS = 1024  # what a text is judged by


async def detect(text: str, tags: Iterable[str]) -> list[tuple[str, float]]:
    """Tags with their shares of the probability of all that are possible, the likeliest first.

    py3langid's, a naive Bayes classifier of byte n-grams (Lui and Baldwin 2012), in a thread.

    Args:
        text: None of its letters beyond the first thousand count; a text without any is in no language.
        tags: That are possible.
    """
    return await asyncio.to_thread(_detect, text[:_MAX_CHARACTERS], list(tags))


def _detect(text: str, tags: list[str]) -> list[tuple[str, float]]:
    if not any(map(str.isalpha, text)):
        return []
    of_label = {tag.partition("-")[0].lower(): tag for tag in reversed(tags)}
    shares = [(of_label[label], share) for label, share in _identifier().rank(text) if label in of_label]
    total = sum(share for _, share in shares)
    return [(tag, float(share / total)) for tag, share in shares] if total else []


@functools.cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415 - 90 MiB: for who needs it

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
