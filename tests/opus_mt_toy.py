"""Makes tests/data/opus-mt-toy: a small MarianMTModel, trained on a cipher, and what Transformers says of it.

    .venv/bin/python -m tests.opus_mt_toy --output tests/data/opus-mt-toy

Random weights say the same of every source. A cipher gives real margins, lengths unlike the source's and
learnt ends: each piece becomes another, every third kind changes places with what follows it, every fifth is
said twice. Transformers' own translations lie beside the weights, so that tests need no Transformers.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from model.text.parallel_text import read_pairs
from tests.opus_mt_files import pieces_of, sentencepiece_bytes, write_tokenizer

library: Any = transformers  # half of it is without types
DATA = Path(__file__).parent / "data"
EXPECTED_NAME = "translations.json"
_PIECES = 120
_STEPS, _BATCH, _LONGEST = 900, 64, 40
_WARM_UP, _RATE = 200, 2e-3
_BEAM_SIZE = 4
_NUM_EXPECTED = 150
_MAX_LENGTH = 256


class Cipher:
    """From the ids of a source to those of its target, both with the end."""

    def __init__(self, tokenizer: Any, source: Sequence[str], target: Sequence[str]) -> None:
        ids = tokenizer.get_vocab()
        shuffled = random.Random(5).sample(list(target), len(target))
        kinds = {ids[piece]: i for i, piece in enumerate(source)}
        self._kinds, self._targets = kinds, [ids[piece] for piece in shuffled]
        self._end = ids["</s>"]

    def __call__(self, source: Sequence[int]) -> list[int]:
        kinds = [self._kinds.get(token, 0) for token in source[:-1]]
        for i in range(len(kinds) - 1):
            if kinds[i] % 3 == 0:
                kinds[i], kinds[i + 1] = kinds[i + 1], kinds[i]
        said = [kind for kind in kinds for _ in range(2 if kind % 5 == 0 else 1)]
        return [*(self._targets[kind % len(self._targets)] for kind in said), self._end]


def write_model(output: Path) -> None:
    """Train and write everything; minutes."""
    torch.manual_seed(1)
    pairs = read_pairs(DATA / "en-it.tsv")
    english, italian = [a for a, _ in pairs], [b for _, b in pairs]
    source, target = (
        sentencepiece_bytes(texts, _PIECES, normalization_rule_name=rule)
        for texts, rule in ((english, "nmt_nfkc"), (italian, "identity"))
    )
    write_tokenizer(output, source, target)
    tokenizer: Any = library.MarianTokenizer.from_pretrained(str(output))
    model = _model(len(tokenizer.get_vocab()))
    _train(model, Cipher(tokenizer, pieces_of(source), pieces_of(target)), tokenizer, english)
    model.half().save_pretrained(output)
    _write_expected(output, english)


def _model(size: int) -> Any:
    config = library.MarianConfig(
        vocab_size=size,
        d_model=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        activation_function="swish",
        scale_embedding=True,
        max_position_embeddings=512,
        dropout=0.0,
        pad_token_id=size - 1,
        decoder_start_token_id=size - 1,
        eos_token_id=0,
        forced_eos_token_id=0,
    )
    model: Any = library.MarianMTModel(config)
    model.final_logits_bias[:, :-1] = 0.5 * torch.randn(1, size - 1)
    for weight in (model.model.encoder, model.model.decoder):
        weight.embed_positions.weight.requires_grad_(requires_grad=False)
    model.generation_config = library.GenerationConfig(
        max_length=_MAX_LENGTH,
        num_beams=_BEAM_SIZE,
        bad_words_ids=[[size - 1]],
        renormalize_logits=True,
        pad_token_id=size - 1,
        decoder_start_token_id=size - 1,
        eos_token_id=0,
        forced_eos_token_id=0,
    )
    return model


def _train(model: Any, cipher: Cipher, tokenizer: Any, texts: Sequence[str]) -> None:
    words = [word for text in texts for word in text.split()]
    chooser = random.Random(7)
    optimizer = torch.optim.Adam(model.parameters(), lr=_RATE, betas=(0.9, 0.98))
    for step in range(1, _STEPS + 1):
        for group in optimizer.param_groups:
            group["lr"] = _RATE * min(step / _WARM_UP, (_WARM_UP / step) ** 0.5)
        lines = [" ".join(chooser.choices(words, k=chooser.randint(1, 8))) for _ in range(_BATCH)]
        sources = [tokenizer(line).input_ids[-_LONGEST:] for line in lines]
        targets = [cipher(source) for source in sources]
        labels = _padded(targets, -100)
        loss = model(
            input_ids=_padded(sources, model.config.pad_token_id),
            attention_mask=_padded([[1] * len(source) for source in sources], 0),
            labels=labels,
        ).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            model.model.shared.weight[model.config.pad_token_id] = 0  # as in what Marian's converter writes
        if step % 100 == 0:
            print(f"step {step}: loss {float(loss):.4f}", flush=True)


def _padded(rows: Sequence[Sequence[int]], filler: int) -> Tensor:
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[filler] * (longest - len(row))] for row in rows])


@torch.inference_mode()
def _write_expected(output: Path, texts: Sequence[str]) -> None:
    """Transformers' greedy translations of the weights as they were written, and its scores of some beams."""
    tokenizer: Any = library.MarianTokenizer.from_pretrained(str(output))
    model: Any = library.MarianMTModel.from_pretrained(str(output), dtype=torch.float32).eval()
    varied = (DATA / "varied-english.txt").read_text(encoding="utf-8").splitlines()
    plain = [text for text in (*varied, *texts) if "<" not in text]  # it would read special tokens
    rows = []
    for i, text in enumerate(plain[:_NUM_EXPECTED]):
        inputs = tokenizer(text, return_tensors="pt")
        greedy = model.generate(**inputs, num_beams=1, do_sample=False)[0].tolist()[1:]
        if len(greedy) == _MAX_LENGTH - 1:
            continue  # cut, and Transformers puts the end in the place of the last token
        row = {"source": text, "text": tokenizer.decode(greedy, skip_special_tokens=True)}
        if i % 10 == 0:
            beam = model.generate(**inputs, output_scores=True, return_dict_in_generate=True)
            row["beam_text"] = tokenizer.decode(beam.sequences[0], skip_special_tokens=True)
            row["beam_score"] = float(beam.sequences_scores[0])
        rows.append(row)
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (output / EXPECTED_NAME).write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def main() -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(description="Train the toy of OPUS-MT's kind.")
    parser.add_argument("--output", type=Path, required=True)
    torch.set_num_threads(1)
    write_model(parser.parse_args().output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
