"""Which language a text is found to be in; of the real detector."""

from __future__ import annotations

import time

import pytest

from model.text.parallel_text import read_pairs
from server.documents.markup.reading import Format
from server.errors import DeadlineExceeded, LanguageUnsure
from server.translation.detection import LEAST_CONFIDENCE, DetectedLanguage, LanguageDetector
from tests.conftest import DATA

EIGHT = {label: label for label in ("ca", "de", "en", "es", "fr", "it", "pt", "ro")}


@pytest.fixture(scope="module")
def detector() -> LanguageDetector:
    return LanguageDetector()


def test_most_sentences_are_told_and_hardly_one_wrongly(detector: LanguageDetector) -> None:
    pairs = read_pairs(DATA / "en-it.tsv")[:100]
    for side, language in enumerate(("en", "it")):
        found = detector.detect([pair[side] for pair in pairs], Format.PLAIN, EIGHT)
        told = [item.language for item in found if isinstance(item, DetectedLanguage)]
        assert len(told) >= 85
        assert told.count(language) >= len(told) - 1


def test_only_what_is_served_is_found_and_labels_of_one_language_count_together(
    detector: LanguageDetector,
) -> None:
    text = "Ikke alle som vandrer, har gått seg vill i skogen."
    (one,) = detector.detect([text], Format.PLAIN, {"en": "en", "it": "it"})
    assert not isinstance(one, DetectedLanguage) or one.language in {"en", "it"}
    together = {"en": "en", "no": "no", "nn": "no"}
    (found,) = detector.detect([text], Format.PLAIN, together)
    assert isinstance(found, DetectedLanguage)
    assert found.language == "no"
    assert LEAST_CONFIDENCE <= found.confidence <= 1


def test_a_text_that_may_be_in_several_languages_names_them(detector: LanguageDetector) -> None:
    (unsure,) = detector.detect(["Taxi"], Format.PLAIN, EIGHT)
    assert isinstance(unsure, LanguageUnsure)
    assert len(unsure.candidates) == 3
    shares = [share for _, share in unsure.candidates]
    assert LEAST_CONFIDENCE > shares[0] >= shares[1] >= shares[2]
    assert all(f"{language} (0." in str(unsure) for language, _ in unsure.candidates)


def test_a_text_without_letters_has_no_language(detector: LanguageDetector) -> None:
    assert detector.detect(["", " \n", "12, 13!", "🙂"], Format.PLAIN, EIGHT) == [None] * 4


def test_of_markup_only_what_is_read_counts(detector: LanguageDetector) -> None:
    page = "<script>the and that with from this</script><p title='the'>Il gatto è sul <b>tavolo</b>.</p>"
    (found,) = detector.detect([page], Format.HTML, EIGHT)
    assert isinstance(found, DetectedLanguage)
    assert found.language == "it"
    assert detector.detect(["<br><hr>"], Format.HTML, EIGHT) == [None]


def test_a_call_that_is_late_is_not_gone_through(detector: LanguageDetector) -> None:
    with pytest.raises(DeadlineExceeded):
        detector.detect(["Hello"], Format.PLAIN, EIGHT, deadline=time.monotonic())
