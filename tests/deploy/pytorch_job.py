"""Prints what of a PyTorchJob Kubeflow's own classes do not know or take: JSON in, a JSON list out.

A program of its own, for it runs where requirements/deploy-tools.txt is installed.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

from kubeflow.training import models
from kubernetes.client import models as kubernetes_models

_PRIMITIVES: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "bool": bool,
    "float": (int, float),
}


def faults(value: Any, kind: str, path: str) -> Iterator[str]:
    """What is unknown, or of another type, in a value of a kind, written as OpenAPI's generator does."""
    if container := re.fullmatch(r"(?:list|dict)[\[(](?:str, )?(\w+)[\])]", kind):
        items = dict(enumerate(value)) if isinstance(value, list) else value
        for key, item in items.items():
            yield from faults(item, container[1], f"{path}/{key}")
    elif kind in _PRIMITIVES:
        if not isinstance(value, _PRIMITIVES[kind]):
            yield f"{path} must be {kind}"
    elif kind not in {"object", "datetime"}:
        model = getattr(models, kind, None) or getattr(kubernetes_models, kind)
        fields = {name: model.openapi_types[field] for field, name in model.attribute_map.items()}
        for key, item in value.items():
            if key in fields:
                yield from faults(item, fields[key], f"{path}/{key}")
            else:
                yield f"unknown: {path}/{key}"


if __name__ == "__main__":
    print(json.dumps(list(faults(json.load(sys.stdin), "KubeflowOrgV1PyTorchJob", ""))))
