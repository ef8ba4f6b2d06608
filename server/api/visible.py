"""Takes out of an answer what its tenant may not know of: the pairs of a model."""

from __future__ import annotations

from typing import Any

from server.access.tenant import Tenant
from traghetto.pb.translation.v1 import translation_pb2 as pb


def hide(response: Any, tenant: Tenant) -> Any:
    """The answer, changed in place."""
    if isinstance(response, pb.ListModelsResponse):
        may_translate = tenant.may_translate
        for model in response.models:
            kept = [p for p in model.language_pairs if may_translate((p.source_language, p.target_language))]
            del model.language_pairs[:]
            model.language_pairs.extend(kept)
    return response
