"""Hold the rows of the source against the data contract: nothing is learned from rows that break it.

checks.json     {"rows", "checks": [Finding]}, in the order of the contract
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from declarative_ml.core.atomic import write_json
from declarative_ml.core.errors import DataError
from declarative_ml.report.content import CheckResult
from declarative_ml.spec.contract import Checks, span_of
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.contract import ROW, Check, checks_of, moment_of
from declarative_ml.steps.finding import ContractReport, ContractViolated, Example, Finding
from declarative_ml.steps.last_rows import ROWS, compare_rows, profile_rows
from declarative_ml.steps.sql_tree import unrepeatable
from declarative_ml.steps.table import open_table, read_schema

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from declarative_ml.core.schema import TableSchema

CHECKS = "checks.json"
MOST_SHOWN = 5
"""Broken rows that a finding shows."""
_PARTS = ("", " of the validation file", " of the test file")


def run(context: StepContext) -> None:
    """Write checks.json, and rows.json where the next run will compare with these rows. Raises
    ContractViolated for rows that break a check of severity `error`."""
    contract = Checks.model_validate(context.params["checks"])
    folder = context.inputs["table"]
    report = hold(contract, folder, context.threads, now=_now(contract, context))
    if contract.compares:
        rows = profile_rows(contract, folder)
        write_json(context.out / ROWS, rows)
        report = report.with_findings(compare_rows(contract, rows, context.step.outside.get("last")))
    report = report.of(context.params.get("part", ""))
    write_json(context.out / CHECKS, report.as_dict())
    if report.violations:
        raise ContractViolated(report)
    said = f"{len(report.findings)} checks hold" if not report.warnings else _warned(report)
    context.progress(1.0, said)


def is_check(step: str) -> bool:
    """Whether a step, by its id, is one of these."""
    return step.partition(".")[0] == "check"


def _now(contract: Checks, context: StepContext) -> datetime:
    """The moment (UTC) that ages count back from: a run that is made again takes that of the first."""
    if contract.as_of is not None:
        return datetime.fromisoformat(contract.as_of)
    said = context.pinned.get("now") or datetime.now(UTC).replace(tzinfo=None, microsecond=0).isoformat()
    if contract.asks_clock:
        context.pin({"now": said})
    return datetime.fromisoformat(said)


def check_results(context: StepContext) -> list[CheckResult]:
    """For the report: how the data did at its contract; nothing where there is none."""
    steps = [name for name in context.inputs if is_check(name)]
    findings = [
        Finding.model_validate(item) for name in steps for item in context.read(name, CHECKS)["checks"]
    ]
    return [
        CheckResult(
            check=item.check,
            asked=item.asked,
            severity=item.severity,
            passed=item.passed,
            found=item.found,
            examples=[example.words for example in item.examples],
        )
        for item in findings
    ]


def _warned(report: ContractReport) -> str:
    return f"{len(report.warnings)} of {len(report.findings)} checks are broken"


def hold(contract: Checks, folder: Path, threads: int = 1, *, now: datetime | None = None) -> ContractReport:
    """Hold the rows of the table artifact in `folder` against the contract; ages count back from `now` (UTC).

    Raises DataError for a rule that does not run, or that gives another answer each time.
    """
    schema = read_schema(folder)
    with open_table(folder, mapped=True) as reader:
        table = reader.read_all()  # memory-mapped: nothing is copied
        _require_repeatable(contract, table)
        checks = list(checks_of(contract, schema))
        query = _Query(table, threads)
        counts = query.counts(checks)
        part = _part_of(folder)
        findings = [
            *_row_counts(contract, table.num_rows),
            *_strangers(contract, table.schema.names),
            *(
                _finding(check, count, table.num_rows, query, part)
                for check, count in zip(checks, counts, strict=True)
            ),
            *_ages(contract, schema, query, now or datetime.now(UTC).replace(tzinfo=None)),
        ]
    return ContractReport(table.num_rows, tuple(findings))


def _require_repeatable(contract: Checks, table: pa.Table) -> None:
    for name, rule in contract.rules.items():
        why = unrepeatable(f"SELECT ({rule.holds}) FROM source", set(table.schema.names))
        if why is not None:
            raise DataError(
                f"the rule '{name}' gives another answer each time: it uses {why}",
                hint="compare with a constant or a column",
            )


def _row_counts(contract: Checks, rows: int) -> Iterator[Finding]:
    wanted = contract.rows
    for name, limit, fits, words in (
        ("min", wanted.min, wanted.min is None or rows >= wanted.min, "at least"),
        ("max", wanted.max, wanted.max is None or rows <= wanted.max, "at most"),
    ):
        if limit is not None:
            yield Finding(
                check=f"rows.{name}",
                asked=f"{words} {limit:,} rows",
                severity=wanted.severity,
                passed=fits,
                found=f"there are {rows:,}",
            )


def _strangers(contract: Checks, columns: Sequence[str]) -> Iterator[Finding]:
    """Columns that the contract names and the data lacks, and the other way round."""
    for name, check in contract.columns.items():
        if name not in columns:
            yield Finding(
                check=f"columns.{name}",
                column=name,
                asked="the column",
                severity=check.severity,
                passed=False,
                found="the data has no such column",
            )
    if contract.others != "allow":
        others = [name for name in columns if name not in contract.columns]
        yield Finding(
            check="others",
            asked="no other columns",
            severity="error" if contract.others == "refuse" else "warn",
            passed=not others,
            found=f"there are also {', '.join(others[:10])}" + (" …" if len(others) > 10 else ""),
        )


def _ages(contract: Checks, schema: TableSchema, query: _Query, now: datetime) -> Iterator[Finding]:
    """How old the newest date of each column is that `freshness` is asked of."""
    for name, check in contract.columns.items():
        if check.freshness is None or name not in schema.columns:
            continue
        newest = query.newest(moment_of(name, schema.columns[name]))
        stale = newest is None or now - newest > span_of(check.freshness)
        found = "there is no date" if newest is None else f"the newest is {newest.isoformat(' ', 'seconds')}"
        yield Finding(
            check=f"columns.{name}.freshness",
            column=name,
            asked=f"the newest at most {check.freshness} old",
            severity=check.severity,
            passed=not stale,
            found=f"{found}, and it is {now.isoformat(' ', 'minutes')} (UTC)" if stale and newest else found,
        )


def _finding(check: Check, broken: int, rows: int, query: _Query, part: np.ndarray | None) -> Finding:
    passed = broken <= check.allowed * rows
    noun = "row" if broken == 1 else "rows"
    share = f" ({100 * broken / rows:.2g} %)" if check.allowed else ""
    return Finding(
        check=check.name,
        column=check.column,
        asked=check.asked,
        severity=check.severity,
        passed=passed,
        found="" if passed else f"{broken:,} {noun}{share} break '{check.asked}'",
        broken=broken,
        examples=() if passed else tuple(_examples(check, query, part)),
    )


def _examples(check: Check, query: _Query, part: np.ndarray | None) -> Iterator[Example]:
    for position, value in query.first(check):
        if part is None:
            yield Example(row=position + 1, value=value)
        else:
            kind = int(part[position])
            number = int((part[:position] == kind).sum()) + 1
            yield Example(row=number, part=_PARTS[kind], value=value)


def _part_of(folder: Path) -> np.ndarray | None:
    """Which file each row came from, where the split has files of its own."""
    import numpy as np

    path = folder / "part.npy"
    return np.load(path) if path.exists() else None


class _Query:
    """Conditions over one table, asked of an embedded DuckDB that sees nothing else."""

    def __init__(self, table: pa.Table, threads: int) -> None:
        self._table = table
        self._threads = threads

    def counts(self, checks: Sequence[Check]) -> list[int]:
        """How many rows break each check: all in one pass, save those that need the rows' numbers."""
        found: dict[str, int] = {}
        simple = [check for check in checks if ROW not in check.broken]
        if simple:
            inner = ", ".join(f"({check.broken}) AS c{at}" for at, check in enumerate(simple))
            outer = ", ".join(f"count(*) FILTER (WHERE c{at})" for at in range(len(simple)))
            row = self._all(f"SELECT {outer} FROM (SELECT {inner} FROM source)", simple)[0]
            found |= {check.name: int(count) for check, count in zip(simple, row, strict=True)}
        for check in checks:
            if ROW in check.broken:
                sql = f"SELECT count(*) FILTER (WHERE c) FROM (SELECT ({check.broken}) AS c FROM source)"
                found[check.name] = int(self._all(sql, [check])[0][0])
        return [found[check.name] for check in checks]

    def newest(self, moment: str) -> datetime | None:
        """The greatest of the moments that the SQL expression gives."""
        newest: datetime | None = self._all(f"SELECT max({moment}) FROM source", [])[0][0]
        return newest

    def first(self, check: Check) -> list[tuple[int, str | None]]:
        """Position and value of the first rows that break the check."""
        shown = check.shown or "NULL"
        sql = (
            f'SELECT "{ROW}", v FROM (SELECT "{ROW}", {shown} AS v, ({check.broken}) AS c FROM source) '
            f'WHERE c ORDER BY "{ROW}" LIMIT {MOST_SHOWN}'
        )
        return [(int(row), value) for row, value in self._all(sql, [check], numbered=True)]

    def _all(self, sql: str, checks: Sequence[Check], *, numbered: bool = False) -> list[tuple[Any, ...]]:
        import duckdb

        config = {"threads": self._threads, "autoinstall_known_extensions": False}
        with duckdb.connect(":memory:", config=config) as connection:
            connection.execute("SET enable_external_access = false")
            needs_rows = numbered or any(ROW in check.broken for check in checks)
            connection.register("source", self._numbered() if needs_rows else self._table)
            connection.execute("SET lock_configuration = true")
            try:
                rows: list[tuple[Any, ...]] = connection.execute(sql).fetchall()
                return rows
            except duckdb.Error as error:
                names = ", ".join(check.name for check in checks if check.name.startswith("rules."))
                raise DataError(
                    f"a check does not run: {error}",
                    hint=f"look at {names}" if names else "look at data.checks",
                ) from error

    def _numbered(self) -> pa.Table:
        import numpy as np
        import pyarrow as pa

        return self._table.append_column(ROW, pa.array(np.arange(self._table.num_rows)))
