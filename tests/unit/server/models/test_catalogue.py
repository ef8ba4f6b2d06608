"""Which model serves a pair, and what is said where none does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from google.rpc import error_details_pb2

from export.contract.manifest import ArtifactError
from server.api.status import details_of
from server.engine.session import ModelSession
from server.errors import NotServed
from server.models.catalogue import Models, Step
from server.models.served_model import ServedModel
from tests.unit.server.models.described import served_model

EN_IT, IT_EN, EN_PT = ("en", "it"), ("it", "en"), ("en", "pt-BR")
MakeModel = Callable[..., ServedModel]


@pytest.fixture
def served(tiny_session: ModelSession) -> MakeModel:
    """A model of a given name and pairs, not in memory."""

    def make(name: str, *language_pairs: tuple[str, str]) -> ServedModel:
        manifest = dataclasses.replace(tiny_session.manifest, name=name, language_pairs=language_pairs)
        return served_model(manifest)

    return make


def test_a_pair_is_found_without_regard_to_case_and_spelled_as_the_model_does(served: MakeModel) -> None:
    models = Models([served("a", EN_IT, EN_PT)])
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
    served: MakeModel, pair: tuple[str, str], expected: tuple[str, str]
) -> None:
    models = Models([served("a", EN_IT), served("b", EN_PT, ("zh-Hant", "no"))])
    assert models.find("", *pair)[1] == expected


@pytest.mark.parametrize("pair", [("zh-Hans", "en"), ("hr", "en"), ("en-Cyrl", "it"), ("en-US-US", "it")])
def test_a_tag_finds_no_other_language_or_script(served: MakeModel, pair: tuple[str, str]) -> None:
    models = Models([served("a", EN_IT, ("zh-Hant", "en"), ("sr-Latn", "en"))])
    with pytest.raises(NotServed):
        models.find("", *pair)


def test_of_several_the_nearest_is_found_and_of_equal_ones_the_first(served: MakeModel) -> None:
    models = Models([served("a", ("en", "pt-PT")), served("b", EN_PT), served("c", ("en-GB", "pt-BR"))])
    assert models.find("", "en", "pt")[0].name == "b"
    assert models.find("", "en-US", "pt-AO")[0].name == "a"
    assert models.find("c", "en-US", "pt")[1] == ("en-GB", "pt-BR")


def test_the_first_artifact_wins_for_a_pair(served: MakeModel) -> None:
    models = Models([served("z", EN_IT), served("a", ("EN", "IT"), IT_EN)])
    assert models.find("", "en", "it")[0].name == "z"
    assert models.find("", "it", "en")[0].name == "a"
    found, pair = models.find("a", "en", "it")
    assert (found.name, pair) == ("a", ("EN", "IT"))


def test_models_come_ordered_by_name_or_by_preference(served: MakeModel) -> None:
    models = Models([served(name, EN_IT) for name in ("c", "a", "b")])
    assert [model.name for model in models] == ["a", "b", "c"]
    assert [model.name for model in models.in_order] == ["c", "a", "b"]


def test_two_models_of_one_name_are_refused(served: MakeModel) -> None:
    with pytest.raises(ArtifactError, match="share a name: a, b, b"):
        Models([served("b", EN_IT), served("a", EN_IT), served("b", IT_EN)])


def info_of(error: NotServed) -> error_details_pb2.ResourceInfo:
    (detail,) = details_of(error)
    assert isinstance(detail, error_details_pb2.ResourceInfo)
    return detail


def test_an_unknown_model_names_the_models_that_are_served(served: MakeModel) -> None:
    models = Models([served("b", EN_IT), served("a", EN_IT)])
    with pytest.raises(NotServed, match="no model 'c'; served: a, b") as caught:
        models.find("c", "en", "it")
    assert info_of(caught.value).resource_type == "model"


def test_a_model_is_not_found_by_another_case(served: MakeModel) -> None:
    with pytest.raises(NotServed, match="no model 'A'"):
        Models([served("a", EN_IT)]).find("A", "en", "it")


@pytest.mark.parametrize("pair", [("it", "en"), ("en", "en"), ("de-AT", "it"), ("en", "gl")])
def test_an_unknown_pair_names_the_pairs_that_are_served(served: MakeModel, pair: tuple[str, str]) -> None:
    models = Models([served("a", EN_PT), served("b", EN_IT, EN_PT)])
    with pytest.raises(NotServed, match="served: en-it, en-pt-BR") as caught:
        models.find("", *pair)
    assert info_of(caught.value).resource_type == "language_pair"
    assert "-".join(pair) in info_of(caught.value).resource_name


def test_of_very_many_pairs_some_are_named(served: MakeModel) -> None:
    pairs = [("en", f"x{i:03}") for i in range(300)]
    with pytest.raises(NotServed, match=r"served: en-x000, .* and 280 more$"):
        Models([served("a", *pairs)]).find("", "en", "fr")


def test_a_pair_that_only_another_model_serves_names_those_of_the_model_asked_for(served: MakeModel) -> None:
    models = Models([served("a", EN_IT), served("b", IT_EN)])
    with pytest.raises(NotServed, match=r"'it-en' is not served by model 'a'; served: en-it$"):
        models.find("a", "it", "en")


def test_a_long_name_is_shortened_in_the_answer(served: MakeModel) -> None:
    models = Models([served("a", EN_IT)])
    for name, language in (("m" * 100_000, "it"), ("", "it-" + "-".join(["abcdefgh"] * 10_000))):
        with pytest.raises(NotServed) as caught:
            models.find(name, "en", language)
        assert len(str(caught.value)) < 500
        assert info_of(caught.value).ByteSize() < 1000


def test_a_pairs_default_may_be_another_than_the_first(served: MakeModel) -> None:
    models = [served("a", EN_IT, EN_PT), served("b", EN_IT, ("EN", "pt-br")), served("c", EN_PT)]
    by_default = Models(models, {"en-it": "b", "EN-pt_BR": "c"})
    assert by_default.find("", "en", "it")[0].name == "b"
    assert by_default.find("", "en", "pt-BR")[0].name == "c"
    assert by_default.find("a", "en", "it")[0].name == "a"
    listed = [("-".join(pair), [model.name for model in found]) for pair, found in by_default.pairs()]
    assert listed == [("en-it", ["b", "a"]), ("en-pt-BR", ["c", "a", "b"])]
    assert [model.name for model in Models(models).find("", "en", "it")[:1]] == ["a"]


def test_a_default_that_is_not_served_is_refused(served: MakeModel) -> None:
    with pytest.raises(ArtifactError) as caught:
        Models([served("a", EN_IT)], {"en-it": "b", "en-de": "a"})
    assert str(caught.value) == (
        "model 'b' of --default-models does not serve en-it: a does; "
        "model 'a' of --default-models does not serve en-de: no model does"
    )


def names_of(steps: list[Step]) -> list[str]:
    return [f"{model.name}:{'-'.join(pair)}" for model, pair in steps]


def test_a_pair_that_no_model_serves_goes_through_the_first_pivot_that_serves_it(served: MakeModel) -> None:
    models = [
        served("a", IT_EN, ("it", "de")),
        served("b", EN_PT, ("en", "fr")),
        served("c", ("de", "fr"), ("de", "nl"), ("en-GB", "ro")),
    ]
    through = Models(models, pivots=("de", "en"))
    assert names_of(through.route("", "it", "fr")) == ["a:it-de", "c:de-fr"]
    assert names_of(through.route("", "IT_it", "pt")) == ["a:it-en", "b:en-pt-BR"]
    assert names_of(through.route("", "it", "en")) == ["a:it-en"]
    assert names_of(through.route("", "it", "ro")) == ["a:it-en", "c:en-GB-ro"]
    assert through.sources("", "nl", ("de", "it", "fr")) == {"de": "de", "it": "it"}
    for name, source, target, alone in (
        ("a", "it", "fr", through),  # a model that is named works alone
        ("", "fr", "it", through),
        ("", "it", "fr", Models(models)),
    ):
        with pytest.raises(NotServed):
            alone.route(name, source, target)


def test_pairs_through_a_pivot_are_listed_and_are_what_a_call_gets(served: MakeModel) -> None:
    models = [served("a", IT_EN, ("it", "de")), served("b", EN_PT, EN_IT), served("c", ("de", "pt-PT"))]
    through = Models(models, pivots=("en",))
    listed = {"-".join(pair): names_of(steps) for pair, steps in through.pivot_pairs()}
    assert listed == {"it-pt-BR": ["a:it-en", "b:en-pt-BR"]}
    several = Models(models, pivots=("de", "en"))
    both = {"-".join(pair): names_of(steps) for pair, steps in several.pivot_pairs()}
    for listed_pair, steps in both.items():
        assert names_of(several.route("", *listed_pair.split("-", 1))) == steps
    assert both == {"it-pt-PT": ["a:it-de", "c:de-pt-PT"]}  # which it-pt-BR is near to


def test_no_source_that_is_served_into_a_language_is_an_error_that_says_so(served: MakeModel) -> None:
    with pytest.raises(NotServed, match="the pair 'auto-de' is not served"):
        Models([served("a", EN_IT)]).sources("", "de", ("en", "it"))
