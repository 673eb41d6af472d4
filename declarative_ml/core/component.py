"""Components: the frozen pydantic classes that stand on the shelves, and the shelf itself.

A component's YAML options are its fields and its behaviour sits beside them. Heavy libraries are
imported inside the methods that need them, so that reading a spec loads none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Any mapping of the YAML: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Component(Section):
    """One entry of a shelf. Subclasses declare `type: Literal["name"] = "name"` (or the key of its shelf)."""

    libraries: ClassVar[tuple[str, ...]] = ()
    """Distributions whose versions may change what this component produces (part of the cache key)."""

    def options(self) -> dict[str, Any]:
        """The canonical parameters: what the cache key sees and what `parse` reads back."""
        return self.model_dump(mode="json")


C = TypeVar("C", bound=Component)


class Shelf(Generic[C]):
    """Named components of one kind. The table is the only list of them: a name and where its class is."""

    def __init__(self, kind: str, table: Mapping[str, str], key: str = "type") -> None:
        self.kind = kind
        self.key = key
        self._table = dict(table)

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __contains__(self, name: object) -> bool:
        return name in self._table

    def module(self, name: str) -> str:
        """The module that holds the component `name` (its source enters the cache key)."""
        return self._table[name].partition(":")[0]

    def load(self, name: str) -> type[C]:
        """The component class called `name`. Raises KeyError for a name that is not on the shelf."""
        component: type[C] = _load(self._table[name])
        return component

    def classes(self) -> list[type[C]]:
        """Every component class, in the order of the table."""
        return [self.load(name) for name in self]

    def parse(self, options: str | Mapping[str, Any]) -> C:
        """Build a component from its canonical options, or from its bare name."""
        fields = {self.key: options} if isinstance(options, str) else dict(options)
        return self.load(fields[self.key]).model_validate(fields)


@cache
def _load(reference: str) -> Any:
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)
