"""BLEU and chrF of translations, with sacrebleu (Post 2018, arXiv:1804.08771)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sacrebleu.metrics import BLEU, CHRF
from sentencepiece import SentencePieceProcessor


@dataclass(frozen=True)
class Quality:
    """Corpus scores from 0 to 100, and sacrebleu's signatures, which name how they were counted.

    Args:
        spbleu: BLEU over SentencePiece's pieces, where a vocabulary for it was given.
    """

    bleu: float
    chrf: float
    bleu_signature: str
    chrf_signature: str
    spbleu: float | None = None
    spbleu_signature: str = ""


class PiecesBleu:
    """spBLEU: BLEU over the pieces of a vocabulary that all languages share (Goyal et al. 2022).

    Args:
        vocabulary: A SentencePiece file. Scores compare with published ones if it is the one of FLORES-200,
            flores200_sacrebleu_tokenizer_spm.model; the signature has its name.

    Raises:
        OSError: it cannot be read, or is no SentencePiece file.

    Source: arXiv:2106.03193, section 4.
    """

    def __init__(self, vocabulary: Path) -> None:
        self._processor = SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(vocabulary.read_bytes())
        except RuntimeError as error:
            raise OSError(f"{vocabulary} is no SentencePiece file") from error
        self._name = vocabulary.name

    def score(self, hypotheses: Sequence[str], references: Sequence[str]) -> tuple[float, str]:
        """The score of a corpus, from 0 to 100, and the signature."""
        bleu = BLEU(tokenize="none", force=True)  # the text is cut: that is no mistake
        score = bleu.corpus_score(self._cut(hypotheses), [self._cut(references)]).score
        return score, str(bleu.get_signature()).replace("tok:none", f"tok:{self._name}")

    def _cut(self, texts: Sequence[str]) -> list[str]:
        return [" ".join(pieces) for pieces in self._processor.EncodeAsPieces(list(texts))]


def evaluate(
    hypotheses: Sequence[str], references: Sequence[str], pieces: PiecesBleu | None = None
) -> Quality:
    """Score detokenized translations against one reference each."""
    bleu, chrf = BLEU(), CHRF()
    spbleu, spbleu_signature = pieces.score(hypotheses, references) if pieces else (None, "")
    return Quality(
        bleu=bleu.corpus_score(hypotheses, [references]).score,
        chrf=chrf.corpus_score(hypotheses, [references]).score,
        bleu_signature=str(bleu.get_signature()),
        chrf_signature=str(chrf.get_signature()),
        spbleu=spbleu,
        spbleu_signature=spbleu_signature,
    )
