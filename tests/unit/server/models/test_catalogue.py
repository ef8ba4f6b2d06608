"""Which model serves a pair, and what is said where none does."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable

import pytest
from google.rpc import error_details_pb2

from export.contract.manifest import ArtifactError
from model.text.tokenizer import Tokenizer
from server.api.status import details_of
from server.engine.engine import Engine
from server.engine.session import ModelSession
from server.errors import NotServed
from server.models.catalogue import Models
from server.models.loading import LoadedModel
from server.telemetry.metrics import Metrics
from server.work.busy_runners import BusyRunners
from server.work.worker import Worker

EN_IT, IT_EN, EN_PT = ("en", "it"), ("it", "en"), ("en", "pt-BR")
MakeModel = Callable[..., LoadedModel]


@pytest.fixture
def loaded(tiny_session: ModelSession, tokenizer: Tokenizer) -> MakeModel:
    """A model of a given name and pairs, its worker not started."""
    metrics = Metrics()

    def make(name: str, *language_pairs: tuple[str, str]) -> LoadedModel:
        manifest = dataclasses.replace(tiny_session.manifest, name=name, language_pairs=language_pairs)
        return LoadedModel(
            manifest=manifest,
            sha256=manifest.digest(),
            tokenizer=tokenizer,
            session=tiny_session,
            worker=Worker(name, [Engine(tiny_session, 1)], metrics, 8, BusyRunners()),
            max_source_tokens=64,
            max_target_tokens=64,
            provider=tiny_session.provider,
            load_seconds=1.0,
            warm_up_seconds=0.5,
        )

    return make


def test_a_pair_is_found_without_regard_to_case_and_spelled_as_the_model_does(loaded: MakeModel) -> None:
    models = Models([loaded("a", EN_IT, EN_PT)])
    for source, target in (("en", "pt-BR"), ("EN", "PT-br"), ("En", "pt-br")):
        model, pair = models.find("", source, target)
        assert (model.name, pair) == ("a", ("en", "pt-BR"))


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        (("en-US", "it"), EN_IT),
        (("en_us", "it-IT"), EN_IT),
        (("en", "pt"), EN_PT),
        (("en", "pt-PT"), EN_PT),
        (("zh-TW", "nb"), ("zh-Hant", "no")),
    ],
)
def test_a_tag_finds_the_nearest_of_its_language_and_script(
    loaded: MakeModel, pair: tuple[str, str], expected: tuple[str, str]
) -> None:
    models = Models([loaded("a", EN_IT), loaded("b", EN_PT, ("zh-Hant", "no"))])
    assert models.find("", *pair)[1] == expected


@pytest.mark.parametrize("pair", [("zh-Hans", "en"), ("hr", "en"), ("en-Cyrl", "it"), ("en-US-US", "it")])
def test_a_tag_finds_no_other_language_or_script(loaded: MakeModel, pair: tuple[str, str]) -> None:
    models = Models([loaded("a", EN_IT, ("zh-Hant", "en"), ("sr-Latn", "en"))])
    with pytest.raises(NotServed):
        models.find("", *pair)


def test_of_several_the_nearest_is_found_and_of_equal_ones_the_first(loaded: MakeModel) -> None:
    models = Models([loaded("a", ("en", "pt-PT")), loaded("b", EN_PT), loaded("c", ("en-GB", "pt-BR"))])
    assert models.find("", "en", "pt")[0].name == "b"
    assert models.find("", "en-US", "pt-AO")[0].name == "a"
    assert models.find("c", "en-US", "pt")[1] == ("en-GB", "pt-BR")


def test_the_first_artifact_wins_for_a_pair(loaded: MakeModel) -> None:
    models = Models([loaded("z", EN_IT), loaded("a", ("EN", "IT"), IT_EN)])
    assert models.find("", "en", "it")[0].name == "z"
    assert models.find("", "it", "en")[0].name == "a"
    found, pair = models.find("a", "en", "it")
    assert (found.name, pair) == ("a", ("EN", "IT"))


def test_models_come_ordered_by_name_or_by_preference(loaded: MakeModel) -> None:
    models = Models([loaded(name, EN_IT) for name in ("c", "a", "b")])
    assert [model.name for model in models] == ["a", "b", "c"]
    assert [model.name for model in models.in_order] == ["c", "a", "b"]


def test_two_models_of_one_name_are_refused(loaded: MakeModel) -> None:
    with pytest.raises(ArtifactError, match="share a name: a, b, b"):
        Models([loaded("b", EN_IT), loaded("a", EN_IT), loaded("b", IT_EN)])


def info_of(error: NotServed) -> error_details_pb2.ResourceInfo:
    (detail,) = details_of(error)
    assert isinstance(detail, error_details_pb2.ResourceInfo)
    return detail


def test_an_unknown_model_names_the_models_that_are_served(loaded: MakeModel) -> None:
    models = Models([loaded("b", EN_IT), loaded("a", EN_IT)])
    with pytest.raises(NotServed, match="no model 'c'; served: a, b") as caught:
        models.find("c", "en", "it")
    assert info_of(caught.value).resource_type == "model"


def test_a_model_is_not_found_by_another_case(loaded: MakeModel) -> None:
    with pytest.raises(NotServed, match="no model 'A'"):
        Models([loaded("a", EN_IT)]).find("A", "en", "it")


@pytest.mark.parametrize("pair", [("it", "en"), ("en", "en"), ("de-AT", "it"), ("en", "gl")])
def test_an_unknown_pair_names_the_pairs_that_are_served(loaded: MakeModel, pair: tuple[str, str]) -> None:
    models = Models([loaded("a", EN_PT), loaded("b", EN_IT, EN_PT)])
    with pytest.raises(NotServed, match="served: en-it, en-pt-BR") as caught:
        models.find("", *pair)
    assert info_of(caught.value).resource_type == "language_pair"
    assert "-".join(pair) in info_of(caught.value).resource_name


def test_of_very_many_pairs_some_are_named(loaded: MakeModel) -> None:
    pairs = [("en", f"x{i:03}") for i in range(300)]
    with pytest.raises(NotServed, match=r"served: en-x000, .* and 280 more$"):
        Models([loaded("a", *pairs)]).find("", "en", "fr")


def test_a_pair_that_only_another_model_serves_names_those_of_the_model_asked_for(loaded: MakeModel) -> None:
    models = Models([loaded("a", EN_IT), loaded("b", IT_EN)])
    with pytest.raises(NotServed, match=r"'it-en' is not served by model 'a'; served: en-it$"):
        models.find("a", "it", "en")


def test_a_long_name_is_shortened_in_the_answer(loaded: MakeModel) -> None:
    models = Models([loaded("a", EN_IT)])
    for name, language in (("m" * 100_000, "it"), ("", "it-" + "-".join(["abcdefgh"] * 10_000))):
        with pytest.raises(NotServed) as caught:
            models.find(name, "en", language)
        assert len(str(caught.value)) < 500
        assert info_of(caught.value).ByteSize() < 1000


def test_a_model_that_ends_gives_its_graphs_back_in_turn(
    loaded: MakeModel, tiny_session: ModelSession
) -> None:
    model = loaded("a", EN_IT)
    graphs, turns = dict(tiny_session.graphs), []

    class Turn(contextlib.AbstractContextManager[None]):
        def __enter__(self) -> None:
            turns.append(len(graphs))

        def __exit__(self, *_: object) -> None:
            turns.append(len(graphs))

    model.session = dataclasses.replace(tiny_session, graphs=graphs, turn=Turn())
    model.worker.start()
    model.stop()
    assert turns == [len(tiny_session.graphs), 0]
