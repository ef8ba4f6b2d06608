"""Every configuration of model/configs/architectures: trained, exported, proven, served beside all others."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from export.artifact import build_artifact
from export.contract.manifest import PROOF_NAME, load_manifest
from export.limits import Limits
from export.proof.checks import ProofError
from model.checkpoint import load_checkpoint
from model.networks.config import RecurrentConfig
from model.networks.encoder_decoder import EncoderDecoder
from model.searches.beam_search import SearchResult, beam_search, greedy_search
from model.searches.contrastive_search import contrastive_search
from model.searches.sampling import sample
from model.text.sentencepiece_tokenizer import START_ID
from model.text.tokenizer import Tokenizer
from model.training.config import load_run_config
from model.training.trainer import BEST_FOLDER, Trainer
from tests.running_server import RunningServer, StartServer
from traghetto import AttentionOptions, CallError, Client, ContrastiveSearch, Sampling, Translation

pytestmark = pytest.mark.timeout(1800)  # the first test waits until every variant is trained and proven

CONFIGS = Path(__file__).parents[2] / "model/configs/architectures"
# One of each network: some configurations differ only in how they are trained. Of the numbers of heads the
# least and the usual: an export with its proof takes a minute.
_LEFT_OUT = {"base", "transformer-heads-2", "transformer-heads-8"}
_PATHS = sorted(path for path in CONFIGS.glob("*.yaml") if path.stem not in _LEFT_OUT)
NAMES = sorted({load_run_config(path).model: path.stem for path in _PATHS}.values())
LIMITS = Limits(max_source_tokens=128, max_target_tokens=128)
TEXTS = 12
STEPS = 90
SMALL_TRANSFORMER = {"model_size": 64, "feed_forward_size": 64, "max_positions": 128}
SMALL_RECURRENT = {"model_size": 32, "embedding_size": 24}


@dataclass(frozen=True)
class Variant:
    """A trained model and its artifact."""

    name: str
    model: EncoderDecoder
    tokenizer: Tokenizer
    artifact: Path


def train(name: str, tokenizer: Tokenizer, data: Path, folder: Path, steps: int) -> Path:
    """Train a configuration at a small size, on the test data: the checkpoint."""
    is_recurrent = isinstance(load_run_config(CONFIGS / f"{name}.yaml").model, RecurrentConfig)
    small = {
        "base": str(CONFIGS / f"{name}.yaml"),
        "data": {
            "train": ["en-it.tsv"],
            "dev": "en-it.tsv",
            "vocabulary_size": tokenizer.size,
            "dev_sentences": 4,
            "concatenated_pairs": 0,
        },
        "model": SMALL_RECURRENT if is_recurrent else SMALL_TRANSFORMER,
        "training": {"learning_rate": 5e-3, "warmup_steps": 10, "batch_tokens": 400},
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(small), encoding="utf-8")
    run = folder / f"{name}-{steps}-steps"
    Trainer(load_run_config(path), data, run, torch.device("cpu"), tokenizer).train(steps)
    return run / BEST_FOLDER


@pytest.fixture(scope="session")
def variant(
    tokenizer: Tokenizer,
    data_folder: Path,
    short_pairs: list[tuple[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Variant]:
    """A variant's artifact in fp32, made once."""
    folder = tmp_path_factory.mktemp("variants")

    def made(name: str, steps: int) -> Variant:
        model, loaded = load_checkpoint(train(name, tokenizer, data_folder, folder, steps))
        build_artifact(model, loaded, folder / name, precision="fp32", pairs=short_pairs, limits=LIMITS)
        return Variant(name, model, loaded, folder / name)

    @functools.cache
    def variant(name: str) -> Variant:
        try:
            return made(name, STEPS)
        except ProofError:
            # Of models that have hardly learned, two hypotheses may be equal up to rounding, and a beam then
            # keeps either: more training decides it. What is wrong stays wrong.
            return made(name, 2 * STEPS)

    return variant


@pytest.fixture(scope="module")
def all_of_them(variant: Callable[[str], Variant], start_server: StartServer) -> Iterator[RunningServer]:
    with start_server(*(variant(name).artifact for name in NAMES), "--slots=4") as running:
        yield running


@pytest.fixture(scope="module")
def client(all_of_them: RunningServer) -> Iterator[Client]:
    with Client(all_of_them.address) as client:
        yield client


