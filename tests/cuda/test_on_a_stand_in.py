"""What the real library of ONNX Runtime for CUDA asks of a card, of every kind: `make cuda-test`.

The card is a stand-in, which runs no kernel: where work is placed and what it reads is seen, no number and no
time.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from server.engine.tensors.controls import Controls
from server.engine.tensors.lane_shape import LaneShape
from server.engine.tensors.packed import Packing
from server.models.memory import GIB
from tests.cuda.card_log import Section
from tests.cuda.conftest import Run, Serve, Served
from tests.cuda.probe import MAX_BEAM_SIZE, NUM_SLOTS, TARGET_TOKENS

pytestmark = pytest.mark.cuda

MODELS = ["transformer", "lstm"]
CARDS = [(80, True), (80, False), (90, True), (90, False)]
WIDTHS = (1, MAX_BEAM_SIZE)
COPY_LAUNCHES = 18  # of columns of 4 caches
ON_CPU = {"Add", "Cast", "Concat", "Max", "Mul", "Reshape", "Squeeze"}  # of shapes, which are small numbers
GRAPHS = {"transformer": 4, "lstm": 3}  # that a step may run: itself, scores, candidates, attention
HOST_COPIES = {"to_device", "to_host"}

of_each_model = pytest.mark.parametrize("model", MODELS)
on_each_card = pytest.mark.parametrize(("sm", "has_cudnn"), CARDS)


def steps_of(served: Served, width: int) -> list[Section]:
    """The steps of a width, without those in which hypotheses are encoded."""
    last = f"serve {MAX_BEAM_SIZE}" if width == 1 else "stop"
    return [s for s in served.from_to(f"serve {width}", last) if s.heading.startswith("step")]


@of_each_model
def test_only_sizes_are_computed_on_the_cpu(serve: Serve, model: str) -> None:
    for graph, providers in serve(model).placement.items():
        assert providers.keys() <= {"CUDAExecutionProvider", "CPUExecutionProvider"}
        assert {*providers.get("CPUExecutionProvider", [])} <= ON_CPU, graph


@of_each_model
def test_a_capture_neither_waits_nor_allocates_nor_leaves_the_card(serve: Serve, model: str) -> None:
    captured = [event for section in serve(model).sections for event in section.events if event.is_capturing]
    assert captured
    for event in captured:
        assert event.kind in {"launch", "arguments", "copy", "set", "end"}, event
        assert not event.waits, event
        assert event.kind != "copy" or event.words[0] not in HOST_COPIES, event


def buckets(width: int) -> list[int]:
    shape = LaneShape(rows=NUM_SLOTS, width=width, source_capacity=64, columns=65)
    return shape.buckets(2 if width == 1 else 1)


@of_each_model
def test_all_is_captured_before_the_first_text_by_the_thread_that_serves(serve: Serve, model: str) -> None:
    served = serve(model)
    before = [e for s in served.from_to("warm-up", "ready") for e in s.of_kind("begin")]
    assert len(before) == GRAPHS[model] * sum(len(buckets(width)) for width in WIDTHS)
    after = served.from_to("ready", "end")
    assert not [event for section in after for event in section.of_kind("begin")]
    replayed = [event for section in after for event in section.of_kind("replay")]
    assert {event.thread for event in replayed} == {event.thread for event in before}
    assert len({event.thread for event in before}) == 1


@of_each_model
def test_what_was_captured_is_released_with_its_session_at_the_latest(serve: Serve, model: str) -> None:
    """ONNX Runtime 1.31.1 releases no single graph when it is told to."""
    sections = serve(model).sections
    begun = [event for section in sections for event in section.of_kind("begin")]
    released = [event for section in sections for event in section.of_kind("release")]
    assert len(released) == len(begun)


@on_each_card
def test_attention_over_a_source_reads_the_lengths_of_its_rows(
    serve: Serve, sm: int, *, has_cudnn: bool
) -> None:
    """Each time those that were just made of `source_length`; in the encoder, and in steps of each width."""
    served = serve("transformer", sm=sm, has_cudnn=has_cudnn)
    num_seen = 0
    for section in served.from_to("warm-up", "stop"):
        assert not section.launches_of("cudnn"), "a plan for each number of rows"
        made = section.launches_of("ConvertNonpadKvSeqlenToFlashSeqlensK")
        read = section.launches_of("flash_fwd")
        assert len(made) == len(read)
        for (_, lengths), (_, parameters) in zip(made, read, strict=True):
            assert lengths is not None
            assert parameters is not None
            assert lengths.words[1] in parameters.words
            num_seen += 1
    assert num_seen > 2 * sum(len(buckets(width)) for width in WIDTHS)


@on_each_card
def test_attention_over_the_target_reads_a_length_of_its_own_for_each_hypothesis(
    serve: Serve, sm: int, *, has_cudnn: bool
) -> None:
    """Its kernel of decode steps, of one query over a cache."""
    served = serve("transformer", sm=sm, has_cudnn=has_cudnn)
    warm_up = Section("", [event for s in served.from_to("warm-up", "ready") for event in s.events])
    made, read = warm_up.launches_of("GetSequenceLengths"), warm_up.launches_of("kernel_mha")
    assert len(read) > 2 * sum(len(buckets(width)) for width in WIDTHS)
    assert len(made) == len(read)
    for (_, lengths), (_, parameters) in zip(made, read, strict=True):
        assert lengths is not None
        assert parameters is not None
        assert {*lengths.words[1:3]} & {*parameters.words}


def test_copies_of_hypotheses_are_spread_over_the_card(serve: Serve) -> None:
    """200 columns in each of 4 heads, a thread each at least."""
    copies = serve("transformer")["copies"].launches_of("ScatterND")
    assert len(copies) == 4, "caches"
    for event, _ in copies:
        num_blocks, num_threads = map(int, event.words[:2])
        assert num_blocks * num_threads >= 800


def copied(step: Section, direction: str) -> list[int]:
    """Bytes of each copy."""
    return [int(event.words[1]) for event in step.of_kind("copy") if event.words[0] == direction]


@pytest.mark.parametrize("width", WIDTHS)
@of_each_model
def test_a_step_has_a_budget(serve: Serve, model: str, width: int) -> None:
    """Of waits, launches and bytes, held exactly; what is captured is one launch."""
    told = Controls(NUM_SLOTS, width, start_id=0).packing.num_bytes
    shape = (NUM_SLOTS, width, 2 * width)
    read = Packing({"score": (shape, "float32"), "token": (shape, "int64")}).num_bytes
    steps, num_reordered = steps_of(serve(model), width), 0
    assert steps
    for step in steps:
        assert len(step.of_kind("replay")) == 3, "step, log-probabilities, candidates"
        assert [event.kind for event in step.events if event.waits] == ["wait"], "for the results"
        assert step.events[-1].waits
        assert not step.of_kind("allocate", "allocate_host", "free")
        assert copied(step, "to_host") == [read], "tokens and scores"
        first, *indices = copied(step, "to_device")
        assert first == told
        assert len(step.of_kind("launch")) == (COPY_LAUNCHES if indices else 0)
        if indices:
            num_reordered += 1
            columns = indices[0] // 8
            assert indices == 3 * [8 * columns], "from where, to where, which column"
            assert 0 < columns <= NUM_SLOTS * width * TARGET_TOKENS
    assert (num_reordered > 0) == (width > 1 and model == "transformer")


@of_each_model
def test_pools_may_take_three_quarters_of_what_the_card_has_free(serve: Serve, model: str) -> None:
    """It has 16 GiB, and on it are weights and what ONNX Runtime works with."""
    assert 10 * GIB < serve(model).pool_bytes < 12 * GIB


@of_each_model
def test_the_check_of_a_real_gpu_runs_all_its_parts(
    run_on_card: Run, libraries: Path, artifacts: dict[str, Path], tmp_path: Path, model: str
) -> None:
    """A rehearsal of `make gpu-check`: its numbers mean nothing here."""
    printed = run_on_card(
        "gpu_check", artifacts[model], "--standin", libraries, STANDIN_LOG=tmp_path / "card.log"
    )
    parts = [json.loads(line) for line in printed.splitlines()]
    assert [part["part"] for part in parts] == [
        *(f"parity, width {width}" for width in (1, 4, 16)),
        "other thread",
        "alone and batched",
        "step times",
    ]
    assert not [part for part in parts if "error" in part]


@of_each_model
def test_an_error_of_the_card_is_of_its_rows_and_one_that_stays_ends_the_worker(
    run_on_card: Run, libraries: Path, artifacts: dict[str, Path], tmp_path: Path, model: str
) -> None:
    printed = json.loads(
        run_on_card("failing", libraries, artifacts[model], STANDIN_LOG=tmp_path / "card.log")
    )
    *before, lost = printed["rounds"]
    assert before == [["translated"] * NUM_SLOTS] * 3  # who failed together was run again alone
    assert set(lost) <= {"InternalError", "Draining"}
    assert printed["is_lost"]
