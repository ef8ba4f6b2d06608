"""From what a request asks for to the search that does it: the one place that knows every method."""

from __future__ import annotations

from server.engine.searches.attention import WithAttention
from server.engine.searches.beam_search import BeamSearch, GreedySearch
from server.engine.searches.constrained import WithConstraints
from server.engine.searches.contrastive_search import ContrastiveSearch
from server.engine.searches.first_token import WithFirstToken
from server.engine.searches.sampling import SamplingSearch
from server.engine.searches.search import Search
from server.engine.sequence import Beam, Contrastive, Sampling, SequenceRequest


def new_search(request: SequenceRequest, end_id: int) -> Search:
    """The search of a sequence, at its start."""
    search: Search = _search(request, end_id)
    if request.constraints is not None:
        search = WithConstraints(search, request.constraints, request.method.width, end_id)
    if request.first_token is not None:
        search = WithFirstToken(search, request)
    if request.attention is None:
        return search
    return WithAttention(search, request.attention, len(request.source))


def _search(request: SequenceRequest, end_id: int) -> Search:
    match request.method:
        case Sampling() as method:
            return SamplingSearch(request, method, end_id)
        case Contrastive() as method:
            return ContrastiveSearch(request, method, end_id)
        case Beam(beam_size=1):
            return GreedySearch(request, end_id)
        case _:
            return BeamSearch(request, end_id)
