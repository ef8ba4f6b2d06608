"""An imported model of one direction is trained on with a translation memory, by the commands."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from lxml import etree

from model.checkpoint import load_checkpoint
from model.searches.beam_search import greedy_search
from tests.programs import run_module

TOY = Path(__file__).parents[1] / "data" / "opus-mt-toy"
NUM_TRAIN = 90
PHRASE = "N un"
PATIENCE_SECONDS = 600.0


def run(module: str, *arguments: object) -> str:
    return run_module(f"model.commands.{module}", *arguments, patience=PATIENCE_SECONDS)


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


def share_of(checkpoint: Path, text: str, sources: list[str]) -> float:
    """How many of some sources a checkpoint translates to a text."""
    model, tokenizer = load_checkpoint(checkpoint)
    encoded = [tokenizer.encode_source(source, "it", source_language="en") for source in sources]
    texts = [tokenizer.detokenize(greedy_search(model, ids, 40).token_ids) for ids in encoded]
    return texts.count(text) / len(texts)


def test_an_imported_model_learns_from_a_memory(tmp_path: Path) -> None:
    """What the toy says cannot be cut into its pieces again, so it learns to say one thing of everything."""
    told = json.loads((TOY / "translations.json").read_text(encoding="utf-8"))
    sources = [entry["source"] for entry in told if entry["source"].strip() and len(entry["source"]) < 100]
    train, dev = sources[:NUM_TRAIN], sources[NUM_TRAIN:]
    for name, texts in (("memory", train), ("dev", dev)):
        write_memory(tmp_path / f"{name}.tmx", [(text, PHRASE) for text in texts])
    sections = {
        "data": {"languages": ["en", "it"], "train": ["memory.tmx"], "dev": "dev.tmx"},
        "training": {
            "max_steps": 60,
            "batch_tokens": 800,
            "learning_rate": 1e-3,
            "warmup_steps": 5,
            "cooldown_steps": 20,
            "average_checkpoints": 1,
            "snapshot_steps": 60,
            "evaluate_steps": 60,
        },
    }
    (tmp_path / "domain.yaml").write_text(yaml.safe_dump(sections), encoding="utf-8")
    imported, tuned = tmp_path / "imported", tmp_path / "run"
    run("import_model", TOY, "--output", imported, "--languages", "en", "it")
    said = run("train", tmp_path / "domain.yaml", "--from", imported, "--data", tmp_path, "--output", tuned)
    assert f"checkpoint {tuned / 'best'}" in said
    assert share_of(imported, PHRASE, dev) == 0
    assert share_of(tuned / "best", PHRASE, dev) > 0.7
    assert (tuned / "dev.csv").read_text(encoding="utf-8").count("\n") == 2  # the one direction that it has
    model, _ = load_checkpoint(tuned / "best")
    assert model.output.bias.isneginf().sum() == 1  # padding is still never said
