"""M2M-100 and NLLB-200 as they are imported, beside Transformers' own classes: ids, numbers, translations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from model.importers.m2m_100 import import_m2m_100
from model.importers.multilingual_languages import M2M_100, NLLB_200, WMT_21
from model.searches.beam_search import beam_search, greedy_search
from model.searches.first_token import FirstTokenScorer
from tests.m2m_100_files import spm_bytes, write_m2m_100, write_nllb

LIMIT = 1e-4
library: Any = transformers  # half of it is without types
LANGUAGES = {"m2m-100": ("en", "it"), "nllb": ("eng_Latn", "ita_Latn"), "legacy": ("eng_Latn", "ita_Latn")}
SPECIAL = ("</s>", "<unk>", "<pad>", "<s>", "<mask>")


@pytest.fixture(scope="module")
def folders(pairs: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("m2m-100")
    model = spm_bytes([text for pair in pairs for text in pair])
    return {
        "m2m-100": write_m2m_100(folder / "m2m-100", model),
        "nllb": write_nllb(folder / "nllb", model),
        "legacy": write_nllb(folder / "legacy", model, legacy=True),
    }


def their_tokenizer(folder: Path, name: str) -> Any:
    source, target = LANGUAGES[name]
    kind = library.M2M100Tokenizer if name == "m2m-100" else library.NllbTokenizer
    return kind.from_pretrained(str(folder), src_lang=source, tgt_lang=target)


@pytest.fixture(scope="module")
def texts(pairs: list[tuple[str, str]], data_folder: Path) -> list[str]:
    """English and Italian, and what the vocabulary has not."""
    lines = [text for pair in pairs for text in pair]
    lines += (data_folder / "varied-english.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not any(mark in line for mark in SPECIAL)]


@pytest.mark.parametrize("name", LANGUAGES)
def test_ids_and_texts_are_those_of_transformers(
    folders: dict[str, Path], texts: list[str], name: str
) -> None:
    ours, theirs = import_m2m_100(folders[name]).tokenizer, their_tokenizer(folders[name], name)
    for text in texts:
        source = ours.encode_source(text, "it", source_language="en")
        assert source == theirs(text).input_ids
        target = ours.encode_target(text, target_language="it")
        if name != "legacy":  # there targets are written as sources are, and begin with the language anyway
            assert target == theirs(text_target=text).input_ids
        # Theirs leaves a space at an end where an unknown piece stood.
        assert ours.detokenize(target) == theirs.decode(target, skip_special_tokens=True).strip()


def test_languages_are_those_of_transformers_in_their_order() -> None:
    from transformers.models.m2m_100 import tokenization_m2m_100 as m2m_100  # noqa: PLC0415
    from transformers.models.nllb import tokenization_nllb as nllb  # noqa: PLC0415

    codes: Any = m2m_100.FAIRSEQ_LANGUAGE_CODES
    assert [list(M2M_100), list(WMT_21), list(NLLB_200)] == [
        codes["m2m100"],
        codes["wmt21"],
        list(nllb.FAIRSEQ_LANGUAGE_CODES),
    ]


@torch.inference_mode()
@pytest.mark.parametrize("name", LANGUAGES)
def test_log_probabilities_are_those_of_transformers(folders: dict[str, Path], name: str) -> None:
    ours = import_m2m_100(folders[name]).model
    theirs: Any = library.M2M100ForConditionalGeneration.from_pretrained(str(folders[name])).eval()
    generator = torch.Generator().manual_seed(1)
    for length in (1, 2, 9, 58):
        ids = torch.randint(4, ours.config.vocabulary_size, (2 * length + 2,), generator=generator)
        source, target = torch.cat((ids[:length], torch.tensor([2])))[None], ids[length:][None]
        expected = theirs(input_ids=source, decoder_input_ids=target).logits.log_softmax(-1)
        torch.testing.assert_close(ours(source, target).log_softmax(-1), expected, rtol=0, atol=LIMIT)
        assert float(expected.max() - expected.min()) > 5  # it says something


@torch.inference_mode()
@pytest.mark.parametrize("name", LANGUAGES)
def test_translations_and_scores_are_those_of_transformers(
    folders: dict[str, Path], texts: list[str], name: str
) -> None:
    """The first token is the language's; it counts in the length, with log-probability 0."""
    imported = import_m2m_100(folders[name])
    theirs: Any = library.M2M100ForConditionalGeneration.from_pretrained(str(folders[name])).eval()
    first = imported.tokenizer.first_target_token("it")
    assert first is not None
    assert first == their_tokenizer(folders[name], name).convert_tokens_to_ids(
        "__it__" if name == "m2m-100" else "ita_Latn"
    )
    scorer = FirstTokenScorer(imported.model, first)
    limit = 14
    for text in texts[:12]:
        source = imported.tokenizer.encode_source(text, "it", source_language="en")
        for num_beams in (1, 3):
            expected = theirs.generate(
                input_ids=torch.tensor([source]),
                forced_bos_token_id=first,
                num_beams=num_beams,
                max_length=limit + 1,
                early_stopping=True,
                length_penalty=0.0,
                return_dict_in_generate=True,
                output_scores=True,
            )
            found = (
                greedy_search(scorer, source, limit, alpha=0.0)
                if num_beams == 1
                else beam_search(scorer, source, num_beams, limit, alpha=0.0)[0]
            )
            assert list(found.token_ids) == expected.sequences[0, 1:].tolist()
            if num_beams > 1:
                assert found.log_prob == pytest.approx(float(expected.sequences_scores[0]), abs=LIMIT)
