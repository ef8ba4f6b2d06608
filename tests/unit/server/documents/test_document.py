"""Whatever a text is, its segments and what is between them are the text; nothing too long is cut away."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.documents.document import Document, Segmentation, read_document, utf8_ranges
from server.documents.invisible import visible
from server.documents.warnings import TextWarning, WarningReason
from tests.unit.server.documents.texts import languages, texts, unhurried

segmentations = st.sampled_from(list(Segmentation))


def read(
    text: str,
    segmentation: Segmentation = Segmentation.SENTENCES,
    *,
    most: int = 10_000,
    language: str = "en",
) -> Document:
    return read_document(text, language, segmentation, lambda part: len(part) <= most)


def sources(document: Document) -> list[str]:
    return [document.text[segment.start : segment.end] for segment in document.segments]


@unhurried
@given(texts, languages, segmentations, st.integers(1, 30))
def test_segments_and_what_is_between_them_are_the_text(
    text: str, language: str, segmentation: Segmentation, most: int
) -> None:
    document = read(text, segmentation, most=most, language=language)
    assert document.joined(sources(document), (language, language))[0] == text


@unhurried
@given(texts, segmentations, st.integers(1, 30))
def test_segments_are_in_order_visible_and_no_longer_than_the_model_takes(
    text: str, segmentation: Segmentation, most: int
) -> None:
    segments = read(text, segmentation, most=most).segments
    assert all(first.end <= second.start for first, second in pairwise(segments))
    for segment in segments:
        assert segment.text
        assert segment.text == visible(text[segment.start : segment.end])
        assert segment.text == segment.text.strip()
        assert len(segment.text) <= most or segmentation is Segmentation.NONE


@unhurried
@given(texts, st.integers(1, 30), st.sampled_from(["", "é", "two words", "今日は🛶"]))
def test_ranges_name_the_bytes_of_segments_and_targets(text: str, most: int, target: str) -> None:
    document = read(text, most=most)
    targets = [f"{target}{i}" for i in range(len(document.segments))]
    joined, ranges = document.joined(targets, ("en", "it"))
    places = utf8_ranges(text, [(segment.start, segment.end) for segment in document.segments])
    assert [text.encode()[start:end].decode() for start, end in places] == sources(document)
    assert [joined.encode()[start:end].decode() for start, end in utf8_ranges(joined, ranges)] == targets


@pytest.mark.parametrize(
    ("segmentation", "expected"),
    [
        (Segmentation.SENTENCES, ["Dr. Smith is in.", "Are you?", "No."]),
        (Segmentation.LINES, ["Dr. Smith is in. Are you?", "No."]),
        (Segmentation.NONE, ["Dr. Smith is in. Are you?\r\n\n No."]),
    ],
)
def test_a_text_is_cut_as_it_is_asked_for(segmentation: Segmentation, expected: list[str]) -> None:
    assert sources(read("\n Dr. Smith is in. Are you?\r\n\n No.\t", segmentation)) == expected


@pytest.mark.parametrize(
    "sentence",
    [
        "See https://docs.python.org/3/library/unittest.html#unittest.TestCase for more.",
        "Open https://a.example/#!Page now.",
        "Get https://a.example/Report.PDF here.",
        "Is https://a.example/what?Id=7 right?",
        "Go to www.Example.Com now.",
        "Click <a title='One. Two.' href='x'> twice.",
    ],
)
def test_no_sentence_ends_within_what_must_not_change(sentence: str) -> None:
    assert sources(read(f"Yes. {sentence} No.")) == ["Yes.", sentence, "No."]


@pytest.mark.parametrize("segmentation", [Segmentation.SENTENCES, Segmentation.LINES])
def test_what_is_too_long_is_cut_at_clauses_then_at_words_and_told(segmentation: Segmentation) -> None:
    document = read("Short. He came to the town, he saw the sea and the boats. End.", segmentation, most=20)
    assert sources(document) == [
        *("Short.", "He came to the town,", "he saw the sea", "and the boats.", "End."),
    ]
    reason = WarningReason.SENTENCE_SPLIT
    split = 1 if segmentation is Segmentation.SENTENCES else 0
    assert TextWarning(reason=reason, segment=split) in document.warnings
    assert {warning.reason for warning in document.warnings} == {reason}


def test_a_word_that_is_too_long_stays_and_is_told() -> None:
    document = read("Keep " + "x" * 100 + " here.", most=20)
    assert sources(document) == ["Keep", "here."]
    untranslated = TextWarning(reason=WarningReason.UNTRANSLATED, text="x" * 64)
    assert set(document.warnings) == {
        untranslated,
        TextWarning(reason=WarningReason.SENTENCE_SPLIT, segment=0),
    }


def test_what_has_nothing_to_translate_is_no_segment() -> None:
    document = read("* * *\nhttps://a.example/b\n{name}\nSee {name}!🛶\n---\n🛶")
    assert sources(document) == ["See {name}!"]
    assert sources(read("🛶🎭 ---")) == ["🛶🎭 ---"]


def test_invisible_characters_are_kept_from_the_model_and_told() -> None:
    (segment,) = read("\ufeffGood morn\u00ading.\u2069").segments
    assert (segment.start, segment.text) == (1, "Good morning.")
    assert read("\ufeffGood morn\u00ading.\u2069").warnings == (
        TextWarning(reason=WarningReason.INVISIBLE_CHARACTERS, segment=0),
    )


def test_a_script_without_spaces_gets_them_where_the_target_needs_them() -> None:
    document = read("今日は。元気ですか？\nはい。", language="ja")
    assert document.joined(["Hello.", "Well?", "Yes."], ("ja", "en"))[0] == "Hello. Well?\nYes."
    assert document.joined(["你好。", "好吗？", "是。"], ("ja", "zh-Hans"))[0] == "你好。好吗？\n是。"


def test_a_book_of_one_line_is_cut_in_reasonable_time() -> None:
    quotes = "“" * 100_000  # quadratic for the library
    assert read(f"{quotes} " + "cat " * 50_000, most=1000).segments
