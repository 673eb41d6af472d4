"""Tables that a command names: a file, an address, sample:NAME, or a source as the spec would write it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from declarative_ml.core.component import Component, Shelf
from declarative_ml.core.errors import UsageError
from declarative_ml.sources import SINKS, SOURCES
from declarative_ml.sources.base import Source
from declarative_ml.sources.file import holds_tables
from declarative_ml.sources.image_files import holds_images, is_archive
from declarative_ml.sources.remote import REMOTE_PATH
from declarative_ml.sources.sink import Sink
from declarative_ml.sources.spool import spool
from declarative_ml.spec.yaml_reader import read_yaml

M = TypeVar("M", bound=BaseModel)
C = TypeVar("C", bound=Component)


def source_of(text: str) -> Source:
    """The source that a text names; paths are relative to the working folder.

    `{type: sql, url: "${env:DATABASE_URL}", table: orders}` is any source of a spec. Raises UsageError for
    what is none, and never repeats it: it may hold a secret.
    """
    if is_mapping(text):
        return _of_a_type(SOURCES, text).resolved(Path.cwd())
    if text.startswith("sample:"):
        return _checked(SOURCES.load("sample"), {"name": text.removeprefix("sample:")})
    kind = "remote" if REMOTE_PATH.match(text) else "images" if _are_images(Path(text)) else "file"
    return _checked(SOURCES.load(kind), {"path": text}).resolved(Path.cwd())


def sink_of(text: str) -> Sink:
    """The place that a mapping names, such as `{type: sql, url: …, table: …}`, or the path of an object.

    Raises UsageError for what is none.
    """
    if is_mapping(text):
        return _of_a_type(SINKS, text).resolved(Path.cwd())
    return _checked(SINKS.load("remote"), {"path": text})


def is_mapping(text: str) -> bool:
    """Whether the text is no path but a mapping."""
    return text.lstrip().startswith("{")


@contextmanager
def steady(source: Source, progress: Callable[[str], None]) -> Iterator[Source]:
    """The source, or a copy of its rows on disk where reading twice could give other rows."""
    bound, _ = source.bound({})
    if not bound.remote:
        yield bound
        return
    with tempfile.TemporaryDirectory(prefix="dml-") as folder:
        yield spool(bound, Path(folder) / "rows.arrow", lambda rows: progress(f"reading · {rows:,} rows"))


def _are_images(path: Path) -> bool:
    """Whether a path leads to an archive, or to a folder of images without a table."""
    return is_archive(path) if not path.is_dir() else holds_images(path) and not holds_tables(path)


def _of_a_type(shelf: Shelf[C], text: str) -> C:
    fields = _fields(text)
    kind = str(fields.get("type", ""))
    if kind not in shelf:
        raise UsageError(f"the {shelf.kind} has no type that is known", hint=f"type: {', '.join(shelf)}")
    return _checked(shelf.load(kind), fields)


def _fields(text: str) -> dict[str, Any]:
    node, problems = read_yaml(text, "the command line")
    if problems or node is None or not node.is_mapping:
        raise UsageError(
            "that is no mapping in one line", hint="'{type: sql, url: \"${env:NAME}\", table: t}'"
        )
    return dict(node.plain())


def _checked(model: type[M], fields: dict[str, Any]) -> M:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "it"
        said = first["msg"].removeprefix("Value error, ")
        hint = "url, password and token are references: ${env:NAME} or ${file:path}"
        raise UsageError(f"the table cannot be used: {place}: {said}", hint=hint) from None
