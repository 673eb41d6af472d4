"""Labels that came later, joined to logged answers by a key, and the quality of each period."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from declarative_ml.api.evaluate import truth_of
from declarative_ml.api.predict import read
from declarative_ml.core.errors import DataError, UsageError
from declarative_ml.core.task import Task
from declarative_ml.learning.intervals import intervals
from declarative_ml.learning.metric_names import default_metrics
from declarative_ml.learning.metrics import score
from declarative_ml.report.monitored import Quality
from declarative_ml.steps.table import require_columns
from declarative_ml.store.bundle import Bundle

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

MOST_JUDGED = 200_000
"""Labelled rows of a period whose answers are measured; of more, so many are drawn."""
ID = "id"
"""The column of the log that says which row of which request it is."""


def open_database(folder: Path, task: Task) -> DuckDBPyConnection:
    """A database with the empty table `answers`, in a file: what does not fit into memory stays there."""
    import duckdb

    settings: dict[str, Any] = {
        "threads": 1,
        "memory_limit": "512MB",
        "temp_directory": str(folder),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    connection = duckdb.connect(str(folder / "monitor.duckdb"), config=settings)
    width = len(task.classes) or 1
    connection.execute(f"CREATE TABLE answers (period BIGINT, key VARCHAR, answer DOUBLE[{width}])")
    return connection


def keep_answers(
    connection: DuckDBPyConnection, table: pa.Table, periods: np.ndarray, answers: np.ndarray, key: str
) -> None:
    """Add rows to the table `answers`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    fields = {field.name: field.type for field in table.schema.field("inputs").type}
    if key in fields and not pa.types.is_string(fields[key]):
        raise UsageError(
            f"the input '{key}' is a number, and cannot tell one row from another",
            hint="join by the log's id: the client sends it as X-Request-Id, or gets it back so",
        )
    keys = pc.struct_field(table.column("inputs"), [key]) if key in fields else table.column(ID)
    flat = pa.array(answers.reshape(-1))
    batch = pa.table(
        {
            "period": periods,
            "key": keys,
            "answer": pa.FixedSizeListArray.from_arrays(flat, answers.shape[1]),
        }
    )
    connection.register("batch", batch)
    connection.execute("INSERT INTO answers SELECT period, key, answer FROM batch WHERE key IS NOT NULL")
    connection.unregister("batch")


def join_labels(bundle: Bundle, connection: DuckDBPyConnection, labels: str, key: str) -> dict[str, int]:
    """Read the labels into the table `labels`. Raises DataError for a key that has two."""
    import pyarrow as pa
    import pyarrow.compute as pc

    target = bundle.manifest.task.target
    connection.execute("CREATE TABLE labels (key VARCHAR, truth DOUBLE)")
    for rows in read(labels):
        require_columns(rows.schema.names, [key, target])
        truth, present = truth_of(bundle, rows)
        batch = pa.table({"key": pc.cast(rows.column(key), pa.string()), "truth": truth}).filter(
            pa.array(present)
        )
        connection.register("batch", batch)
        connection.execute("INSERT INTO labels SELECT key, truth FROM batch WHERE key IS NOT NULL")
        connection.unregister("batch")
    twice = connection.execute("SELECT key FROM labels GROUP BY key HAVING count(*) > 1 LIMIT 3").fetchall()
    if twice:
        raise DataError(
            f"{labels} has several labels for {key} {', '.join(repr(item[0]) for item in twice)}",
            hint="keep one row for each key",
        )
    known = "SELECT count(*) FROM labels"
    met = f"{known} WHERE key IN (SELECT key FROM answers)"
    rows_of = "SELECT count(*) FROM answers JOIN labels USING (key)"
    all_, joined, rows = (_one(connection, query) for query in (known, met, rows_of))
    if all_ and not joined:
        known = _one(connection, "SELECT key FROM labels LIMIT 1")
        seen = _one(connection, "SELECT key FROM answers LIMIT 1")
        raise DataError(
            f"no label belongs to a logged row: {key} is {known!r} in the labels, {seen!r} in the log",
            hint="--key names the column of the labels that holds the log's id, or an input that is text",
        )
    return {"labels": all_, "joined": joined, "rows": rows}


def _one(connection: DuckDBPyConnection, query: str) -> Any:
    found = connection.execute(query).fetchone()
    return None if found is None else found[0]


def qualities(bundle: Bundle, connection: DuckDBPyConnection) -> Iterator[tuple[int, Quality]]:
    """Period -> quality, one period in memory at a time."""
    import numpy as np

    task = bundle.manifest.task
    totals = connection.execute(
        "SELECT period, count(*) FROM answers JOIN labels USING (key) GROUP BY period ORDER BY period"
    ).fetchall()
    for period, total in totals:
        table = connection.sql(
            "SELECT truth, answer FROM answers JOIN labels USING (key) WHERE period = ? "
            "ORDER BY hash(key), key LIMIT ?",
            params=[period, MOST_JUDGED],
        ).to_arrow_table()
        truth = table.column("truth").to_numpy()
        wide = table.column("answer").combine_chunks().flatten().to_numpy().reshape(len(truth), -1)
        answer = wide if task.is_classification else wide[:, 0]
        yield period, _quality(bundle, np.asarray(truth), answer, total)


def _quality(bundle: Bundle, truth: np.ndarray, answer: np.ndarray, rows: int) -> Quality:
    """All metrics of `dml evaluate`, with 95 % intervals."""
    import numpy as np

    task = bundle.manifest.task
    threshold = 0.5 if bundle.manifest.threshold is None else bundle.manifest.threshold
    known = truth.astype(np.int64) if task.is_classification else truth
    names = list(default_metrics(task))
    values = {name: score(name, task, known, answer, threshold=threshold) for name in names}
    bounds = intervals(names, task, known, answer, threshold=threshold)
    return Quality(
        rows,
        {name: value if math.isfinite(value) else None for name, value in values.items()},
        {
            name: [low, high]
            for name, (low, high) in bounds.items()
            if math.isfinite(low) and math.isfinite(high)
        },
    )
