"""The scatter writes each row's columns from its own index on, in PyTorch as in ONNX."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor

from export.manifest import BEAM, ENCODER, GREEDY
from export.onnx_graph import Exported
from export.tensor_scatter import OPSET, tensor_scatter

N, H, M, W, D = 3, 2, 10, 4, 5


def random_tensor(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("write_index", [[0, 0, 0], [6, 0, 3], [1, 5, 6]])
def test_it_equals_a_loop_and_leaves_its_input_alone(write_index: list[int]) -> None:
    cache, update = random_tensor(N, H, M, D, seed=1), random_tensor(N, H, W, D, seed=2)
    before, expected = cache.clone(), cache.clone()
    for row, index in enumerate(write_index):
        expected[row, :, index : index + W] = update[row]
    found = tensor_scatter(cache, update, torch.tensor(write_index))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    torch.testing.assert_close(cache, before, rtol=0, atol=0)


def test_its_shapes_and_schema_are_what_the_exporter_is_told() -> None:
    torch.library.opcheck(
        torch.ops.traghetto.tensor_scatter.default,
        (random_tensor(N, H, M, D, seed=1), random_tensor(N, H, W, D, seed=2), torch.tensor([0, 3, 6])),
        test_utils=("test_schema", "test_faketensor"),
    )


def test_each_cache_becomes_one_tensor_scatter_node(exported: dict[str, Exported]) -> None:
    for name, expected in ((ENCODER, 0), (GREEDY, 4), (BEAM, 4)):
        model = exported[name].model
        nodes = Counter(node.op_type for node in model.graph.node)
        assert nodes["TensorScatter"] == expected
        assert {opset.version for opset in model.opset_import if not opset.domain} == {OPSET}
        assert {node.domain for node in model.graph.node} == {""}
