"""The ONNX operators that graphs are written in: the standard ones, and one of ONNX Runtime's own."""

from __future__ import annotations

import onnx
from onnx.defs import OpSchema
from onnxscript.values import Opset

OPSET = 24  # ONNX Runtime 1.31 takes up to 26
MICROSOFT = "com.microsoft"

opset = Opset("", OPSET)
microsoft = Opset(MICROSOFT, 1)


def _group_query_attention() -> OpSchema:
    """As far as it is used here: queries, keys and values packed, and no rotary embedding."""
    parameter, floats, integers = OpSchema.FormalParameter, "T", "S"
    optional = OpSchema.FormalParameterOption.Optional
    return OpSchema(
        "GroupQueryAttention",
        MICROSOFT,
        1,
        inputs=[
            parameter("query", floats),
            parameter("key", floats, param_option=optional),
            parameter("value", floats, param_option=optional),
            parameter("past_key", floats),
            parameter("past_value", floats),
            parameter("seqlens_k", integers),
            parameter("total_sequence_length", integers),
        ],
        outputs=[parameter(name, floats) for name in ("output", "present_key", "present_value")],
        type_constraints=[
            (floats, ["tensor(float)", "tensor(float16)"], ""),
            (integers, ["tensor(int32)"], ""),
        ],
        attributes=[
            OpSchema.Attribute("num_heads", OpSchema.AttrType.INT),
            OpSchema.Attribute("kv_num_heads", OpSchema.AttrType.INT),
            OpSchema.Attribute("scale", OpSchema.AttrType.FLOAT),
        ],
    )


# The onnx package knows only standard operators, and the exporter asks it for how many outputs there are.
onnx.defs.register_schema(_group_query_attention())
