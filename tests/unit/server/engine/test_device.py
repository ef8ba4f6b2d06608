"""Which device an artifact may run on."""

from __future__ import annotations

import dataclasses

import onnxruntime
import pytest

from export.contract.graph_names import GraphName
from server.engine import device as device_module
from server.engine.device import CUDA, DeviceError, check_device, choose_device
from server.engine.session import ModelSession


@pytest.fixture
def has_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_module, "_has_cuda_driver", lambda: True)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA])


@pytest.mark.usefixtures("has_gpu")
def test_an_artifact_whose_attention_was_wrong_on_a_gpu_is_refused_there(tiny_session: ModelSession) -> None:
    """Those of earlier versions had the memory as outputs of a step, as artifacts for CPUs have."""
    old = dataclasses.replace(tiny_session.manifest, precision="fp16", devices=("cuda", "cpu"))
    assert choose_device("auto", old) == "cpu"
    check_device("cpu", old)
    with pytest.raises(DeviceError, match=r"tiny \(fp16\) was exported .*: export it again"):
        check_device("cuda", old)
    step = old.graphs[GraphName.DECODER_STEP]
    outputs = tuple(spec for spec in step.outputs if not spec.name.startswith("cross_"))
    graphs = {**old.graphs, GraphName.DECODER_STEP: dataclasses.replace(step, outputs=outputs)}
    new = dataclasses.replace(old, graphs=graphs)
    assert choose_device("auto", new) == "cuda"
    check_device("cuda", new)
