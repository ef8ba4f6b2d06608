"""Imported models of random weights from their files to a server: it says what PyTorch says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from export.contract.manifest import load_manifest
from model.checkpoint import load_checkpoint
from model.searches.beam_search import greedy_search
from model.searches.first_token import beginning_with
from tests.m2m_100_files import SHARED, spm_bytes, write_nllb
from tests.marian_files import NATIVE_MODEL, npz_bytes, write_native
from tests.opus_mt_files import sentencepiece_bytes
from tests.programs import run_module
from tests.running_server import StartServer
from traghetto import Client, Translation

pytestmark = pytest.mark.timeout(600)  # a test waits until a model is proven

NUM_SOURCES = 100
NUM_TEXTS = 40
MAX_TARGET_TOKENS = 12
END_BIAS = 3.0  # random weights would hardly ever end, and a proof take minutes


@pytest.fixture(scope="module")
def words(pairs: list[tuple[str, str]]) -> list[str]:
    """English ones, the shortest: a proof of them is quick."""
    distinct = {word for english, _ in pairs for word in english.split()}
    return sorted(distinct, key=lambda word: (len(word), word))[:NUM_SOURCES]


def check_served(
    start_server: StartServer, folder: Path, checkpoint: Path, texts: list[str], pair: tuple[str, str]
) -> None:
    """Greedy texts of a server are those of PyTorch."""
    model, tokenizer = load_checkpoint(checkpoint)
    expected = []
    for text in texts:
        source = tokenizer.encode_source(text, pair[1], source_language=pair[0])
        scorer = beginning_with(model, tokenizer.first_target_token(pair[1]))
        expected.append(tokenizer.detokenize(greedy_search(scorer, source, MAX_TARGET_TOKENS).token_ids))
    with start_server(folder, "--slots=3") as running, Client(running.address) as client:
        items = client.translate_many(
            texts, *pair, beam_size=1, segmentation="none", max_target_tokens=MAX_TARGET_TOKENS
        )
        found = [item.text if isinstance(item, Translation) else item for item in items]
    assert found == expected
    assert len(set(expected)) > 1  # random weights depend little on what they read


def test_a_native_marian_model(
    start_server: StartServer, tmp_path: Path, pairs: list[tuple[str, str]], words: list[str]
) -> None:
    models = tuple(sentencepiece_bytes([pair[side] for pair in pairs], 200) for side in (0, 1))
    published, checkpoint = write_native(tmp_path / "opus-2020-02-26", *models), tmp_path / "checkpoint"
    (tmp_path / "texts.txt").write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
    arrays = dict(np.load(published / NATIVE_MODEL))
    arrays["decoder_ff_logit_out_b"][0, 0] += END_BIAS
    (published / NATIVE_MODEL).write_bytes(npz_bytes(arrays))
    run_module("model.commands.import_model", published, "--output", checkpoint, "--languages", "en", "it")
    sources = ("--sources", tmp_path / "texts.txt")
    run_module("export.command", checkpoint, "--output", tmp_path / "en-it", *sources)
    assert load_manifest(tmp_path / "en-it").language_pairs == (("en", "it"),)
    texts = [english for english, _ in pairs[:NUM_TEXTS]]
    check_served(start_server, tmp_path / "en-it", checkpoint, texts, ("en", "it"))


def test_a_model_of_all_directions(
    start_server: StartServer, tmp_path: Path, pairs: list[tuple[str, str]], words: list[str]
) -> None:
    """Proven on few of 40,602 pairs of languages, and serving every one."""
    published = write_nllb(tmp_path / "nllb-200", spm_bytes([text for pair in pairs for text in pair]))
    checkpoint = tmp_path / "checkpoint"
    tensors = load_file(published / "model.safetensors")
    tensors["model.decoder.layer_norm.bias"] += END_BIAS * tensors[SHARED][2]  # towards the end
    save_file(tensors, published / "model.safetensors")
    (tmp_path / "texts.txt").write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
    run_module("model.commands.import_model", published, "--output", checkpoint)
    sources = ("--sources", tmp_path / "texts.txt", "en")
    said = run_module("export.command", checkpoint, "--output", tmp_path / "nllb", *sources)
    assert "proven on en-ace-Arab, " in said
    assert " of its 40602 pairs of languages" in said
    texts = [italian for _, italian in pairs[:NUM_TEXTS]]
    check_served(start_server, tmp_path / "nllb", checkpoint, texts, ("it", "zh-Hans"))
