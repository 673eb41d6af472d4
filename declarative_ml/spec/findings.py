"""One error of validation with its place, and what is said about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic_core import ErrorDetails

from declarative_ml.spec.positions import Node, Path
from declarative_ml.spec.unknown_keys import Meant

EXPECTED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
"""Pydantic's errors for a value of the wrong kind, and the kind that is wanted."""


@dataclass(frozen=True)
class Finding:
    """One pydantic error with its real path, and the value that stands there."""

    error: ErrorDetails
    path: Path
    value: Any
    node: Node | None = None

    @property
    def kind(self) -> str:
        """Pydantic's name of the error."""
        return self.error["type"]

    @property
    def context(self) -> dict[str, Any]:
        """What pydantic tells of it: bounds, patterns, expected values."""
        return self.error.get("ctx", {})

    @property
    def is_mismatch(self) -> bool:
        """Whether the value as a whole is not of the kind that one branch of a union wants."""
        return self.kind in EXPECTED or self.kind == "literal_error"


@dataclass(frozen=True)
class Words:
    """What is said about a finding."""

    code: str
    message: str
    hint: str
    at_key: bool = False
    path: Path | None = None
    meant: Meant | None = None
    """For an unknown key."""
