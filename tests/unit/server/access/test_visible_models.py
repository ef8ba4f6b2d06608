"""What a tenant sees of the models that are served, and what it is told of the rest."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from server.access.admission import current_admission
from server.access.quotas import Ledger
from server.access.tenant import Tenant
from server.access.visible_models import AllowedModels, VisibleModels
from server.errors import NotAllowed, NotServed
from server.models.catalogue import Models
from server.models.loading import read_manifest
from server.models.served_model import ServedModel
from tests.running_server import RECURRENT
from tests.unit.server.models.described import served_model

EN_IT, EN_DE, DE_FR, IT_EN = ("en", "it"), ("en", "de"), ("de", "fr"), ("it", "en")


def model_of(name: str, *pairs: tuple[str, str]) -> ServedModel:
    return served_model(dataclasses.replace(read_manifest(RECURRENT), name=name, language_pairs=pairs))


@pytest.fixture(scope="module")
def models() -> Models:
    """Of three, the large one is the default of en-it."""
    small, large, french = (
        model_of("small", EN_IT, IT_EN),
        model_of("large", EN_IT, EN_DE),
        model_of("fr", DE_FR),
    )
    return Models([small, large, french], {"en-it": "large"}, ("de",))


def allowed(served: Models, /, **may: Any) -> AllowedModels:
    return AllowedModels(served, Tenant(name="shop", **may))


def test_a_pair_is_served_by_the_first_model_that_the_tenant_may_use(models: Models) -> None:
    assert models.find("", *EN_IT)[0].name == "large"
    view = allowed(models, models=frozenset({"small", "absent"}))
    assert [model.name for model in view] == ["small"]
    assert view.route("", "en-US", "it")[0][0].name == "small"
    assert [pair for pair, _ in view.pairs()] == [EN_IT, IT_EN]


@pytest.mark.parametrize(
    ("asked", "resource"),
    [(("large", *EN_IT), "model"), (("", *EN_DE), "language_pair"), (("small", *IT_EN), "language_pair")],
)
def test_what_is_served_to_others_is_refused_by_name(
    models: Models, asked: tuple[str, str, str], resource: str
) -> None:
    view = allowed(models, models=frozenset({"small"}), pairs=("en-*",))
    with pytest.raises(NotAllowed, match=r"^tenant 'shop' may not use .*; served: ") as caught:
        view.route(*asked)
    assert (caught.value.resource_type, caught.value.tenant) == (resource, "shop")
    assert "it-en" not in str(caught.value).partition("served:")[2]


def test_what_nobody_is_served_is_not_served(models: Models) -> None:
    view = allowed(models, models=frozenset({"small"}))
    for asked in (("", "en", "ja"), ("absent", *EN_IT)):
        with pytest.raises(NotServed) as caught:
            view.route(*asked)
        assert not isinstance(caught.value, NotAllowed)


def test_both_ways_of_a_pivot_and_the_sources_to_find_must_be_allowed(models: Models) -> None:
    assert len(allowed(models, pairs=("en-de", "de-fr")).route("", "en", "fr")) == 2
    view = allowed(models, pairs=("en-*",))
    with pytest.raises(NotAllowed):
        view.route("", "en", "fr")
    assert view.sources("", "it", ["en", "de"]) == {"en": "en"}
    with pytest.raises(NotAllowed):
        view.sources("", "en", ["it"])


def test_each_call_sees_its_own_tenants_models(models: Models) -> None:
    class Serving:
        current = models
        use = None

    visible = VisibleModels(Serving())  # type: ignore[arg-type]
    assert visible.current is models
    ledger = Ledger()
    for tenant, names in (
        (Tenant(name="shop", models=frozenset({"small"})), ["small"]),
        (Tenant(name="shop", models=frozenset({"fr"})), ["fr"]),  # of a newer file
        (Tenant(name="all"), ["fr", "large", "small"]),
    ):
        token = current_admission.set(ledger.open(tenant))
        assert [model.name for model in visible.current] == names
        assert visible.current is visible.current
        current_admission.reset(token)
