"""Values that must not be seen: a spec holds a reference to one, and the value is looked up when used."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from declarative_ml.core.errors import DataError

IN_CLEAR = "secret_in_clear"
"""The kind of validation error for a value that is not a reference."""

_PATTERN = r"^\$\{(env:[A-Za-z_][A-Za-z0-9_]*(:-[^{}]*)?|file:[^{}]+)\}$"
_REFERENCE = re.compile(_PATTERN, re.DOTALL)
_MAX_BYTES = 64 * 1024
_HIDDEN = "***"
_SCHEMES = frozenset({
    "postgresql", "postgres", "sqlite", "duckdb", "mysql", "mariadb", "mysql+pymysql", "mariadb+pymysql",
    "http", "https", "localhost",
})  # fmt: skip


class Secret:
    """`${env:NAME}`, `${env:NAME:-default}` or `${file:path}`. Equal when the references are equal.

    The reference is what is printed, hashed, stored and rendered; only `reveal` sees the value.
    """

    __slots__ = ("reference",)

    def __init__(self, reference: str) -> None:
        """Raises ValueError for what is no reference; the message does not repeat it."""
        if not _REFERENCE.match(reference):
            raise ValueError("a secret is given in clear")
        self.reference = reference

    def resolved(self, base: Path) -> Secret:
        """The same secret with the path of its file made absolute against `base`."""
        if not self.reference.startswith("${file:"):
            return self
        return Secret(f"${{file:{(base / Path(self._inside[5:]).expanduser()).as_posix()}}}")

    def reveal(self) -> str:
        """The value. Raises DataError, which names the reference, where there is none."""
        if self.reference.startswith("${file:"):
            return self._content(Path(self._inside[5:]))
        name, _, default = self._inside[4:].partition(":-")
        value = os.environ.get(name) or default
        if not value:
            raise DataError(f"the environment variable {name} is not set", hint="set it where dml runs")
        return value

    def redact(self, text: str) -> str:
        """`text` without the value, or the parts of it when it is the address of a service."""
        value = self.reveal()
        parts = {value, *re.split(r"[:/@?&=;\s]+", value)}
        for part in sorted(parts | {unquote(part) for part in parts}, key=len, reverse=True):
            if len(part) > 2 and not _is_scheme(part):
                text = text.replace(part, _HIDDEN)
        return text

    @property
    def _inside(self) -> str:
        return self.reference[2:-1]

    def _content(self, path: Path) -> str:
        try:
            with path.open("rb") as stream:
                return stream.read(_MAX_BYTES).decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
        except OSError as error:
            raise DataError(f"cannot read the secret in {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise DataError(f"the secret in {path} is not UTF-8 text") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.reference == other.reference

    def __hash__(self) -> int:
        return hash(self.reference)

    def __repr__(self) -> str:
        return f"Secret({self.reference!r})"

    __str__ = __repr__

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def parse(value: Any) -> Secret:
            if isinstance(value, Secret):
                return value
            if isinstance(value, str) and _REFERENCE.match(value):
                return cls(value)
            raise PydanticCustomError(IN_CLEAR, "a secret is given in clear")

        return core_schema.no_info_plain_validator_function(
            parse,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda secret: secret.reference, when_used="json"
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "pattern": _PATTERN, "examples": ["${env:NAME}", "${file:path}"]}


def _is_scheme(part: str) -> bool:
    """Words that stand in every address, and tell nothing."""
    return part.lower() in _SCHEMES
