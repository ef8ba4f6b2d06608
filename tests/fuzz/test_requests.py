"""Whatever bytes come, a request is read, or refused in words that fit into a status."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import example, given
from hypothesis import strategies as st

from export.contract.manifest import AttentionInfo
from model.scoring.length_penalty import DEFAULT_LENGTH_PENALTY
from model.scoring.target_limit import DEFAULT_TARGET_LIMIT
from model.text.tokenizers import load_tokenizer
from server.api.malformed import MALFORMED, forgiving
from server.api.options import parse_options
from server.api.requests import parse_request
from server.api.status import to_status
from server.errors import RequestError
from server.models.catalogue import Models
from server.models.served_model import ServedModel
from server.work.options import SearchOptions
from tests.fuzz.mutations import mutated
from traghetto.pb.translation.v1 import translation_pb2 as pb

TOKENIZER = load_tokenizer(Path(__file__).parents[2] / "export/artifacts/en-it")
MAX_TEXTS, MAX_BEAM_SIZE, MAX_TARGET_TOKENS = 8, 16, 256
# gRPC takes headers of 8 KiB; a status is there twice, once in base64.
MAX_STATUS_BYTES = 3000
REQUEST = pb.TranslateRequest(
    source_language="en",
    target_language="it",
    texts=["Good morning!", "", "Sì."],
    model="tiny",
    options=pb.TranslateOptions(
        beam_size=4, length_penalty=1.0, attention=pb.AttentionOptions(heads=[0]), suppress=["gatto"]
    ),
    target_prefixes=["Buon", "", "Sì"],
)


def served() -> ServedModel:
    """A model that has only its limits."""
    attention = AttentionInfo(num_layers=2, num_heads=4, default_layer=1, anchor_accuracy=(0.1, 0.9))
    manifest = SimpleNamespace(
        attention=attention,
        target_limit=DEFAULT_TARGET_LIMIT,
        length_penalty=DEFAULT_LENGTH_PENALTY,
        language_pairs=(("en", "it"), ("it", "en")),
    )
    model = SimpleNamespace(
        name="tiny",
        max_target_tokens=MAX_TARGET_TOKENS,
        manifest=manifest,
        tokenizer=TOKENIZER,
    )
    return cast("ServedModel", model)


MODEL = served()
MODELS = Models([MODEL])
PARSE = forgiving(pb.TranslateRequest.FromString)


@given(st.binary(max_size=200) | mutated(REQUEST.SerializeToString()))
@example(b"\x1a\x02\xc3\x28")
@example(b"")
def test_any_bytes_are_a_request_or_are_refused(data: bytes) -> None:
    message: Any = PARSE(data)
    if message is MALFORMED:
        return
    try:
        request = parse_request(message, MODELS, max_texts=MAX_TEXTS, max_beam_size=MAX_BEAM_SIZE)
    except RequestError as error:
        refusal = to_status(error).SerializeToString()
    else:
        refusal = b""
        assert request.pair in MODEL.manifest.language_pairs
        assert 1 <= len(request.texts) <= MAX_TEXTS
        check(request.options)
    assert len(refusal) < MAX_STATUS_BYTES


INT32 = st.sampled_from([0, 1, 4, 16, 256]) | st.integers(-(2**31), 2**31 - 1)
FLOAT = st.floats(width=32)
SAMPLING = st.fixed_dictionaries(
    {}, optional={"temperature": FLOAT, "top_k": INT32, "top_p": FLOAT, "seed": st.integers(0, 2**64 - 1)}
)
CONTRASTIVE = st.fixed_dictionaries({}, optional={"top_k": INT32, "penalty_alpha": FLOAT})
METHOD = st.tuples(st.just("sampling"), SAMPLING) | st.tuples(st.just("contrastive_search"), CONTRASTIVE)
ATTENTION = st.fixed_dictionaries({}, optional={"layer": INT32, "heads": st.lists(INT32, max_size=9)})
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "beam_size": INT32,
        "length_penalty": FLOAT,
        "max_target_tokens": INT32,
        "num_hypotheses": INT32,
        "skip_scores": st.booleans(),
        "suppress": st.lists(st.text(max_size=70), max_size=12),
        "no_repeat_ngram_size": INT32,
        "repetition_penalty": FLOAT,
        "min_target_tokens": INT32,
        "attention": ATTENTION,
        "method": st.tuples(st.just("sampling"), SAMPLING)
        | st.tuples(st.just("contrastive_search"), CONTRASTIVE),
    },
)


@given(OPTIONS)
def test_any_options_are_within_the_limits_or_are_refused_by_name(fields: dict[str, Any]) -> None:
    kind, method = fields.pop("method", (None, None))
    message = pb.TranslateOptions(**fields, **({kind: method} if kind else {}))
    options = parse_options(message, MODEL, MAX_BEAM_SIZE)
    if isinstance(options, SearchOptions):
        check(options)
    else:
        assert all(violation.field.startswith("options.") and violation.description for violation in options)


def check(options: SearchOptions) -> None:
    """What the engine is asked for is within its limits, whatever the source."""
    for num_source_tokens in (1, 256):
        request = options.seeded().request(0, [3] * num_source_tokens)
        assert 1 <= request.max_target_tokens <= MAX_TARGET_TOKENS
        assert 0 <= request.length_penalty <= 10
        assert 1 <= options.num_hypotheses <= request.method.width <= MAX_BEAM_SIZE
