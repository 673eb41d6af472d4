"""Whether the data has what a spec names: columns, and files that can be read."""

from __future__ import annotations

import re
from collections.abc import Iterator

from declarative_ml.core.errors import DataError, DmlError, Problem
from declarative_ml.sources.base import Source
from declarative_ml.spec.contract import Checks, TableChecks
from declarative_ml.spec.deploy_faults import is_elsewhere
from declarative_ml.spec.document import ColumnSplit, FilesSplit, GroupSplit, Spec, TimeSplit
from declarative_ml.spec.first_rows import doubts
from declarative_ml.spec.gate_faults import absent_champion, gate_columns
from declarative_ml.spec.positions import Path, Positions
from declarative_ml.spec.problem_report import Report, near_column
from declarative_ml.spec.served import absent_bundles, canary_columns
from declarative_ml.spec.tested import answer_files, columns_of_tests
from declarative_ml.spec.watched import columns_of_monitor


def check_data(spec: Spec, positions: Positions, *, remote: bool = False) -> list[Problem]:
    """Columns that the spec names and the data lacks; reads headers, and a few rows of delimited text.

    Behind `data.sql` only names are reported, as warnings, that neither the sources nor the query's
    text know. What the first rows have against the spec is a warning as well. Raises DataError for
    unreadable data. Databases are asked only with `remote`; without it, nothing is said of a table that
    comes from one; nor of files that lie on a volume of the pods.
    """
    report = Report(positions)
    tables = [spec.data.source, *spec.data.sources.values(), *_parts(spec).values()]
    if not remote and any(source is not None and source.remote for source in tables):
        return []
    if is_elsewhere(spec):
        return []
    main: list[tuple[Path, Source]] = [
        (("data", "sources", name), source) for name, source in spec.data.sources.items()
    ]
    if spec.data.source is not None:
        main = [(("data", "source"), spec.data.source)]
    headers = [_columns(source, path) for path, source in main]
    columns = list(dict.fromkeys(name for header in headers for name in header))
    problems = _checked_columns(spec, headers, report)
    if spec.data.sql is not None:
        return problems + _unknown_to_sql(spec, columns, spec.data.sql, report) + _answer_files(spec, report)
    problems += [report.column(path, name, columns) for path, name in _named(spec) if name not in columns]
    if not problems:
        problems = _no_features(spec, columns, report)
        problems += [report.doubt(doubt) for doubt in doubts(spec)]
    absent = [*absent_champion(spec), *absent_bundles(spec)]
    problems += [report.value("DML202", each.path, each.message, each.hint) for each in absent]
    return problems + _other_files(spec, report) + _answer_files(spec, report)


def _checked_columns(spec: Spec, headers: list[list[str]], report: Report) -> list[Problem]:
    """Columns that the contract names and their source lacks."""
    contract = spec.data.checks or Checks()
    tables: dict[Path, tuple[TableChecks, list[str]]] = {("data", "checks"): (contract, headers[0])}
    if spec.data.sources:
        known = dict(zip(spec.data.sources, headers))
        tables = {
            ("data", "checks", "sources", name): (checks, known[name])
            for name, checks in contract.sources.items()
            if name in known
        }
    return [
        report.column((*path, "columns", name), name, columns)
        for path, (checks, columns) in tables.items()
        for name in checks.columns
        if name not in columns
    ]


class _UnreadableSource(DataError):
    """Data that cannot be read, and the place of the spec that names it."""

    def __init__(self, error: DataError, path: Path, hint: str | None) -> None:
        super().__init__(error.message, hint=hint)
        self.path = path


def _columns(source: Source, path: Path) -> list[str]:
    try:
        return source.columns()
    except DataError as error:
        raise _UnreadableSource(error, path, _hint_of_path(source) or error.hint) from error


def _hint_of_path(source: Source) -> str | None:
    """Why a path that is not there may be no path at all."""
    path = str(getattr(source, "path", ""))
    if re.search(r"\b(https?|s3|gs|gcs|az|abfss?):/", path):
        return "a file on the web or in a store is of type: remote"
    if re.search(r"\b(postgresql|mysql|sqlite|duckdb):/", path):
        return "a table in a database is of type: sql"
    if re.search(r"\b(ftp|hdfs|dbfs):/", path):
        return "only files of this machine can be read: download it first"
    variable = re.search(r"\$\{?(\w+)|%(\w+)%", path)
    if variable:
        return f"a variable of the environment is written ${{env:{variable[1] or variable[2]}}}"
    return None


