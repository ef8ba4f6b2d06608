"""Sampling and contrastive search: what repeats, what does not, and where they meet greedy search."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.running_server import LONG_TEXT, RunningServer, StartServer, sequences_a_step
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

PATIENCE_SECONDS = 120.0
TEXT = "The old man who lives next door gave us some apples from his garden."
SMALLEST_FLOAT = 1e-45
MakeRequest = Callable[..., pb.TranslateRequest]
Stub = pb_grpc.TranslationServiceStub
GREEDY = {
    "a temperature near 0": {"sampling": pb.Sampling(temperature=1e-4)},
    "the smallest temperature": {"sampling": pb.Sampling(temperature=SMALLEST_FLOAT)},
    "sampling one token": {"sampling": pb.Sampling(top_k=1, temperature=5)},
    "the smallest share": {"sampling": pb.Sampling(top_p=SMALLEST_FLOAT)},
    "no penalty": {"contrastive_search": pb.ContrastiveSearch(penalty_alpha=0)},
    "one candidate": {"contrastive_search": pb.ContrastiveSearch(top_k=1)},
}


@pytest.fixture
def translate(stub: Stub, make_request: MakeRequest) -> Callable[..., list[pb.Translation]]:
    """The translations of texts with some options."""

    def run(*texts: str, **options: Any) -> list[pb.Translation]:
        items = stub.Translate(make_request(*texts, **options), timeout=PATIENCE_SECONDS).items
        assert all(item.HasField("translation") for item in items)
        return [item.translation for item in items]

    return run


Translate = Callable[..., list[pb.Translation]]


def some_options(i: int) -> dict[str, Any]:
    """One of all kinds of methods; sampling with a seed of its own."""
    return (
        {"sampling": pb.Sampling(seed=i)},
        {"sampling": pb.Sampling(seed=i, temperature=0.7, top_k=20, top_p=0.9)},
        {"contrastive_search": pb.ContrastiveSearch()},
        {"contrastive_search": pb.ContrastiveSearch(top_k=1 + i % 8, penalty_alpha=0.4)},
        {"beam_size": 1 + i % 5},
    )[i % 5]


def test_every_text_is_the_same_alone_and_among_calls_of_all_methods(
    server: RunningServer,
    stub: Stub,
    make_request: MakeRequest,
    translate: Translate,
    pairs: list[tuple[str, str]],
) -> None:
    rng = random.Random(17)
    chosen = [
        ([english for english, _ in rng.sample(pairs, rng.randint(1, 3))], some_options(i)) for i in range(25)
    ]
    alone = [[translate(text, **options)[0] for text in texts] for texts, options in chosen]
    before = server.scrape()
    calls = {
        i: stub.Translate.future(make_request(*chosen[i][0], **chosen[i][1]))
        for i in rng.sample(range(25), 25)
    }
    for i, call in calls.items():
        assert [item.translation for item in call.result(PATIENCE_SECONDS).items] == alone[i]
    assert sequences_a_step(before, server.scrape()) > 1.5


def test_a_seed_repeats_its_draw_and_another_one_draws_anew(translate: Translate) -> None:
    def texts(seed: int) -> list[str]:
        return [found.text for found in translate(TEXT, TEXT, sampling=pb.Sampling(seed=seed))]

    drawn = [texts(seed) for seed in (0, 1, 2, 2**64 - 1)]
    assert all(first == second for first, second in drawn)
    assert [texts(seed) for seed in (0, 1, 2, 2**64 - 1)] == drawn
    assert len({first for first, _ in drawn}) == 4


def test_without_a_seed_every_text_is_drawn_anew(translate: Translate) -> None:
    found = translate(*[TEXT] * 8, sampling=pb.Sampling())
    assert len({translation.text for translation in found}) > 1


@pytest.mark.parametrize("options", GREEDY.values(), ids=GREEDY)
def test_where_nothing_is_left_to_choose_it_is_greedy_search(
    translate: Translate, pairs: list[tuple[str, str]], options: dict[str, Any]
) -> None:
    texts = [TEXT, *(english for english, _ in pairs[:20])]
    greedy = translate(*texts, beam_size=1)
    found = translate(*texts, **options)
    assert [translation.text for translation in found] == [translation.text for translation in greedy]
    for one, other in zip(found, greedy, strict=True):
        assert one.target_tokens == other.target_tokens
        # In int8 a step of four hypotheses rounds elsewhere than a step of one.
        assert one.hypotheses[0].log_prob == pytest.approx(other.hypotheses[0].log_prob, rel=0.05)


def test_fewer_tokens_to_draw_from_give_more_probable_texts(translate: Translate) -> None:
    def log_prob(**fields: Any) -> float:
        found = [translate(TEXT, sampling=pb.Sampling(seed=seed, **fields))[0] for seed in range(12)]
        return sum(translation.hypotheses[0].log_prob / translation.target_tokens for translation in found)

    free = log_prob()
    assert all(log_prob(**fields) > free for fields in ({"top_k": 3}, {"top_p": 0.5}, {"temperature": 0.5}))


def test_contrastive_search_repeats_itself_and_heeds_its_penalty(translate: Translate) -> None:
    first, second = (translate(TEXT, contrastive_search=pb.ContrastiveSearch()) for _ in range(2))
    assert first == second
    assert translate(TEXT, contrastive_search=pb.ContrastiveSearch(top_k=4, penalty_alpha=0.6)) == first
    assert translate(TEXT, contrastive_search=pb.ContrastiveSearch(penalty_alpha=0.9)) != first


@pytest.mark.parametrize(
    "method",
    [{"sampling": pb.Sampling(seed=3)}, {"contrastive_search": pb.ContrastiveSearch()}],
    ids=["sampling", "contrastive search"],
)
def test_a_method_gives_one_hypothesis_and_a_length_penalty_changes_its_score_alone(
    translate: Translate, method: dict[str, Any]
) -> None:
    (plain,) = translate(TEXT, **method)
    (found,) = translate(TEXT, length_penalty=0.5, num_hypotheses=1, **method)
    (hypothesis,) = found.hypotheses
    assert (found.text, hypothesis.log_prob) == (plain.text, plain.hypotheses[0].log_prob)
    assert hypothesis.score == pytest.approx(
        hypothesis.log_prob / ((5 + hypothesis.target_tokens) / 6) ** 0.5, rel=1e-5
    )
    (cut,) = translate(TEXT, max_target_tokens=3, **method)
    assert (cut.stop_reason, cut.target_tokens) == (pb.STOP_REASON_MAX_TARGET_TOKENS, 3)


def test_the_longest_targets_of_every_method_are_reached(translate: Translate) -> None:
    for limit, options in (
        (256, {"sampling": pb.Sampling(top_k=1)}),
        (255, {"contrastive_search": pb.ContrastiveSearch(penalty_alpha=0)}),
    ):
        (found,) = translate(LONG_TEXT, max_target_tokens=limit, **options)
        assert (found.stop_reason, found.target_tokens) == (pb.STOP_REASON_MAX_TARGET_TOKENS, limit)


def test_a_contrastive_search_that_is_given_up_leaves_its_slot(
    server: RunningServer, stub: Stub, make_request: MakeRequest
) -> None:
    """With 16 candidates only two texts run at once in 4 slots; the third waits."""
    request = make_request(
        "🛶🎭" * 25, max_target_tokens=255, contrastive_search=pb.ContrastiveSearch(top_k=16)
    )
    calls = [stub.Translate.future(request) for _ in range(3)]
    server.wait_until_running(2)
    server.wait_until_queued(1)
    assert all(call.cancel() for call in calls)
    server.wait_until_running(0)
    server.wait_until_queued(0)


def test_the_default_length_of_contrastive_search_leaves_room_for_its_candidates(
    start_server: StartServer,
    artifact: str,
    connect: Callable[[RunningServer], Stub],
    make_request: MakeRequest,
) -> None:
    with start_server(artifact, "--slots=2", "--max-target-tokens=12") as running:
        stub = connect(running)
        for options, limit in (({}, 12), ({"contrastive_search": pb.ContrastiveSearch()}, 11)):
            found = stub.Translate(make_request(TEXT, **options)).items[0].translation
            assert (found.stop_reason, found.target_tokens) == (pb.STOP_REASON_MAX_TARGET_TOKENS, limit)
