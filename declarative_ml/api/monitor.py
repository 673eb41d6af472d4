"""What became of a model in service: drift of its log by periods, and quality where labels came later."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from declarative_ml.api.late_labels import ID, join_labels, keep_answers, open_database, qualities
from declarative_ml.api.logged import Logged, open_log
from declarative_ml.api.model import open_model
from declarative_ml.core.duration import seconds_of
from declarative_ml.core.errors import DataError, GateFailed, UsageError
from declarative_ml.learning.drift_windows import judge
from declarative_ml.learning.metric_names import default_metric
from declarative_ml.report.monitored import Monitored, Period, Quality
from declarative_ml.spec.load import load_spec
from declarative_ml.spec.monitor import LEAST_ROWS, Monitor
from declarative_ml.store.bundle import Bundle, is_bundle

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from declarative_ml.learning.drift_counts import WindowCounts

MOST_PERIODS = 10_000


def monitor(
    model: str,
    log: str | None = None,
    *,
    labels: str | None = None,
    key: str = ID,
    every: str = "1d",
    profile: str | None = None,
    overrides: Sequence[str] = (),
    store: str | None = None,
) -> Monitored:
    """Read the prediction log of a bundle, or of a spec's latest good run, period by period.

    `log`: a folder, a file or a pattern; of a spec, `monitor.log` by default. `labels`: a file with the
    target and the column `key`, which is the log's `id`, or an input of the model that is text. `every`: the
    length of a period, such as 1d or 6h; they begin at midnight UTC.

    Raises UsageError without a log; DataError for files that do not fit.
    """
    bundle = open_model(model, profile=profile, overrides=overrides, store=store)
    options = _options(model, profile, overrides)
    if log is None:
        if options.log is None:
            raise UsageError(f"{model} names no prediction log", hint="say where it is: --log FOLDER")
        log = options.log.path
    seconds = _period_seconds(every)
    logged = open_log(log, bundle.manifest)
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(open_database(Path(folder), bundle.manifest.task)) as connection,
    ):
        counted = _read(bundle, logged, options, seconds, key, connection if labels is not None else None)
        joined = None
        quality: dict[int, Quality] = {}
        if labels is not None:
            joined = join_labels(bundle, connection, labels, key)
            quality = dict(qualities(bundle, connection))
    if not counted:
        raise DataError(
            f"{log} has no rows of this model, {logged.other_rows:,} of others",
            hint=f"the model is {bundle.manifest.name} {bundle.manifest.model_digest[:12]}",
        )
    return Monitored(
        name=bundle.manifest.name,
        digest=bundle.manifest.model_digest,
        task=bundle.manifest.task,
        alert=options.drift.alert,
        every=every,
        periods=_periods(bundle, counted, quality, seconds, options.drift.alert),
        **_tested(bundle),
        log={
            "files": len(logged.files),
            "rows": logged.rows,
            "other_rows": logged.other_rows,
            "broken_lines": logged.broken_lines,
        },
        labels=joined,
    )


def _periods(
    bundle: Bundle,
    counted: Mapping[int, Mapping[str, Any]],
    quality: Mapping[int, Quality],
    seconds: int,
    alert: float,
) -> list[Period]:
    """The periods in order, each with its drift and, where labels came, its quality."""
    reference = bundle.reference()
    return [
        Period(
            datetime.fromtimestamp(number * seconds, UTC),
            datetime.fromtimestamp((number + 1) * seconds, UTC),
            judge(reference, counts, least=LEAST_ROWS, alert=alert),
            quality.get(number),
        )
        for number, counts in sorted(counted.items())
    ]


def alarm_of(found: Monitored) -> GateFailed | None:
    """The error for a model that drifts or fails in its last period."""
    said = []
    if (drifting := found.drifting) is not None:
        moved = ", ".join(f"{item.column} ({item.reasons[0]})" for item in drifting.drift.moved[:5])
        said.append(f"from {drifting.began:%Y-%m-%d %H:%M} on {moved} moved")
    if (failing := found.failing) is not None and failing.quality is not None:
        value = failing.quality.metrics[found.primary]
        tested = found.tested.metrics.get(found.primary)
        live = f"{found.primary} is {value:.4g}, on the test rows {tested:.4g}"
        said.append(f"from {failing.began:%Y-%m-%d %H:%M} on {live}")
    return GateFailed("; ".join(said)) if said else None


def _options(model: str, profile: str | None, overrides: Sequence[str]) -> Monitor:
    if Path(model).is_dir() or is_bundle(model):
        return Monitor()
    return load_spec(Path(model), profile=profile, overrides=overrides).spec.monitor


def _period_seconds(text: str) -> int:
    days, _, rest = text.partition("d") if "d" in text else ("0", "", text)
    try:
        seconds = 86_400 * int(days) + (seconds_of(rest) if rest else 0)
    except ValueError:
        seconds = 0
    if seconds < 1:
        raise UsageError(f"'{text}' is no span of time", hint="write --every 1d, 12h or 30m")
    return seconds


def _read(
    bundle: Bundle,
    logged: Logged,
    options: Monitor,
    seconds: int,
    key: str,
    connection: DuckDBPyConnection | None,
) -> dict[int, dict[str, Any]]:
    """Period -> counts. With a connection, its table `answers` gets the key and the answer of each row."""
    import numpy as np

    from declarative_ml.learning.drift_counts import WindowCounts

    reference = bundle.reference()
    periods: dict[int, WindowCounts] = {}
    redacted: set[str] = set()
    for table in logged.batches():
        redacted |= _redacted(table)
        times = table.column("time").cast("int64").to_numpy() // (1_000 * seconds)
        columns, cells, answers = _columns(bundle, table)
        for number in np.unique(times).tolist():
            chosen = times == number
            if number not in periods and len(periods) == MOST_PERIODS:
                raise UsageError(
                    f"the log spans more than {MOST_PERIODS:,} periods", hint="give a longer --every"
                )
            counts = periods.setdefault(number, WindowCounts(reference, options.drift.columns))
            counts.update(
                {name: values[chosen] for name, values in columns.items()},
                {name: values[chosen] for name, values in cells.items()},
            )
        if connection is not None:
            keep_answers(connection, table, times, answers, key)
    return {number: _without(counts.as_dict(), redacted) for number, counts in periods.items()}


def _without(counted: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """The counts without columns of which nothing is written down."""
    kept = {name: entry for name, entry in counted["columns"].items() if name not in names}
    return {**counted, "columns": kept}


def _redacted(table: pa.Table) -> set[str]:
    import pyarrow.compute as pc

    return set(pc.unique(pc.list_flatten(table.column("redacted"))).to_pylist())


def _columns(
    bundle: Bundle, table: pa.Table
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]:
    """Raw columns as the graph takes them, answers as drift counts them, and as metrics take them [N, C]."""
    import numpy as np
    import pyarrow.compute as pc

    def struct(name: str, field: str) -> pa.Array:
        return pc.struct_field(table.column(name), [field])

    columns = {}
    for column in bundle.manifest.inputs:
        values = struct("inputs", column.name)
        if column.dtype == "string":
            columns[column.name] = values.fill_null("").to_numpy(zero_copy_only=False).astype(object)
        else:
            columns[column.name] = values.fill_null(float("nan")).to_numpy()
    task = bundle.manifest.task
    prediction = table.column("prediction").to_numpy()
    if not task.is_classification:
        return columns, {"prediction": prediction}, prediction.astype(np.float64).reshape(-1, 1)
    wide = np.stack([struct("probabilities", name).to_numpy() for name in task.classes], axis=1)
    shown = wide[:, 1] if task.type == "binary" else wide.max(axis=1)
    cells = {"prediction": prediction.astype(object), "probability": shown}
    return columns, cells, wide.astype(np.float64)


def _tested(bundle: Bundle) -> Mapping[str, Any]:
    """The primary metric, and what the run measured on its test rows."""
    manifest = bundle.manifest
    found: dict[str, Any] = {}
    if "metrics.json" in manifest.files:
        found = json.loads(bundle.read("metrics.json"))
    part = "test" if manifest.metrics.get("test") else "validation"
    rows = found.get("rows", {})
    return {
        "primary": found.get("primary") or default_metric(manifest.task),
        "tested": Quality(
            int(rows.get(part, 0)) if isinstance(rows, dict) else 0,
            dict(manifest.metrics.get(part, {})),
            found.get("intervals", {}).get(part, {}),
        ),
    }