def special_columns(spec: Spec) -> Iterator[tuple[Path, str]]:
    """Columns with a role of their own that neither the target nor a feature can have."""
    if spec.weight is not None:
        yield ("weight",), spec.weight
    if spec.data.key is not None:
        yield ("data", "key"), spec.data.key
    if isinstance(spec.data.split, TimeSplit | GroupSplit | ColumnSplit):
        yield ("data", "split", "column"), spec.data.split.column


def _named(spec: Spec) -> Iterator[tuple[Path, str]]:
    """Every column that the spec names, with the place where it does."""
    yield ("target", "column"), spec.target.column
    yield from special_columns(spec)
    stratify = getattr(spec.data.split, "stratify", None)
    if isinstance(stratify, str):
        yield ("data", "split", "stratify"), stratify
    if spec.features != "auto":
        for name in spec.features:
            yield ("features", name), name
    for number, name in enumerate(spec.exclude):
        yield ("exclude", number), name
    for number, item in enumerate(spec.evaluate.slices):
        for name in [item] if isinstance(item, str) else item:
            path: Path = ("evaluate", "slices", number)
            yield path if isinstance(item, str) else (*path, name), name
    yield from columns_of_tests(spec)
    yield from gate_columns(spec)
    yield from canary_columns(spec)
    yield from columns_of_monitor(spec)


def _unknown_to_sql(spec: Spec, columns: list[str], sql: str, report: Report) -> list[Problem]:
    words = sql.lower()
    found = []
    contract = spec.data.checks
    table = {} if contract is None or contract.table is None else contract.table.columns
    checked: list[tuple[Path, str]] = [(("data", "checks", "table", "columns", name), name) for name in table]
    for path, name in [*_named(spec), *checked]:
        if name not in columns and name.lower() not in words:
            message = f"neither the sources nor data.sql mention a column '{name}'"
            found.append(report.warning("DML201", path, message, near_column(name, columns)))
    return found


def _no_features(spec: Spec, columns: list[str], report: Report) -> list[Problem]:
    used = {spec.target.column, *spec.exclude, *(name for _, name in special_columns(spec))}
    if spec.features != "auto" or set(columns) - used:
        return []
    message = "the data has no column left to learn from"
    hint = f"columns: {', '.join(columns[:12])}"
    return [report.key("DML105", ("exclude",) if spec.exclude else ("data", "source"), message, hint)]


def _other_files(spec: Spec, report: Report) -> list[Problem]:
    """The separate test and validation files must hold the target and the named features."""
    needed = [spec.target.column, *(() if spec.features == "auto" else spec.features)]
    found = []
    for part, source in _parts(spec).items():
        path = ("data", "split", part)
        columns = _columns(source, path)
        found += [
            report.column(path, name, columns, f"the {part} data") for name in needed if name not in columns
        ]
    return found


def _answer_files(spec: Spec, report: Report) -> list[Problem]:
    """Files of expected answers must hold the target."""
    target = spec.target.column
    headers = {path: _columns(source, path) for path, source in answer_files(spec).items()}
    where = "the file of expected answers"
    return [
        report.column(path, target, columns, where)
        for path, columns in headers.items()
        if target not in columns
    ]


def _parts(spec: Spec) -> dict[str, Source]:
    """The sources of test and validation rows that are apart from the others."""
    split = spec.data.split
    if not isinstance(split, FilesSplit):
        return {}
    parts = {"test": split.test, "validation": split.validation}
    return {name: source for name, source in parts.items() if isinstance(source, Source)}


def unreadable(error: DmlError, positions: Positions) -> Problem:
    """Data that cannot be read, as a problem of the spec that names it."""
    path: Path = getattr(error, "path", ("data", "source"))
    place = (*path, "path") if (*path, "path") in positions.nodes else path
    return Report(positions).value("DML202", place, error.message, error.hint or "check the file")
