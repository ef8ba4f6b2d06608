"""How to search for translations; of all options here those left out take the server's defaults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Draws each token at random.

    Args:
        temperature: Divides the logits: below 1 less random, above 1 more.
        top_k: Only this many of the most probable tokens.
        top_p: Only the most probable tokens whose probabilities reach this sum.
        seed: Repeats a draw: equal requests with equal seeds get equal texts.
    """

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class ContrastiveSearch:
    """Avoids repetition without chance (Su et al. 2022, arXiv:2202.06417).

    Args:
        top_k: Candidates for each token.
        penalty_alpha: Weight of the penalty on what resembles the target so far, from 0 to 1.
    """

    top_k: int | None = None
    penalty_alpha: float | None = None


@dataclass(frozen=True, kw_only=True)
class GlossaryTerm:
    """A term, and what translations say for it.

    Args:
        source: Whole words, as texts have them.
        target: Empty for a term that stays as the text has it.
        match_case: Whether another case is another term.
    """

    source: str
    target: str = ""
    match_case: bool = False


@dataclass(frozen=True, kw_only=True)
class AttentionOptions:
    """Which attention over the source to return.

    Args:
        layer: Layer of the decoder, from 0; None for the one that aligned best at export.
        heads: Heads whose mean is returned, from 0; none given is all of them.
    """

    layer: int | None = None
    heads: Sequence[int] = ()

    def __post_init__(self) -> None:
        """Keep the heads as a tuple: a list could change."""
        object.__setattr__(self, "heads", tuple(self.heads))


class TranslateOptions(TypedDict, total=False):
    """The keywords of `translate` and `translate_many`.

    Args:
        model: A model's name; empty for the server's choice for the language pair.
        beam_size: Hypotheses kept alive at each step; 1 is greedy search.
        length_penalty: Alpha of Wu et al. 2016 (arXiv:1609.08144, section 7); None takes the model's.
        max_target_tokens: Upper limit on the tokens of each translation.
        num_hypotheses: Hypotheses to return for each text, at most.
        method: How to search; None is beam search. Neither of the others goes with `beam_size`.
        attention: Returns the attention of each hypothesis; None returns none.
        target_prefix: How the translations begin: one text for all, or in `translate` one for each of its
            texts, empty for those that begin as they like.
        suppress: Terms that no translation has, as they are written here, at most 256.
        no_repeat_ngram_size: No run of so many tokens is twice in the translation of a sentence.
        repetition_penalty: Above 1 makes tokens that are there already less probable; scores change by it.
        min_target_tokens: Lower limit on the tokens of each translation.
        glossary: Terms and what translations say for them, at most 1,024: a dict, or `GlossaryTerm`s.
        glossary_names: Glossaries of the server whose terms hold too.
        skip_scores: Leaves out `score` and `log_prob`, by which greedy search is a little faster.
        format: What texts are written in: "plain", the default; "html", "xml" or "markdown".
        segmentation: How texts are cut: "sentences", the default; "lines"; or "none", each text one sequence.
        priority: "bulk" for what may take its time; "interactive", the default, goes first.
    """

    model: str
    beam_size: int | None
    length_penalty: float | None
    max_target_tokens: int | None
    num_hypotheses: int | None
    method: Sampling | ContrastiveSearch | None
    attention: AttentionOptions | None
    target_prefix: str | Sequence[str] | None
    suppress: Sequence[str]
    no_repeat_ngram_size: int | None
    repetition_penalty: float | None
    min_target_tokens: int | None
    glossary: Mapping[str, str] | Iterable[GlossaryTerm]
    glossary_names: Sequence[str]
    skip_scores: bool
    format: Literal["plain", "html", "xml", "markdown"] | None
    segmentation: Literal["sentences", "lines", "none"] | None
    priority: Literal["interactive", "bulk"]
