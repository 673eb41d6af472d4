"""Parameters of a query: `:name` in the text, bound by the driver and never pasted into the SQL."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

Value = str | int | float | bool

_PARTS = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | `[^`]*`      # texts and names
      | --[^\n]* | /\*.*?\*/                           # comments
      | (?P<tag>\$\w*\$).*?(?P=tag)                    # PostgreSQL's dollar quotes
      | ::                                             # a cast
      | (?<![\w:]):(?P<name>[A-Za-z_]\w*)""",
    re.VERBOSE | re.DOTALL,
)

_PLACES = {
    "qmark": "?", "format": "%s", "pyformat": "%({name})s", "named": ":{name}", "numeric": ":{number}",
    "dollar": "${number}", "dollar_named": "${name}",
}  # fmt: skip
_NAMED = ("pyformat", "named", "dollar_named")


def names_in(query: str) -> list[str]:
    """The parameters that the query asks for, each once, in the order of first appearance."""
    return list(dict.fromkeys(name for name in _names(query)))


def bind(query: str, params: Mapping[str, Value], style: str) -> tuple[str, Any]:
    """The query with a driver's placeholders, and its values: a mapping for named styles, else a list.

    `style` is one of PEP 249, or `dollar` ($1) or `dollar_named` ($name). Without `params` the query
    stays as it is, and there are no values (None).
    """
    if not params:
        return query, None
    if style in ("format", "pyformat"):
        query = query.replace("%", "%%")
    values: list[Value] = []

    def place(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:
            return match[0]
        values.append(params[name])
        return _PLACES[style].format(name=name, number=len(values))

    text = _PARTS.sub(place, query)
    return text, dict(params) if style in _NAMED else values


def _names(query: str) -> Iterator[str]:
    return (match["name"] for match in _PARTS.finditer(query) if match["name"] is not None)
