"""The models that are served, as far as the tenant of the call that is worked on may use them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from server.access.admission import current_tenant
from server.access.tenant import Tenant
from server.documents.glossary import Glossary
from server.errors import NotAllowed, NotServed
from server.models.catalogue import Models, Step
from server.models.served_model import ServedModel


class Serving(Protocol):
    """What a call needs of whatever serves models."""

    @property
    def current(self) -> Models:
        """Those that are served now."""

    @property
    def glossaries(self) -> Mapping[str, Glossary]:
        """By their names those that calls may name."""

    def use(self, model: ServedModel, deadline: float | None) -> AbstractAsyncContextManager[None]:
        """Have a model in memory for as long as a call needs it."""

    def fit_together(self, models: Iterable[ServedModel]) -> bool:
        """Whether the memory for models can ever hold all of these at once."""


class AllowedModels(Models):
    """Of some models those, for those pairs, that a tenant may use: others are not even there.

    What is asked for and served, but not to that tenant, is NotAllowed.
    """

    def __init__(self, models: Models, tenant: Tenant) -> None:
        self._all, self._tenant = models, tenant
        self._take_allowed(models, tenant.may_use, tenant.may_translate)

    def route(self, name: str, source_language: str, target_language: str) -> list[Step]:
        """As that of all models.

        Raises:
            NotAllowed: it is served, but not to that tenant.
            NotServed: it is not served.
        """
        try:
            return super().route(name, source_language, target_language)
        except NotServed as error:
            self._refuse(error, lambda: self._all.route(name, source_language, target_language))
            raise

    def sources(self, name: str, target_language: str, languages: Sequence[str]) -> dict[str, str]:
        """As that of all models.

        Raises:
            NotAllowed, NotServed: as `route` has it, of all languages.
        """
        try:
            return super().sources(name, target_language, languages)
        except NotServed as error:
            self._refuse(error, lambda: self._all.sources(name, target_language, languages))
            raise

    def _refuse(self, error: NotServed, find: Callable[[], object]) -> None:
        """Say that it is not for that tenant, if others would find it."""
        try:
            find()
        except NotServed:
            return
        what = error.resource_type.replace("_", " ")
        message = (
            f"tenant {self._tenant.name!r} may not use {what} {error.resource_name}: {error.description}"
        )
        raise NotAllowed(self._tenant.name, error.resource_type, error.resource_name, message)


class VisibleModels:
    """What is served, to the tenant of the current call; all of it where there is no access."""

    def __init__(self, served: Serving) -> None:
        self._served = served
        self._views: dict[str, tuple[Tenant, Models, Models]] = {}

    @property
    def current(self) -> Models:
        """Those that the current call's tenant may use."""
        models, tenant = self._served.current, current_tenant()
        if tenant is None or tenant.sees_all:
            return models
        view = self._views.get(tenant.name)
        if view is None or view[0] is not tenant or view[1] is not models:
            view = self._views[tenant.name] = (tenant, models, AllowedModels(models, tenant))
        return view[2]

    def use(self, model: ServedModel, deadline: float | None) -> AbstractAsyncContextManager[None]:
        """As whatever serves them does."""
        return self._served.use(model, deadline)

    @property
    def glossaries(self) -> Mapping[str, Glossary]:
        """As whatever serves them has them."""
        return self._served.glossaries

    def fit_together(self, models: Iterable[ServedModel]) -> bool:
        """As whatever serves them does."""
        return self._served.fit_together(models)
