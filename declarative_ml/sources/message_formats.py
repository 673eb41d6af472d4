"""What a message says: JSON objects, and Avro records with a schema from a file or a registry."""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from declarative_ml.core.errors import DataError
from declarative_ml.core.optional import require

Decode = Callable[[bytes], dict[str, Any]]

_MAGIC = 0
_PREFIX = 5
"""Bytes that a registry's clients put before a record: a zero, and the number of the schema."""
_PATIENCE = 15.0


def json_object(value: bytes) -> dict[str, Any]:
    """The object in a message. Raises DataError for anything else."""
    try:
        record = json.loads(value)
    except (ValueError, RecursionError):
        raise DataError(f"not JSON: {value[:60]!r}", hint="set format: avro if it is Avro") from None
    if not isinstance(record, dict):
        raise DataError(f"not an object but {type(record).__name__}", hint='it must look like {"column": …}')
    return record


def avro_decoder(schema_file: str | None, registry: str | None) -> Decode:
    """A decoder of records by the schema in a file, or by those that a registry has under their numbers."""
    fastavro = require("fastavro", "kafka")
    schema = _schema(Path(schema_file), fastavro) if schema_file is not None else None

    @cache
    def registered(number: int) -> Any:
        return fastavro.parse_schema(_from_registry(str(registry), number))

    def decode(value: bytes) -> dict[str, Any]:
        framed = len(value) > _PREFIX and value[0] == _MAGIC
        if schema is None and not framed:
            raise DataError("the message does not say its schema", hint="name the file: schema: orders.avsc")
        body = io.BytesIO(value[_PREFIX:] if framed else value)
        used = schema if schema is not None else registered(int.from_bytes(value[1:_PREFIX], "big"))
        try:
            record = fastavro.schemaless_reader(body, used)
        except (EOFError, ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
            raise DataError(f"not a record of this schema: {error or type(error).__name__}") from None
        if body.read(1) or not isinstance(record, dict):
            raise DataError("not a record of this schema: it is longer, or no record")
        return record

    return decode


def _schema(path: Path, fastavro: Any) -> Any:
    try:
        return fastavro.parse_schema(json.loads(path.read_bytes()))
    except OSError as error:
        raise DataError(f"cannot read the schema {path}: {error.strerror}") from None
    except (ValueError, fastavro.schema.SchemaParseException) as error:
        raise DataError(f"{path} is not an Avro schema: {error}") from None


def _from_registry(registry: str, number: int) -> Any:
    address = f"{registry.rstrip('/')}/schemas/ids/{number}"
    try:
        with urllib.request.urlopen(address, timeout=_PATIENCE) as answer:
            return json.loads(json.load(answer)["schema"])
    except (urllib.error.URLError, OSError, ValueError, KeyError) as error:
        raise DataError(f"the registry does not give the schema {number}: {error}", hint=address) from None
