"""What came out of holding rows against a data contract: a finding for each check."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from declarative_ml.core.component import Section
from declarative_ml.core.errors import DataError
from declarative_ml.spec.contract import Severity

_TOLD = 3
"""Findings that an error names; the rest is counted."""


class Example(Section):
    """One row that breaks a check."""

    row: int = Field(description="Its number among the rows read, from 1")
    part: str = Field(default="", description="Which file it is of, where the split has several")
    value: str | None = Field(default=None, description="The value, where the check is about one column")

    @property
    def words(self) -> str:
        """The row, and its value."""
        shown = "" if self.value is None else f": {_shortened(self.value)}"
        return f"row {self.row:,}{self.part}{shown}"


class Finding(Section):
    """How one check came out."""

    check: str = Field(description="The check as it stands in the spec, such as columns.tenure.max")
    column: str | None = Field(default=None, description="The column that it is about")
    asked: str = Field(description="What is asked, in words")
    severity: Severity = Field(default="error", description="Whether it stops the run")
    passed: bool = Field(description="Whether the rows hold it")
    found: str = Field(default="", description="What there is instead, in words")
    broken: int = Field(default=0, description="Rows that break it")
    examples: tuple[Example, ...] = Field(default=(), description="The first of these rows")

    @property
    def sentence(self) -> str:
        """The finding as one sentence, with the first broken rows."""
        shown = ", ".join(item.words for item in self.examples[:3])
        return f"{self.check}: {self.found}" + (f" ({shown})" if shown else "")


@dataclass(frozen=True)
class ContractReport:
    """All findings of one table."""

    rows: int
    findings: tuple[Finding, ...]

    @property
    def violations(self) -> tuple[Finding, ...]:
        """What stops the run."""
        return tuple(item for item in self.findings if not item.passed and item.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What is broken and lets the run go on."""
        return tuple(item for item in self.findings if not item.passed and item.severity == "warn")

    def with_findings(self, more: Iterable[Finding]) -> ContractReport:
        """The report with further findings."""
        return ContractReport(self.rows, (*self.findings, *more))

    def of(self, part: str) -> ContractReport:
        """The report with the part of the contract in front of each check: `sources.orders`, or none."""
        if not part:
            return self
        named = (item.model_copy(update={"check": f"{part}.{item.check}"}) for item in self.findings)
        return ContractReport(self.rows, tuple(named))

    def as_dict(self) -> dict[str, Any]:
        """The object of checks.json."""
        return {"rows": self.rows, "checks": [item.model_dump(mode="json") for item in self.findings]}


class ContractViolated(DataError):
    """The rows are not what the contract says."""

    def __init__(self, report: ContractReport) -> None:
        violations = report.violations
        told = "; ".join(item.sentence for item in violations[:_TOLD])
        more = len(violations) - _TOLD
        super().__init__(
            f"the data breaks its contract: {told}" + (f"; and {more} more" if more > 0 else ""),
            hint="`dml check` lists every check with the rows that break it; "
            "repair the data, or change data.checks",
        )
        self.report = report


def _shortened(value: str) -> str:
    return repr(value if len(value) <= 40 else f"{value[:39]}…")
