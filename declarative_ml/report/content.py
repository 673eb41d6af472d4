"""What a report page is made from: plain values, so that any step can fill it and any test can make it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from declarative_ml.learning.task import Task

if TYPE_CHECKING:
    import numpy as np

    from declarative_ml.behaviour.base import Outcome
    from declarative_ml.learning.contrasts import Contrast
    from declarative_ml.learning.drift import Drift
    from declarative_ml.learning.relations import Relations
    from declarative_ml.learning.statistics import ColumnProfile
    from declarative_ml.learning.suspicions import Suspicion

Scores = Mapping[str, float]
"""Metric name (see learning.metrics.METRICS) -> value. NaN means undefined and shows as a dash."""


@dataclass(frozen=True)
class SliceResult:
    """How the model does on a part of the test rows. `interval` belongs to the primary metric."""

    slice: str
    """What the rows have in common, for example "sex = Female"."""
    rows: int
    metrics: Scores
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class IntervalGroup:
    """Rows whose prediction intervals are about equally wide."""

    rows: int
    width: float
    """Mean of them."""
    coverage: float
    """Share of the rows whose value lies inside."""


@dataclass(frozen=True)
class IntervalResult:
    """How prediction intervals do on the test rows."""

    level: float
    """The share of rows that they are to cover."""
    rows: int
    coverage: Sequence[float]
    """The share that they cover, and its 95 % interval: value, low, high."""
    width: Sequence[float]
    """Mean width, and its 95 % interval: value, low, high."""
    below: float
    """Share of rows whose value is below the lower end."""
    above: float
    groups: Sequence[IntervalGroup] = ()
    """Fifths of the rows, from narrow to wide."""


@dataclass(frozen=True)
class StepResult:
    """One step of the plan and what became of it."""

    id: str
    title: str
    status: str
    """`run`, `cached`, `skipped` or `failed`; anything else is drawn without a colour."""
    seconds: float = 0.0
    needs: Sequence[str] = ()
    """Ids of the steps that it takes its inputs from."""
    peak_bytes: int = 0
    """The most memory of the run meanwhile; 0: not measured."""
    expected: tuple[float, int] | None = None
    """Seconds and bytes that the plan estimated."""


@dataclass(frozen=True)
class MemberResult:
    """One candidate: a fitted model of the blend (or the only one), or one that was left out of it."""

    name: str
    weight: float
    seconds: float | None = None
    loss: float | None = None
    """Its own validation loss."""
    score: float | None = None
    """The primary metric on the rows that its folds held out."""
    interval: Sequence[float] | None = None
    size: int | None = None
    """Bytes of the graph of this candidate alone."""
    latency: float | None = None
    """Seconds to score one row with it."""
    reason: str = ""
    """Why it is left out, if it is."""


@dataclass(frozen=True)
class TrialResult:
    """One set of options that was tried, or was to be."""

    number: int
    score: float | None = None
    """On the held-out rows; None when it was left out."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What differs from the given options."""
    whole: bool = True
    """Whether all folds were fitted; the score is that of the first one otherwise."""
    reason: str = ""
    """Why it was left out, if it was."""


@dataclass(frozen=True)
class TuningResult:
    """The search for the options of one model."""

    name: str
    metric: str
    trials: Sequence[TrialResult]
    """In their order; the first is the model as the spec gives it."""
    best: int | None
    """The number of the trial with the chosen options."""
    leader: int | None = None
    """The number of the trial with the best score; chosen only if it is clearly better than the first."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """The options that were searched, with their values without tuning; None where only a fit tells."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The chosen ones that differ."""
    importance: Mapping[str, float] = field(default_factory=dict)
    """How much each option tells good trials from the others, in shares."""


@dataclass(frozen=True)
class GatePart:
    """A slice that a gate judges, or a group that it compares with others."""

    name: str
    """What the rows have in common, for example "Contract = One year"; "" for all rows."""
    rows: int
    observed: float | None = None
    """As for the gate; of a group its rate or mean."""
    interval: tuple[float, float] | None = None
    candidate: float | None = None
    """With a champion: the metric of the new model."""
    champion: float | None = None
    passed: bool | None = None
    """None: not judged."""
    reason: str = ""


@dataclass(frozen=True)
class GateResult:
    """How a model did at one gate."""

    name: str
    kind: str
    """`metric`, `beats`, `latency`, `size` or `fairness`."""
    asks: str
    """In words."""
    passed: bool
    reason: str
    """In a sentence, with the numbers."""
    unit: str
    """The metric or measure, `microseconds` or `bytes`."""
    observed: float | None = None
    """The value, with a champion the gain on it (above 0: better), of groups their difference or ratio."""
    limit: float | None = None
    bound: str = "min"
    """Whether the limit is the lowest (`min`) or the highest (`max`) value that passes."""
    interval: tuple[float, float] | None = None
    candidate: float | None = None
    champion: float | None = None
    part: str | None = None
    """`test` or `validation`."""
    slice: str | None = None
    """Of several slices the worst, whose numbers the gate has."""
    rows: int | None = None
    parts: Sequence[GatePart] = ()
    """All slices, or all groups."""


@dataclass(frozen=True)
class ConversionResult:
    """One format that the model was converted to, or was to be."""

    name: str
    status: str
    """`ok`, or why not in a word: `unproven`, `refused`, `differs`, `failed`."""
    reason: str = ""
    rows: int | None = None
    """Compared with model.onnx, with the made-up ones."""
    largest: float | None = None
    """Difference of a probability, or of a number in units of the predictions."""
    mean: float | None = None
    tolerance: float | None = None
    disagreements: int | None = None
    """Rows whose label differs."""
    latency: float | None = None
    """Seconds for one row in the format's own runtime."""
    size: int | None = None
    """Bytes."""


