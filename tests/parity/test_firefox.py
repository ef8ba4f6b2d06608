"""A real student of Firefox's, imported: the formulas' numbers, and the texts of another engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from model.importers.firefox import import_firefox
from model.importers.imported_model import ImportedModel
from tests.firefox_models import is_text_to_the_oracle, model_folder, oracle
from tests.marian_numpy import MarianStudent, read_values

LIMIT = 1e-4
NUM_HEADS = 8
PAIRS = ("en-pt", "pt-en")
PORTUGUESE = (
    "Olá!",
    "O comboio para o Porto parte às 10h45 da plataforma 3.",
    "Não sei o que lhe hei de dizer.",
    "A comissão concluiu que ninguém podia ser responsabilizado pelo que aconteceu.",
    "Quanto custa enviar uma carta para Moçambique?",
    "</s>",
    "Escreva </s> no fim da linha.",
)


@pytest.fixture(scope="module", params=PAIRS)
def pair(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def imported(pair: str) -> ImportedModel:
    return import_firefox(model_folder(pair))


@pytest.fixture(scope="module")
def texts(pair: str, data_folder: Path, pairs: list[tuple[str, str]]) -> list[str]:
    if pair == "pt-en":
        return list(PORTUGUESE)
    varied = (data_folder / "varied-english.txt").read_text(encoding="utf-8").splitlines()
    return [*varied, *(english for english, _ in pairs[:60])]


def greedy(imported: ImportedModel, text: str) -> list[int]:
    """The best of a text's candidates at each step, by PyTorch."""
    assert imported.shortlist is not None
    source = imported.tokenizer.encode_source(text, imported.tokenizer.languages[1])
    is_candidate = torch.zeros(imported.tokenizer.size, dtype=torch.bool)
    is_candidate[torch.from_numpy(imported.shortlist.candidates(source))] = True
    memory, target = imported.model.encode(torch.tensor([source])), list[int]()
    while len(target) < imported.model.config.target_limit.tokens(len(source)):
        log_probs = imported.model.decode_step(torch.tensor([[0, *target]]), memory)[0]  # (V)
        target.append(int(log_probs.masked_fill(~is_candidate, -torch.inf).argmax()))
        if target[-1] == imported.model.special_ids.end:
            break
    return target


@torch.inference_mode()
def test_its_texts_are_those_of_the_other_engine(
    pair: str, imported: ImportedModel, texts: list[str]
) -> None:
    translate = oracle(pair)
    expected = {text: translate(text) for text in texts if is_text_to_the_oracle(text)}
    found = {text: imported.tokenizer.detokenize(greedy(imported, text)) for text in expected}
    assert found == expected
    assert len(set(expected.values())) > 0.9 * len(expected)


@torch.inference_mode()
def test_what_looks_like_a_special_token_in_a_text_is_text(imported: ImportedModel, texts: list[str]) -> None:
    special = [text for text in texts if not is_text_to_the_oracle(text)]
    assert special
    for text in special:
        *source, end = imported.tokenizer.encode_source(text, imported.tokenizer.languages[1])
        assert end not in source
        assert len(source) > 1
        assert imported.tokenizer.detokenize(greedy(imported, text))


@torch.inference_mode()
def test_its_log_probabilities_are_those_of_the_formulas(
    pair: str, imported: ImportedModel, texts: list[str]
) -> None:
    path = next(model_folder(pair).glob("model*.bin"))
    student = MarianStudent(read_values(path), NUM_HEADS)
    for text in sorted(texts, key=len)[:: max(1, len(texts) // 6)]:
        source = imported.tokenizer.encode_source(text, imported.tokenizer.languages[1])
        target = greedy(imported, text)[:-1]
        logits = imported.model(torch.tensor([source]), torch.tensor([[0, *target]]))[0]  # (T, V)
        found = logits.log_softmax(dim=-1).numpy()
        numpy_logits = student.logits(source, target)
        numpy_logits[:, imported.model.special_ids.unknown] = -np.inf
        highest = numpy_logits.max(axis=1, keepdims=True)
        expected = numpy_logits - highest - np.log(np.exp(numpy_logits - highest).sum(axis=1, keepdims=True))
        likely = (
            expected > -20
        )  # the others are e⁻²⁰ and less, of larger logits that fp32 rounds as much more
        np.testing.assert_allclose(found[likely], expected[likely], rtol=0, atol=LIMIT)
        assert likely.sum() > len(likely)
