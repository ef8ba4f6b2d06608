"""An imported model is trained on with a translation memory: what it gains there, and loses elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from lxml import etree

from model.checkpoint import load_checkpoint
from model.evaluation.quality import evaluate
from model.searches.beam_search import greedy_search

TOY = Path(__file__).parents[1] / "data" / "opus-mt-toy"
NUM_TRAIN = 110


def run(module: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", f"model.commands.{module}", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_memory(path: Path, pairs: list[tuple[str, str]]) -> None:
    """A translation memory as translators' programs write it (TMX 1.4)."""
    memory = etree.Element("tmx", version="1.4")
    body = etree.SubElement(memory, "body")
    for pair in pairs:
        unit = etree.SubElement(body, "tu")
        for language, text in zip(("en-GB", "it-IT"), pair, strict=True):
            variant = etree.SubElement(unit, "tuv")
            variant.set("{http://www.w3.org/XML/1998/namespace}lang", language)
            etree.SubElement(variant, "seg").text = text
    path.write_bytes(etree.tostring(memory, xml_declaration=True, encoding="utf-8"))


def bleu(checkpoint: Path, pairs: list[tuple[str, str]]) -> float:
    model, tokenizer = load_checkpoint(checkpoint)
    texts = []
    for source, _ in pairs:
        ids = tokenizer.encode_source(source, "it", source_language="en")
        texts.append(tokenizer.detokenize(greedy_search(model, ids, 2 * len(ids) + 10).token_ids))
    return evaluate(texts, [target for _, target in pairs]).bleu


@pytest.fixture
def general() -> list[tuple[str, str]]:
    """What the toy has learned."""
    told = json.loads((TOY / "translations.json").read_text(encoding="utf-8"))
    return [(entry["source"], entry["text"]) for entry in told if 0 < len(entry["text"]) < 120]


def test_an_imported_model_learns_from_a_memory(general: list[tuple[str, str]], tmp_path: Path) -> None:
    domain = [(source, text.replace("RR", "").replace("e", "j")) for source, text in general]
    write_memory(tmp_path / "memory.tmx", domain[:NUM_TRAIN])
    write_memory(tmp_path / "dev.tmx", domain[NUM_TRAIN:])
    sections = {
        "data": {"languages": ["en", "it"], "train": ["memory.tmx"], "dev": "dev.tmx"},
        "training": {
            "max_steps": 120,
            "batch_tokens": 800,
            "learning_rate": 2e-3,
            "warmup_steps": 10,
            "cooldown_steps": 60,
            "average_checkpoints": 1,
            "snapshot_steps": 120,
            "evaluate_steps": 120,
        },
    }
    (tmp_path / "domain.yaml").write_text(yaml.safe_dump(sections), encoding="utf-8")
    imported, tuned = tmp_path / "imported", tmp_path / "run"
    run("import_model", TOY, "--output", imported, "--languages", "en", "it")
    said = run("train", tmp_path / "domain.yaml", "--from", imported, "--data", tmp_path, "--output", tuned)
    assert f"checkpoint {tuned / 'best'}" in said
    before, after = (bleu(path, domain[NUM_TRAIN:]) for path in (imported, tuned / "best"))
    assert after > before + 15
    assert bleu(tuned / "best", general) < bleu(imported, general) - 15  # it has changed its trade
    assert (tuned / "dev.csv").read_text(encoding="utf-8").count("\n") == 2  # the one direction that it has
    model, _ = load_checkpoint(tuned / "best")
    assert model.output.bias.isneginf().sum() == 1  # padding is still never said
