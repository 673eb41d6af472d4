"""What a SELECT is made of, by DuckDB's own parser."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any

_CLOCK = frozenset({"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"})
"""Written like columns, and read as the time of day where no column has the name."""


def parse(sql: str) -> dict[str, Any] | None:
    """The tree of the one statement, or None where there is not one that can be analysed."""
    found = _connection().execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
    tree: dict[str, Any] = json.loads(found[0]) if found else {"error": True}
    if tree.get("error") or len(tree["statements"]) != 1:
        return None
    node: dict[str, Any] = tree["statements"][0]["node"]
    return node


def nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of the tree, from the outside in."""
    if isinstance(tree, dict):
        yield tree
    for item in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from nodes(item)


def aggregates() -> set[str]:
    """The names of the functions that make one value of many rows."""
    return _names("function_type = 'aggregate'")


def unrepeatable(sql: str, columns: Collection[str]) -> str | None:
    """What in the SQL may answer otherwise the next time over the same rows, or None.

    `columns` are the names of the tables' columns. SQL that cannot be analysed passes: the engine has
    the word then.
    """
    changing = _names("stability <> 'CONSISTENT'") - {"error"}
    known = {name.lower() for name in columns}
    for node in nodes(parse(sql)):
        if node.get("class") == "FUNCTION" and node["function_name"].lower() in changing:
            return f"{node['function_name']}()"
        name = str((node.get("column_names") or [""])[-1]).lower()
        if name in _CLOCK - known:
            return name
        sample = node.get("sample")
        if isinstance(sample, dict) and not sample["repeatable"]:
            return "a sample without a seed"
    return None


def _names(condition: str) -> set[str]:
    rows = _connection().execute(f"SELECT DISTINCT function_name FROM duckdb_functions() WHERE {condition}")
    return {name for (name,) in rows.fetchall()}


def _connection() -> Any:
    import duckdb

    return duckdb.connect(":memory:", config={"threads": 1})
