"""The engine over a model's graphs against the slow searches over the model, whatever its architecture."""

from __future__ import annotations

import pytest

from model.networks.encoder_decoder import EncoderDecoder
from model.searches.beam_search import SearchResult, beam_search
from model.searches.contrastive_search import contrastive_search
from model.searches.sampling import sample
from server.engine.engine import Engine
from server.engine.scheduler import Scheduler
from server.engine.sequence import Beam, Contrastive, Finished, Method, Sampling, SequenceRequest
from server.engine.session import ModelSession

LIMIT = 40  # those that end early leave holes, which rows behind them fill
METHODS: list[Method] = [
    Beam(beam_size=1),
    Beam(beam_size=3),
    # Few candidates: where two are about as probable, rounding decides which comes first and is drawn.
    Sampling(temperature=1.0, top_k=10, top_p=0.95, seed=3),
    Contrastive(top_k=1, penalty_alpha=0.6),
    Contrastive(top_k=3, penalty_alpha=0.6),
]
SOURCES = [tuple(range(300 + 10 * i, 303 + 13 * i)) for i in range(6)]  # the longest in a larger lane


def slow(model: EncoderDecoder, source: tuple[int, ...], method: Method) -> list[SearchResult]:
    ids = list(source)
    match method:
        case Sampling(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed):
            found = sample(model, ids, LIMIT, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
            return [found]
        case Contrastive(top_k=top_k, penalty_alpha=penalty_alpha):
            return [contrastive_search(model, ids, top_k, penalty_alpha, LIMIT)]
        case Beam(beam_size=beam_size):
            return beam_search(model, ids, beam_size, LIMIT)


@pytest.mark.parametrize("kind", [("tiny_session", "small_model"), ("recurrent_session", "recurrent_model")])
def test_every_method_finds_what_the_slow_search_finds(
    request: pytest.FixtureRequest, kind: tuple[str, str]
) -> None:
    session, model = (request.getfixturevalue(name) for name in kind)
    assert isinstance(session, ModelSession)
    engine, waiting = Engine(session, num_slots=4), Scheduler()
    asked = [(source, method) for source in SOURCES for method in METHODS]
    for i, (source, method) in enumerate(asked):
        waiting.add(
            SequenceRequest(
                sequence_id=i, source=source, method=method, length_penalty=1.0, max_target_tokens=LIMIT
            )
        )
    while waiting or engine.num_running:
        engine.admit(waiting.take(engine.num_free, engine.reserve))
        report = engine.decode_step()
        for result in report.results if report else ():
            assert isinstance(result, Finished)
            expected = slow(model, *asked[result.sequence_id])
            assert [h.token_ids for h in result.hypotheses] == [h.token_ids for h in expected]
            scores = [h.score for h in expected]
            assert [h.score for h in result.hypotheses] == pytest.approx(scores, rel=0, abs=1e-4)
