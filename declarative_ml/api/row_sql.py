"""Re-run the spec's SQL on new rows, when each of its output rows comes from one input row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from declarative_ml.core.columns import typed_batches
from declarative_ml.core.errors import DataError, UsageError
from declarative_ml.core.schema import TableSchema
from declarative_ml.steps.sql import query

if TYPE_CHECKING:
    import pyarrow as pa

_ALLOWED_FROM = "BASE_TABLE"


def apply_row_sql(
    sql: str, table: str, schema: TableSchema, batches: Iterator[pa.RecordBatch], target: str
) -> Iterator[pa.RecordBatch]:
    """Type each batch, run the SQL on it, and yield the result.

    An absent target column is filled with nulls. Raises UsageError for SQL that mixes rows, and
    DataError when a WHERE drops rows: predictions would no longer line up with their rows.
    """
    import pyarrow as pa

    require_row_wise(sql)
    for batch in batches:
        if target in schema.columns and target not in batch.schema.names:
            batch = batch.append_column(target, pa.nulls(batch.num_rows, pa.string()))
        for typed in typed_batches(iter([batch]), schema, strict=False):
            result = query(sql, {table: pa.Table.from_batches([typed])}).read_all()
            if result.num_rows != typed.num_rows:
                raise DataError(
                    f"data.sql keeps {result.num_rows:,} of {typed.num_rows:,} rows",
                    hint="its WHERE drops rows; give only rows that pass it",
                )
            yield from result.to_batches()


def require_row_wise(sql: str) -> None:
    """Raise UsageError unless the SQL is one SELECT that treats every row by itself."""
    why = mixes_rows(sql)
    if why is not None:
        raise UsageError(
            f"data.sql mixes rows ({why}), so it cannot be re-run on new rows one by one",
            hint="shape the new rows by the same SQL in your database, and give the model's own columns",
        )


def mixes_rows(sql: str) -> str | None:
    """What in the SQL makes an output row depend on several rows, or None."""
    import duckdb

    connection = duckdb.connect(":memory:", config={"threads": 1})
    found = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
    tree: dict[str, Any] = json.loads(found[0]) if found else {"error": True}
    if tree.get("error") or len(tree["statements"]) != 1:
        return "it cannot be analysed"
    node = tree["statements"][0]["node"]
    if node["type"] != "SELECT_NODE":
        return "set operation"
    if node["from_table"]["type"] != _ALLOWED_FROM:
        return {"JOIN": "join", "SUBQUERY": "subquery"}.get(node["from_table"]["type"], "no single table")
    if node["group_expressions"] or node["having"] or node.get("qualify"):
        return "group by, having or qualify"
    if node["modifiers"] or node["sample"] or node["cte_map"]["map"]:
        return "order by, limit, distinct, sample or with"
    return _inside(node["select_list"], _aggregates(connection))


def _aggregates(connection: Any) -> set[str]:
    rows = connection.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'aggregate'"
    ).fetchall()
    return {name for (name,) in rows}


def _inside(tree: Any, aggregates: set[str]) -> str | None:
    """The first window, subquery or aggregate inside the select list."""
    if isinstance(tree, list):
        return next(filter(None, (_inside(item, aggregates) for item in tree)), None)
    if not isinstance(tree, dict):
        return None
    kind = tree.get("class")
    if kind in ("WINDOW", "SUBQUERY"):
        return str(kind).lower()
    if kind == "FUNCTION" and tree.get("function_name") in aggregates:
        return f"{tree['function_name']}()"
    return _inside(list(tree.values()), aggregates)