@dataclass(frozen=True)
class SegmentResult:
    """A part of the test rows, found by search, where the model is clearly worse than on the others."""

    segment: str
    """What the rows have in common, for example "Contract = One year and tenure < 12"."""
    rows: int
    share: float
    """Of the rows searched."""
    bad_rows: int
    """Of its rows, those that are among the worst fifth of all."""
    loss: Mapping[str, float]
    """Mean loss `inside` and `outside`."""
    excess: Sequence[float]
    """The difference, and an interval of it that is corrected for the search: value, low, high."""
    effect: float
    """The difference in standard deviations of the loss."""
    p: float
    """Corrected for the search."""
    metrics: Mapping[str, float | None]
    outside: Mapping[str, float | None]
    """Of the other rows."""
    interval: Mapping[str, Sequence[float]]
    """Metric -> (low, high), the 95 % interval in the segment."""
    answers: Mapping[str, Any]
    """`said` and `so`: the mean prediction and truth (binary: of the positive class; multiclass: the
    confidence and the share of right answers); for classes also `wrong` rows, and `surprise`."""
    contrasts: Sequence[Contrast] = ()
    """Columns in which its badly predicted rows differ from all that are predicted well."""
    examples: Sequence[Mapping[str, Any]] = ()
    """Its worst rows: `row`, `values` (pairs of column and text), `truth`, `prediction`, `champion`,
    `loss`."""
    champion: Mapping[str, Any] | None = None
    """`loss` and `metrics` of the champion on the same rows."""


@dataclass(frozen=True)
class FailureResult:
    """Where the model fails."""

    rows: int
    """Test rows that were searched."""
    of: int
    """All test rows."""
    columns: int
    compared: int
    """Segments that the search corrects for."""
    least_rows: int
    """Smaller segments were not looked at."""
    loss: float
    """Mean of all rows searched."""
    segments: Sequence[SegmentResult] = ()
    """The worst first."""
    contrasts: Sequence[Contrast] = ()
    """Columns in which the worst fifth of the rows differs from the others."""
    bad_rows: int = 0
    champion_loss: float | None = None
    """The champion's, where there is one."""
    worse: Sequence[SegmentResult] = ()
    """Segments where the model is worse than the champion."""


@dataclass(frozen=True)
class CheckResult:
    """How the data did at one check of its contract."""

    check: str
    asked: str
    severity: str
    passed: bool
    found: str
    """What there is instead, in words."""
    examples: Sequence[str] = ()
    """The first rows that break it, in words."""


@dataclass(frozen=True)
class ReportContent:
    """Everything that `render_report` shows. Whatever is empty is left out of the page."""

    name: str
    task: Task
    primary: str
    """The primary metric."""
    metrics: Mapping[str, Scores]
    """Part ("test", "validation") -> scores of the shipped model. Order is the order of the page."""
    description: str = ""
    owner: str = ""
    run_id: str = ""
    created: str = ""
    """When, as text to show."""
    rows: Mapping[str, int] = field(default_factory=dict)
    """Part ("train", "validation", "test") -> number of rows."""
    intervals: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    """Part -> metric -> (low, high), the 95 % interval."""
    baselines: Mapping[str, Mapping[str, Scores]] = field(default_factory=dict)
    """Part -> baseline ("linear", "majority") -> scores."""
    truth: np.ndarray | None = None
    """Test rows: class numbers [N] int64, or values [N] float64."""
    prediction: np.ndarray | None = None
    """Test rows: probabilities [N, classes] (binary has two columns), or values [N]."""
    weight: np.ndarray | None = None
    """Test rows: row weights [N], where the spec names them."""
    threshold: float = 0.5
    """binary: the probability of the positive class from which the answer is the positive class."""
    curves: Mapping[str, Sequence[Mapping[str, float]]] = field(default_factory=dict)
    """Step id -> learning curve: dicts with "step" and, where known, "train" and "validation" (losses)."""
    slices: Sequence[SliceResult] = ()
    interval: IntervalResult | None = None
    """Test rows: number targets with `evaluate.interval`."""
    tests: Sequence[Outcome] = ()
    """The behavioural tests of the spec."""
    checks: Sequence[CheckResult] = ()
    """The data contract of the spec."""
    shap_plots: Mapping[str, bytes] = field(default_factory=dict)
    """Title -> PNG."""
    failures: FailureResult | None = None
    drift: Drift | None = None
    """The training rows against the champion's."""
    importance: Sequence[tuple[str, float]] = ()
    """(feature, mean absolute SHAP value), in any order."""
    profile: Sequence[ColumnProfile] = ()
    relations: Relations | None = None
    suspicions: Sequence[Suspicion] = ()
    """What to look at before the model is believed, the gravest first."""
    features: Mapping[str, str] = field(default_factory=dict)
    """Column -> feature type."""
    dropped: Mapping[str, str] = field(default_factory=dict)
    """Column -> why the model does not see it."""
    notes: Sequence[str] = ()
    steps: Sequence[StepResult] = ()
    members: Sequence[MemberResult] = ()
    blend_loss: float | None = None
    """The validation loss of the members together, where there are several candidates."""
    tunings: Sequence[TuningResult] = ()
    gates: Sequence[GateResult] = ()
    champion: str = ""
    """What the model was compared with, in words."""
    conversions: Sequence[ConversionResult] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)
    """Label -> text: digests, library versions, seeds."""
    commands: Mapping[str, str] = field(default_factory=dict)
    """What to do next: label ("Predict") -> command line."""
