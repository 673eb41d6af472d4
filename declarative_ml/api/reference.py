"""The reference of the Python API, from its signatures and docstrings.

`python -m declarative_ml.api.reference docs/python.md` rewrites the text between `<!-- reference -->` and
`<!-- end -->`; the rest of the page is written by hand.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from declarative_ml.api import session
from declarative_ml.core.atomic import write_text

_BLOCK = re.compile(r"(<!-- reference -->\n).*?(<!-- end -->)", re.DOTALL)


def with_reference(page: str) -> str:
    """The page with the reference filled in. Raises ValueError where it has no place for it."""
    if not _BLOCK.search(page):
        raise ValueError("the page has no <!-- reference --> block")
    return _BLOCK.sub(lambda match: f"{match[1]}{reference()}\n{match[2]}", page)


def reference() -> str:
    """Every public name: functions, then objects, then errors."""
    found = {name: getattr(session, name) for name in session.__all__}
    functions = {name: item for name, item in found.items() if inspect.isfunction(item)}
    errors = {name: item for name, item in found.items() if _is_error(item)}
    objects = {name: item for name, item in found.items() if name not in functions and name not in errors}
    parts = ["### Functions", *(_function(name, item) for name, item in functions.items())]
    parts += ["### Objects", *(_object(name, item) for name, item in objects.items())]
    parts += ["### Errors", _errors(errors)]
    return "\n\n".join(parts)


def _is_error(item: Any) -> bool:
    return inspect.isclass(item) and issubclass(item, Exception)


def _function(name: str, function: Callable[..., Any]) -> str:
    return f"**`dml.{name}{_signature(function)}`**\n\n{_doc(function)}"


def _object(name: str, kind: type) -> str:
    rows = [f"| `{member}` | {_first(text)} |" for member, text in _members(kind)]
    table = "\n".join(["", "", "| | |", "|---|---|", *rows]) if rows else ""
    return f"**`dml.{name}`**: {_doc(kind)}{table}"


def _errors(errors: dict[str, Any]) -> str:
    rows = [f"| `dml.{name}` | {item.exit_code} | {_first(_doc(item))} |" for name, item in errors.items()]
    return "\n".join(["| error | exit code of `dml` | |", "|---|---|---|", *rows])


def _members(kind: type) -> Iterator[tuple[str, str]]:
    """Public fields, properties and methods, each with its text."""
    fields = {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    texts = _texts(kind)
    yield from ((name, texts[name]) for name in texts if name in fields or name not in vars(kind))
    for name, member in vars(kind).items():
        if name.startswith("_") or name in fields or isinstance(member, classmethod | staticmethod):
            continue
        if inspect.isfunction(member):
            yield f"{name}{_signature(member)}", _doc(member)
        elif inspect.isdatadescriptor(member) or hasattr(member, "func"):
            yield name, _doc(member)


def _texts(kind: type) -> dict[str, str]:
    """Attribute -> the text that stands below it in the source."""
    below = r'^ +(?:self\.)?(\w+)(?:: | = ).*\n +"""(.+?)"""'
    lines = re.findall(below, inspect.getsource(kind), re.MULTILINE)
    return {name: text for name, text in lines if not name.startswith("_")}


def _signature(function: Callable[..., Any]) -> str:
    """The parameters with their defaults, without types, which an editor shows."""
    signature = inspect.signature(function)
    plain = [
        each.replace(annotation=inspect.Parameter.empty)
        for name, each in signature.parameters.items()
        if name != "self"
    ]
    return str(signature.replace(parameters=plain, return_annotation=inspect.Signature.empty))


def _doc(item: Any) -> str:
    text = inspect.getdoc(item)
    if not text:
        raise ValueError(f"{item} says nothing about itself")
    return text


def _first(text: str) -> str:
    """The first sentence or two, as one cell of a table."""
    return " ".join(text.partition("\n\n")[0].split()).replace("|", "\\|")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m declarative_ml.api.reference FILE")
    path = Path(sys.argv[1])
    write_text(path, with_reference(path.read_text(encoding="utf-8")))
