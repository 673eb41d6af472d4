"""What became of a model in service, by periods of time: the facts behind the page and the JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from declarative_ml.learning.drift_windows import Verdict
from declarative_ml.learning.metric_names import METRICS
from declarative_ml.learning.task import Task

Scores = Mapping[str, float | None]
Intervals = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Quality:
    """Answers of a period against labels that came later."""

    rows: int
    """Logged rows with a label."""
    metrics: Scores
    intervals: Intervals
    """Metric -> 95 % interval, where there is one."""


@dataclass(frozen=True)
class Period:
    """Rows of a span of time."""

    began: datetime
    ended: datetime
    drift: Verdict
    quality: Quality | None = None
    """None without labels."""


@dataclass(frozen=True)
class Monitored:
    """A model, its log, and what it says."""

    name: str
    digest: str
    task: Task
    alert: float
    every: str
    periods: Sequence[Period]
    """With rows, in the order of time."""
    primary: str
    """The metric that the alarm goes by."""
    tested: Quality
    """What the run measured on its test rows."""
    log: Mapping[str, int] = field(default_factory=dict)
    """Files and rows of the log, and what was left out."""
    labels: Mapping[str, int] | None = None
    """Labels, and how many of them have a logged row; None without labels."""

    @property
    def drifting(self) -> Period | None:
        """The last period with a verdict, if columns or answers moved in it."""
        known = [period for period in self.periods if period.drift.is_reached]
        return known[-1] if known and known[-1].drift.moved else None

    @property
    def failing(self) -> Period | None:
        """The last period with labels, if the model is clearly worse in it than on its test rows."""
        known = [period for period in self.periods if self.measured(period) is not None]
        return known[-1] if known and self.is_worse(known[-1]) else None

    def measured(self, period: Period) -> Sequence[float] | None:
        """The interval of the primary metric in a period; None where it has none."""
        return None if period.quality is None else period.quality.intervals.get(self.primary)

    def is_worse(self, period: Period) -> bool:
        """Whether the interval of the primary metric lies on the bad side of that on the test rows."""
        live, tested = self.measured(period), self.tested.intervals.get(self.primary)
        value = self.tested.metrics.get(self.primary)
        tested = tested or (None if value is None else [value, value])
        if live is None or tested is None:
            return False
        return live[1] < tested[0] if METRICS[self.primary].greater_is_better else live[0] > tested[1]

    def as_dict(self) -> dict[str, Any]:
        """The object that `dml monitor --format json` prints."""
        drifting, failing = self.drifting, self.failing
        return {
            "model": {"name": self.name, "digest": self.digest},
            "log": dict(self.log),
            "labels": None if self.labels is None else dict(self.labels),
            "every": self.every,
            "alert": self.alert,
            "primary": self.primary,
            "test": _quality(self.tested),
            "periods": [self._period(period) for period in self.periods],
            "alarm": {
                "drift": [item.column for item in drifting.drift.moved] if drifting else [],
                "quality": failing is not None,
            },
        }

    def _period(self, period: Period) -> dict[str, Any]:
        quality = None
        if period.quality is not None:
            quality = {**_quality(period.quality), "worse": self.is_worse(period)}
        return {
            "began": _iso(period.began),
            "ended": _iso(period.ended),
            **period.drift.as_dict(),
            "quality": quality,
        }


def _quality(found: Quality) -> dict[str, Any]:
    intervals = {name: list(bounds) for name, bounds in found.intervals.items()}
    return {"rows": found.rows, "metrics": dict(found.metrics), "intervals": intervals}


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
