"""A corpus is filtered and joined in its order; pairs become examples of both directions."""

from __future__ import annotations

from pathlib import Path
from random import Random

from model.preparation.config import CorpusConfig
from model.preparation.corpus import clean_corpus
from model.preparation.examples import directions, filled_templates, names_in
from model.preparation.filters import FilterConfig
from model.preparation.inventions import Inventions

LANGUAGES = ("en", "it")


def test_joined_texts_keep_the_order_of_their_file(tmp_path: Path) -> None:
    lines = [f"Sentence {i}.\tFrase {i}.\n" for i in range(100)]
    (tmp_path / "pairs.tsv").write_text("".join(lines))
    corpus = CorpusConfig(files=("pairs.tsv",), joined=0.5, max_joined=4)
    clean = clean_corpus(corpus, FilterConfig(), LANGUAGES, tmp_path, tmp_path / "clean.jsonl", 1)
    texts = list(clean.pairs())
    assert clean.num_pairs == 100 < len(texts)
    for first, second in texts:
        numbers = [int(word) for word in first.replace(".", "").split()[1::2]]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert second == first.replace("Sentence", "Frase")
    assert texts != sorted(texts)


def test_headlines_have_capitals_in_the_source_alone() -> None:
    pairs = [("the cat is here", "il gatto è qui")] * 50
    rows = list(directions(pairs, LANGUAGES, None, 0.5, Random(1)))
    assert ("The Cat Is Here", "il gatto è qui", "it") in rows
    assert ("Il Gatto È Qui", "the cat is here", "en") in rows
    assert ("the cat is here", "il gatto è qui", "it") in rows


def test_a_slot_has_one_filling_on_both_sides() -> None:
    templates = [("{name} met {name_2} at {number}.", "{name_2}: {name}, {number}.")]
    inventions = Inventions(Random(2))
    for first, second in filled_templates(templates, 50, inventions, Random(3)):
        name, rest = first.split(" met ")
        assert name in second
        assert rest.split(" at ")[0] in second
        assert "{name" not in first + second


def test_names_are_words_with_a_capital_on_both_sides() -> None:
    pairs = [
        ("We saw Prodi and Monday.", "Abbiamo visto Prodi e lunedì."),
        ("Rossi is here.", "Rossi è qui."),
    ]
    assert names_in(pairs) == ["Prodi"]
