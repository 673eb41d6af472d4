"""Re-run the spec's SQL on new rows, when each of its output rows comes from one input row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from declarative_ml.core.columns import typed_batches
from declarative_ml.core.errors import DataError, UsageError
from declarative_ml.core.schema import TableSchema
from declarative_ml.steps.sql import query
from declarative_ml.steps.sql_tree import aggregates, nodes, parse

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
    node = parse(sql)
    if node is None:
        return "it cannot be analysed"
    if node["type"] != "SELECT_NODE":
        return "set operation"
    if node["from_table"]["type"] != _ALLOWED_FROM:
        return {"JOIN": "join", "SUBQUERY": "subquery"}.get(node["from_table"]["type"], "no single table")
    if node["group_expressions"] or node["having"] or node.get("qualify"):
        return "group by, having or qualify"
    if node["modifiers"] or node["sample"] or node["cte_map"]["map"]:
        return "order by, limit, distinct, sample or with"
    summing = aggregates()
    for part in nodes(node["select_list"]):
        if part.get("class") in ("WINDOW", "SUBQUERY"):
            return str(part["class"]).lower()
        if part.get("class") == "FUNCTION" and part["function_name"] in summing:
            return f"{part['function_name']}()"
    return None
