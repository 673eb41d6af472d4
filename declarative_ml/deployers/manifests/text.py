"""Objects as YAML that reads the same in YAML 1.1 and 1.2, byte for byte the same each time."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import yaml

from declarative_ml.deployers.base import Object

_PLAIN = re.compile(r"^[A-Za-z/][A-Za-z0-9_./@-]*(:[A-Za-z0-9_./@-]+)*$")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"})


class _Dumper(yaml.SafeDumper):
    """No anchors; every text that some reader takes for something else stands in quotes."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        return super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style: str | None = '"'
    if _PLAIN.match(text) and text.lower() not in _WORDS:
        style = None
    elif text.count("\n") > 1 and all(
        line.isprintable() and line == line.rstrip() for line in text.split("\n")
    ):
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def as_yaml(value: Any) -> str:
    """One document."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000_000)
    return text


def as_documents(objects: Iterable[Object]) -> str:
    """Objects as the documents of one file."""
    return "---\n".join(as_yaml(each) for each in objects)
