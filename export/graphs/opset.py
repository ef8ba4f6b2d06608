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
    """As far as it is used here: no rotary embedding, no quantized pools."""
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
            parameter("past_key", floats, param_option=optional),
            parameter("past_value", floats, param_option=optional),
            parameter("seqlens_k", integers),
            parameter("total_sequence_length", integers),
        ],
        outputs=[
            parameter("output", floats),
            parameter("present_key", floats, param_option=optional),
            parameter("present_value", floats, param_option=optional),
        ],
        type_constraints=[
            (floats, ["tensor(float)", "tensor(float16)"], ""),
            (integers, ["tensor(int32)"], ""),
        ],
        attributes=[
            OpSchema.Attribute("num_heads", OpSchema.AttrType.INT),
            OpSchema.Attribute("kv_num_heads", OpSchema.AttrType.INT),
            OpSchema.Attribute("scale", OpSchema.AttrType.FLOAT),
            OpSchema.Attribute("causal", OpSchema.AttrType.INT),
        ],
    )


# The onnx package knows only standard operators, and the exporter asks it for how many outputs there are.
onnx.defs.register_schema(_group_query_attention())
