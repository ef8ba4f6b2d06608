"""Types of a manifest's fields, each with its limits, and how a manifest's JSON is held against them.

Every number has a limit here, so that nothing that is sized or counted by a manifest can take a machine's
memory or time before its pools are reckoned.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, TypeVar

from annotated_types import Ge, Le, Len
from pydantic import AfterValidator, PlainValidator, TypeAdapter, ValidationError

T = TypeVar("T")

MAX_TOKENS = 1 << 20  # of a source or a target
MAX_VOCABULARY = 1 << 24
MAX_DIMENSION = 1 << 24
MAX_LAYERS = 1024
MAX_NAME = 128  # characters
MAX_FAULTS = 16  # that a refusal lists
_MAX_QUOTED = 40  # characters of a value


class SchemaError(ValueError):
    """What was read does not fit its type; lists the faults."""


def _printable(text: str) -> str:
    if not text.isprintable() or text != text.strip() or not text:
        raise ValueError("must be printable characters, with no space around them")
    return text


def _file_name(text: str) -> str:
    if "/" in text or "\\" in text or text in {".", ".."}:
        raise ValueError("must be a file's name in the artifact's own folder, no path")
    return text


def _axis(value: object) -> str | int:
    is_size = type(value) is int and 1 <= value <= MAX_DIMENSION
    if not is_size and not (isinstance(value, str) and re.fullmatch(r"[\w*+ -]{1,64}", value)):
        raise ValueError(f"must be the name of an axis, or a size from 1 to {MAX_DIMENSION}")
    return value  # type: ignore[return-value]  # one of the two, as was just seen


def _sha256(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise ValueError("must be 64 lowercase hexadecimal digits")
    return text


def _one_of(*choices: str) -> AfterValidator:
    def check(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return AfterValidator(check)


Name = Annotated[str, Len(1, MAX_NAME), AfterValidator(_printable)]
FileName = Annotated[str, Len(1, 255), AfterValidator(_printable), AfterValidator(_file_name)]
Sha256 = Annotated[str, AfterValidator(_sha256)]
Axis = Annotated[str | int, PlainValidator(_axis)]
Shape = Annotated[tuple[Axis, ...], Len(1, 8)]
ElementType = Annotated[str, _one_of("float32", "float16", "int8", "uint8", "int32", "int64", "bool")]
Precision = Annotated[str, _one_of("fp32", "fp16", "int8")]
Device = Annotated[str, _one_of("cpu", "cuda")]
TokenId = Annotated[int, Ge(0), Le(MAX_VOCABULARY)]
TokenIds = Annotated[tuple[TokenId, ...], Len(1, MAX_TOKENS)]
NumTokens = Annotated[int, Ge(1), Le(MAX_TOKENS)]
NumLayers = Annotated[int, Ge(1), Le(MAX_LAYERS)]
Share = Annotated[float, Ge(0), Le(1)]
NumBytes = Annotated[int, Ge(0), Le(1 << 50)]


def parse_json(adapter: TypeAdapter[T], content: str) -> T:
    """What a JSON text holds, if it is of the adapter's type to the letter: no other fields, no conversions.

    Raises:
        SchemaError: it is not; names each field with its value and what it must be.
    """
    try:
        return adapter.validate_json(content, strict=True, extra="forbid")
    except ValidationError as error:
        faults = [_fault(details) for details in error.errors(include_url=False)]
    raise SchemaError("; ".join(shortened(faults))) from None


def shortened(faults: list[str]) -> Iterator[str]:
    """The first faults, and the number of those behind them."""
    yield from faults[:MAX_FAULTS]
    if len(faults) > MAX_FAULTS:
        yield f"and {len(faults) - MAX_FAULTS} more faults"


def _fault(details: Any) -> str:
    """One of pydantic's errors in our words.

    >>> _fault({"type": "missing", "loc": ("files", "a.onnx"), "msg": "Field required", "input": {}})
    'files.a.onnx is missing'
    """
    place = ".".join(str(part) for part in details["loc"] if not str(part).startswith("function-"))
    match details["type"]:
        case "missing":
            return f"{place} is missing"
        case "unexpected_keyword_argument":
            return f"{place} is unknown"
    value = repr(details["input"])
    if len(value) > _MAX_QUOTED:
        value = value[:_MAX_QUOTED] + "..."
    # Pydantic says "Input should be a valid integer", "Tuple should have at least 1 item", "Value error, ..."
    rule = re.sub(r"^(Value error, |\w+ should )", "", details["msg"])
    is_own = details["type"] == "value_error"
    if is_own and not rule.startswith("must "):  # of a dataclass, which names its values itself
        return f"{place}: {rule}"
    return f"{place} is {value}, {rule if is_own else 'must ' + rule}"
