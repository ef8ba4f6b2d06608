"""What graphs are called and shaped like: names, types and axes of their inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from export.contract.field_types import ElementType, Name, Shape

SOURCE_AXIS = "source_capacity"


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a graph.

    Args:
        name: What the graph calls it.
        dtype: NumPy's name of its type, such as "float32".
        shape: Of each axis its size, or the name of a dynamic one.
    """

    name: Name
    dtype: ElementType
    shape: Shape


@dataclass(frozen=True)
class Pools:
    """What an architecture keeps for each row between runs, see `Manifest`.

    Args:
        caches: A decoder step writes one column; axes ("hypotheses", ..., "columns", ...), where the W
            hypotheses of a row stand next to each other.
        states: A decoder step replaces them; axes ("rows", "beam", ...).
        memory: The encoder writes a row, decoder steps read it; source positions have the axis
            "source_capacity".
    """

    caches: tuple[TensorSpec, ...] = ()
    states: tuple[TensorSpec, ...] = ()
    memory: tuple[TensorSpec, ...] = ()

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """Caches, states, memory: the order in which a decoder step takes them."""
        return (*self.caches, *self.states, *self.memory)

    def typed_as(self, specs: Iterable[TensorSpec]) -> Pools:
        """These pools, each in the type that a graph's input of its name has."""
        dtypes = {spec.name: spec.dtype for spec in specs}
        return self._retyped(lambda spec: dtypes[spec.name])

    def of_type(self, dtype: str) -> Pools:
        """These pools in another float type."""
        return self._retyped(lambda _: dtype)

    def _retyped(self, dtype_of: Callable[[TensorSpec], str]) -> Pools:
        return Pools(
            *(
                tuple(replace(spec, dtype=dtype_of(spec)) for spec in specs)
                for specs in (self.caches, self.states, self.memory)
            )
        )
