"""A native Marian model as it is imported, beside CTranslate2's conversion of the same files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import ctranslate2
import numpy as np
import pytest
import torch

from model.checkpoint import load_weights, unique_weights
from model.importers.marian import import_marian
from model.networks.transformer import Transformer
from tests.marian_files import NATIVE_MODEL, NATIVE_VOCABULARY, write_native
from tests.opus_mt_files import sentencepiece_bytes

LIMIT = 1e-4


@pytest.fixture(scope="module")
def folder(pairs: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = [sentencepiece_bytes([pair[side] for pair in pairs], 200) for side in (0, 1)]
    return write_native(tmp_path_factory.mktemp("native") / "opus", *models)


def test_log_probabilities_are_those_of_ctranslate2_with_its_positions(
    folder: Path, tmp_path: Path, pairs: list[tuple[str, str]]
) -> None:
    """CTranslate2's wavelengths are Transformers', and not Marian's: all else is the same."""
    vocabularies = [str(folder / NATIVE_VOCABULARY)] * 2
    converter = ctranslate2.converters.MarianConverter(str(folder / NATIVE_MODEL), vocabularies)
    converter.convert(str(tmp_path / "converted"))
    theirs = ctranslate2.Translator(str(tmp_path / "converted"), compute_type="float32", intra_threads=1)
    imported = import_marian(folder, ("en", "it"))
    tokenizer = imported.tokenizer
    ours = Transformer(dataclasses.replace(imported.model.config, position_denominator="half")).eval()
    load_weights(ours, unique_weights(imported.model))
    with torch.no_grad():  # what CTranslate2 does not rule out
        ours.output.bias[tokenizer.special_ids.unknown] = float(
            np.load(folder / NATIVE_MODEL)["decoder_ff_logit_out_b"][0, tokenizer.special_ids.unknown]
        )
    for english, italian in pairs[:20]:
        source, target = tokenizer.encode_source(english, "it"), tokenizer.encode_target(italian)
        with torch.inference_mode():
            logits = ours(torch.tensor([source]), torch.tensor([[0, *target[:-1]]]))[0]
        found = logits.log_softmax(-1)[torch.arange(len(target)), torch.tensor(target)]
        (scored,) = theirs.score_batch(
            [[tokenizer.source_piece(i) for i in source[:-1]]], [[tokenizer.piece(i) for i in target[:-1]]]
        )
        np.testing.assert_allclose(found.numpy(), scored.log_probs, rtol=0, atol=LIMIT)
