"""The sentences that a proof translates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from export.proof.checks import ProofError
from model.networks.encoder_decoder import EncoderDecoder
from model.searches.beam_search import greedy_search
from model.searches.first_token import beginning_with
from model.text.tokenizer import Tokenizer

MIN_PAIRS = 100
CAPACITY = 256


Pairs = Sequence[tuple[str, str]]
LanguagePair = tuple[str, str]


@dataclass(frozen=True)
class Sentence:
    """A source, what it was translated to by a person, and how long its translation may get.

    Args:
        languages: Of source and reference.
        first_token: What a translation into that language begins with; None where it begins as it likes.
    """

    source: tuple[int, ...]
    reference: str
    capacity: int = CAPACITY
    languages: LanguagePair | None = None
    first_token: int | None = None

    @property
    def max_target_tokens(self) -> int:
        """Room enough for a real translation, and an end for one that loops."""
        return min(2 * len(self.source) + 10, self.capacity)


def _by_languages(
    pairs: Pairs | Mapping[LanguagePair, Pairs], tokenizer: Tokenizer
) -> dict[LanguagePair, Pairs]:
    languages = tokenizer.languages
    if not isinstance(pairs, Mapping):
        if len(languages) != 2:
            raise ProofError(
                f"the model has languages {', '.join(languages)}: name the two of each file of sentences"
            )
        return {(languages[0], languages[1]): pairs}
    if unknown := sorted({language for pair in pairs for language in pair} - set(languages)):
        raise ProofError(f"the model has languages {', '.join(languages)}, not {', '.join(unknown)}")
    return dict(pairs)


def prepare(
    pairs: Pairs | Mapping[LanguagePair, Pairs], tokenizer: Tokenizer, capacity: int = CAPACITY
) -> list[Sentence]:
    """Every pair as a sentence for each direction of its languages that the tokenizer has marks for.

    Args:
        pairs: By the languages of their columns; a plain list is of the tokenizer's two.
        capacity: Longest source and target, in tokens.

    Raises:
        ProofError: too few pairs, languages that do not fit, or a sentence too long for the proof.
    """
    sentences, directions = [], set(tokenizer.directions)
    for (first, second), rows in _by_languages(pairs, tokenizer).items():
        if len(rows) < MIN_PAIRS:
            raise ProofError(
                f"{len(rows)} sentence pairs of {first} and {second}, the proof needs at least {MIN_PAIRS}"
            )
        for a, b in rows:
            for source, reference, pair in ((a, b, (first, second)), (b, a, (second, first))):
                if pair in directions:
                    sentences.append(_sentence(source, reference, pair, tokenizer, capacity))
    if (longest := max(len(s.source) for s in sentences)) > capacity:
        raise ProofError(f"a sentence has {longest} tokens, the proof takes at most {capacity}")
    return sentences


def _sentence(
    source: str, reference: str, pair: LanguagePair, tokenizer: Tokenizer, capacity: int
) -> Sentence:
    return Sentence(
        source=tuple(tokenizer.encode_source(source, pair[1], source_language=pair[0])),
        reference=reference,
        capacity=capacity,
        languages=pair,
        first_token=tokenizer.first_target_token(pair[1]),
    )


def translated(
    model: EncoderDecoder, tokenizer: Tokenizer, sources: Sequence[str], languages: LanguagePair
) -> list[tuple[str, str]]:
    """Pairs for a proof without references: each source beside its greedy translation by PyTorch in fp32.

    A smaller precision is then held against what the model itself says.

    Raises:
        ProofError: a source is too long for the proof.
    """
    pairs = []
    for text in sources:
        sentence = _sentence(text, "", languages, tokenizer, CAPACITY)
        if (num_tokens := len(sentence.source)) > CAPACITY:
            raise ProofError(f"a sentence has {num_tokens} tokens, the proof takes at most {CAPACITY}")
        scorer = beginning_with(model, sentence.first_token)
        target = greedy_search(scorer, list(sentence.source), sentence.max_target_tokens)
        pairs.append((text, tokenizer.detokenize(target.token_ids)))
    return pairs


def spread_by_length(sentences: Sequence[Sentence], count: int) -> list[Sentence]:
    """Some sentences of evenly spread lengths, long and short mixed."""
    ordered = sorted(sentences, key=lambda s: len(s.source))
    chosen = [ordered[i] for i in np.linspace(0, len(ordered) - 1, count).astype(int)]
    return [chosen[i] for i in np.random.default_rng(0).permutation(count)]


def target_of(sentence: Sentence, tokenizer: Tokenizer) -> list[int]:
    """A sentence's reference as the ids that a decoder must predict."""
    language = sentence.languages[1] if sentence.languages else None
    return tokenizer.encode_target(sentence.reference, target_language=language)
