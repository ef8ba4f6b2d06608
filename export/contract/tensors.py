"""What graphs are called and shaped like: names, types and axes of their inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterable
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

    def as_in(self, inputs: Iterable[TensorSpec]) -> Pools:
        """These pools, each as a graph's input of its name is: of that type and those axes."""
        by_name = {spec.name: spec for spec in inputs}
        return Pools(
            *(
                tuple(by_name[spec.name] for spec in specs)
                for specs in (self.caches, self.states, self.memory)
            )
        )

    def of_type(self, dtype: str) -> Pools:
        """These pools in another float type."""
        return self.as_in(replace(spec, dtype=dtype) for spec in self.specs)