@pytest.fixture(scope="module")
def texts(pairs: list[tuple[str, str]]) -> list[str]:
    return [pair[0] for pair in pairs[:: len(pairs) // TEXTS]][:TEXTS]


def test_each_serves_under_its_own_name(client: Client) -> None:
    served = {model.name: model for model in client.models()}
    assert sorted(served) == NAMES
    for name, model in served.items():
        config = load_run_config(CONFIGS / f"{name}.yaml").model
        assert model.architecture == config.architecture


@pytest.mark.parametrize("name", NAMES)
def test_its_proof_compares_200_sentences_with_pytorch(variant: Callable[[str], Variant], name: str) -> None:
    folder = variant(name).artifact
    found = json.loads((folder / PROOF_NAME).read_text(encoding="utf-8"))
    limits = {check["name"]: check["limit"] for check in found["checks"] if check["passed"]}
    assert len(limits) == len(found["checks"])
    assert found["num_sentences"] == 200
    assert (limits["source_mask"], limits["beams"]) == (1e-4, 1e-4)
    assert (limits["greedy_text"], limits["beam_text"], limits["neighbours"]) == (0, 0, 0)
    has_attention = load_manifest(folder).attention is not None
    assert ("attention_mask" in limits) == has_attention


def check_method(
    variant: Variant,
    client: Client,
    texts: list[str],
    search: Callable[[list[int], int], SearchResult],
    **method: object,
) -> None:
    """All texts in one call against the slow search over PyTorch, one at a time."""
    sources = [variant.tokenizer.encode_source(text, "it") for text in texts]
    found = client.translate(texts, "en", "it", model=variant.name, segmentation="none", **method)  # type: ignore[arg-type]
    if isinstance(method.get("method"), Sampling):
        assert len({str(result) for result in found}) > TEXTS // 2, "texts that are alike hide a mix-up"
    # Contrastive search runs the candidates for its last token too, and needs room for them.
    most = LIMITS.max_target_tokens - isinstance(method.get("method"), ContrastiveSearch)
    for source, result in zip(sources, found, strict=True):
        assert isinstance(result, Translation)
        expected = search(source, min(2 * len(source) + 16, most))
        assert result.text == variant.tokenizer.detokenize(expected.token_ids)
        assert result.target_tokens == len(expected.token_ids)
        assert result.hypotheses[0].score == pytest.approx(expected.score, abs=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_served_is_what_the_slow_searches_find_over_pytorch(
    variant: Callable[[str], Variant], client: Client, texts: list[str], name: str
) -> None:
    chosen = variant(name)
    model = chosen.model
    check_method(chosen, client, texts, lambda s, n: greedy_search(model, s, n), beam_size=1)
    check_method(chosen, client, texts, lambda s, n: beam_search(model, s, 3, n)[0], beam_size=3)
    check_method(
        chosen,
        client,
        texts,
        lambda s, n: sample(model, s, n, temperature=0.8, top_k=20, top_p=0.95, seed=7),
        method=Sampling(temperature=0.8, top_k=20, top_p=0.95, seed=7),
    )
    contrastive = ContrastiveSearch(top_k=3, penalty_alpha=0.5)
    check_method(
        chosen, client, texts, lambda s, n: contrastive_search(model, s, 3, 0.5, n), method=contrastive
    )


ATTENTIVE = [name for name in NAMES if load_run_config(CONFIGS / f"{name}.yaml").model.has_attention]


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(ATTENTIVE)))
def test_a_model_without_attention_refuses_to_return_any(client: Client, name: str) -> None:
    (served,) = [model for model in client.models() if model.name == name]
    assert served.attention is None
    with pytest.raises(CallError, match=f"INVALID_ARGUMENT.*'{name}' returns no attention"):
        client.translate(["Yes."], "en", "it", model=name, attention=AttentionOptions())


@pytest.mark.parametrize("name", ATTENTIVE)
def test_the_attention_served_is_that_of_pytorch(
    variant: Callable[[str], Variant], client: Client, texts: list[str], name: str
) -> None:
    chosen = variant(name)
    info = load_manifest(chosen.artifact).attention
    assert info is not None
    for heads in ([], [info.num_heads - 1]):
        options = AttentionOptions(layer=info.num_layers - 1, heads=heads)
        found = client.translate(texts[:3], "en", "it", model=name, attention=options, segmentation="none")
        for text, result in zip(texts, found, strict=False):
            assert isinstance(result, Translation)
            attention = result.hypotheses[0].attention
            assert attention is not None
            shape = len(attention.target_tokens), len(attention.source_tokens)
            weights = np.array(attention.weights).reshape(shape)
            of_heads = attention_of(chosen, text)[heads or slice(None)]  # (h, T, S)
            expected = of_heads.mean(dim=0)
            np.testing.assert_allclose(weights, expected.numpy(), rtol=0, atol=1e-4)


@torch.inference_mode()
def attention_of(variant: Variant, text: str) -> Tensor:
    """The last layer's weights (H, T, S) over the beam search's translation, all of it fed at once."""
    source = variant.tokenizer.encode_source(text, "it")
    most = min(2 * len(source) + 16, LIMITS.max_target_tokens)
    target = beam_search(variant.model, source, 4, most)[0].token_ids
    memory = variant.model.encode(torch.tensor([source]))
    fed = torch.tensor([(START_ID, *target[:-1])])
    return variant.model.decode_states(fed, memory).attention[-1][0]
