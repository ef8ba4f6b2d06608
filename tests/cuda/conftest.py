"""fp16 artifacts of small models, and the runs of them on the stand-in for a card."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from export.contract.graph_names import GraphName
from export.describe import describe
from export.folder import write_graphs, write_manifest, write_proof
from export.graphs.of_model import graphs_of
from export.limits import Limits
from export.precisions import half_graphs
from export.proof.graph_model import GraphModel
from export.proof.sentences import prepare
from model.networks.encoder_decoder import EncoderDecoder
from model.networks.recurrent import Recurrent
from model.networks.transformer import Transformer
from model.text.tokenizer import Tokenizer
from tests.cuda.card_log import Section, read_log

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / "build" / "cuda"  # `make cuda-test` makes it
LIMITS = Limits(max_source_tokens=64, max_target_tokens=64)


@dataclass(frozen=True)
class Served:
    """An artifact that was served on the stand-in.

    Args:
        sections: Of the card's log.
        placement: By graph and provider the operators of its nodes.
        pool_bytes: What an engine's lanes may take.
    """

    sections: list[Section]
    placement: dict[str, dict[str, list[str]]]
    pool_bytes: int

    def __getitem__(self, heading: str) -> Section:
        """All events under headings that begin so."""
        return Section(
            heading, [event for s in self.sections if s.heading.startswith(heading) for event in s.events]
        )

    def from_to(self, first: str, last: str) -> list[Section]:
        """The sections from one heading up to another."""
        headings = [section.heading for section in self.sections]
        return self.sections[headings.index(first) : headings.index(last)]


Serve = Callable[..., Served]
Run = Callable[..., str]


@pytest.fixture(scope="session")
def artifacts(
    make_model: Callable[..., Transformer],
    make_recurrent: Callable[..., Recurrent],
    tokenizer: Tokenizer,
    short_pairs: list[tuple[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """By name; unproven, heads of 64 as real models have them."""
    models: dict[str, EncoderDecoder] = {
        "transformer": make_model(model_size=256, num_encoder_layers=1),
        "lstm": make_recurrent(num_encoder_layers=1),
    }
    sentences, folders = prepare(short_pairs, tokenizer), {}
    for name, model in models.items():
        folder = folders[name] = tmp_path_factory.mktemp("artifacts") / name
        folder.mkdir()
        exported = half_graphs(model)
        write_graphs(folder, exported)
        write_proof(folder, [], {}, 0)
        tokenizer.save(folder)
        pools = graphs_of(model).pools.as_in(exported[GraphName.DECODER_STEP].inputs)
        manifest = describe(
            model,
            tokenizer,
            folder=folder,
            precision="fp16",
            limits=LIMITS,
            exported=exported,
            sentences=sentences,
            graphs=GraphModel(folder, pools, model.special_ids),
        )
        write_manifest(folder, manifest)
    return folders


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in, built for the ONNX Runtime of its environment."""
    output = tmp_path_factory.mktemp("standin")
    packages = next((ENVIRONMENT / "lib").glob("python*/site-packages"))
    build = ROOT / "tests/cuda/standin/build.py"
    headers = ENVIRONMENT / "headers/nvidia/cu13/include"
    subprocess.run(
        [sys.executable, *map(str, (build, packages / "onnxruntime", headers, output))], check=True
    )
    return output


@pytest.fixture(scope="session")
def run_on_card(libraries: Path) -> Run:
    """Run a module of tests.cuda in the environment of ONNX Runtime for CUDA; what it prints."""

    def run(module: str, *arguments: object, **environment: object) -> str:
        variables = {name: str(value) for name, value in environment.items()}
        done = subprocess.run(
            [str(ENVIRONMENT / "bin/python"), "-m", f"tests.cuda.{module}", *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
            check=False,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    return run


@pytest.fixture(scope="session")
def serve(
    run_on_card: Run, libraries: Path, artifacts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Serve:
    """Serve an artifact on a card of some architecture, with cuDNN or without; once each."""

    @functools.cache
    def serve(model: str, *, sm: int = 90, has_cudnn: bool = True) -> Served:
        log = tmp_path_factory.mktemp("log") / "card.log"
        without = {} if has_cudnn else {"WITHOUT_CUDNN": 1}
        printed = json.loads(
            run_on_card("probe", libraries, artifacts[model], STANDIN_LOG=log, STANDIN_SM=sm, **without)
        )
        return Served(read_log(log), printed["placement"], printed["pool_bytes"])

    return serve
