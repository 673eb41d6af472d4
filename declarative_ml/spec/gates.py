"""Gates: what a model has to reach before it is let out, and the champion that it has to stand up to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from declarative_ml.core.component import Section
from declarative_ml.core.duration import Latency
from declarative_ml.core.size import Size
from declarative_ml.learning.fairness_names import FAIRNESS
from declarative_ml.learning.metric_names import METRICS

if TYPE_CHECKING:
    MetricName = str
    FairnessName = str
else:
    MetricName = Literal[tuple(METRICS)]
    FairnessName = Literal[tuple(FAIRNESS)]

SliceOf = str | dict[str, str | int | float | bool]

KINDS = ("metric", "latency", "size", "fairness")
"""The keys that say what a gate looks at; a gate has one of them."""

_LIMITS = {"metric": ("min", "max", "beats"), "fairness": ("max_difference", "min_ratio")}
_OPTIONS = {
    "metric": frozenset(
        {"min", "max", "beats", "by", "slice", "rows", "part", "confidence", "sure"},
    ),
    "latency": frozenset[str](),
    "size": frozenset[str](),
    "fairness": frozenset(
        {"column", "class", "max_difference", "min_ratio", "rows", "part", "confidence", "sure"}
    ),
}


class Gate(Section):
    """One demand: on a metric, on speed or size, or on how equally groups are treated."""

    metric: MetricName | None = Field(default=None, description="What has to be good enough")
    min: float | None = Field(default=None, description="metric: the lowest value that passes")
    max: float | None = Field(default=None, description="metric: the highest value that passes")
    beats: Literal["champion"] | None = Field(
        default=None, description="metric: compared with the champion's on the same test rows, in pairs"
    )
    by: float | None = Field(
        default=None,
        description="beats: better by so much, in units of the metric, or with a minus worse by no more; "
        "0 when absent",
    )
    sure: bool | None = Field(
        default=None,
        description="true: passes only if the whole interval is on the good side; absent: a limit holds for "
        "the value itself, and `beats` fails only if the whole interval is on the bad side",
    )
    confidence: float | None = Field(
        default=None, ge=0.5, le=0.999, description="Of the gate's intervals; 0.95 when absent"
    )
    slice: SliceOf | None = Field(
        default=None,
        description="metric: a column, each of whose values has to pass, or {column: value, …}",
    )
    rows: int | None = Field(
        default=None, ge=2, description="Values and groups with fewer rows are not judged; 30 when absent"
    )
    part: Literal["test", "validation"] | None = Field(
        default=None, description="The rows that count; test when absent"
    )
    latency: Latency | None = Field(
        default=None, description="The longest time for one row, on model.onnx in one thread of this machine"
    )
    size: Size | None = Field(default=None, description="The largest size of model.onnx")
    fairness: FairnessName | None = Field(
        default=None, description="What is compared between the groups of a column"
    )
    column: str | None = Field(default=None, min_length=1, description="fairness: its values are the groups")
    favoured: str | int | float | bool | None = Field(
        default=None,
        alias="class",
        description="fairness: the class that is meant; two classes: the positive one when absent",
    )
    max_difference: float | None = Field(
        default=None, ge=0.0, description="fairness: between the highest and the lowest group"
    )
    min_ratio: float | None = Field(
        default=None, ge=0.0, le=1.0, description="fairness: of the lowest to the highest group"
    )

    @property
    def kind(self) -> str:
        """`metric`, `latency`, `size` or `fairness`."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def is_on_test(self) -> bool:
        """Whether it needs test rows."""
        return self.kind in ("metric", "fairness") and self.part != "validation"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it names."""
        if self.fairness is not None:
            return (str(self.column),)
        if self.slice is None:
            return ()
        return (self.slice,) if isinstance(self.slice, str) else tuple(self.slice)

    @model_validator(mode="after")
    def _one_demand(self) -> Gate:
        given = [
            field.alias or name
            for name, field in type(self).model_fields.items()
            if getattr(self, name) is not None
        ]
        kinds = [kind for kind in KINDS if kind in given]
        if len(kinds) != 1:
            raise ValueError("give either 'metric', 'latency', 'size' or 'fairness'")
        kind = kinds[0]
        for name in given:
            if name != kind and name not in _OPTIONS[kind]:
                raise ValueError(f"'{name}' is no option of a gate on {kind}")
        limits = [name for name in _LIMITS.get(kind, ()) if name in given]
        if kind in _LIMITS and not limits:
            wanted = " or ".join(f"'{name}'" for name in _LIMITS[kind])
            raise ValueError(f"a gate on {kind} needs a limit: {wanted}")
        self._check_metric(given)
        if kind == "fairness" and self.column is None:
            raise ValueError("a gate on fairness needs 'column'")
        return self

    def _check_metric(self, given: list[str]) -> None:
        if self.beats is None and self.by is not None:
            raise ValueError("'by' goes with 'beats: champion'")
        if self.beats is not None and (self.min is not None or self.max is not None):
            raise ValueError("a limit and the champion are two gates: move 'beats' into one of its own")
        if self.beats is not None and self.part == "validation":
            raise ValueError(
                "the champion is compared on test rows: it may have learned from the validation rows"
            )
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}: nothing passes")
        if isinstance(self.slice, dict) and not self.slice:
            raise ValueError("'slice' names no column")
        if "rows" in given and self.metric is not None and self.slice is None:
            raise ValueError("'rows' goes with 'slice'")


class Champion(Section):
    """The model that a new one has to stand up to."""

    path: str | None = Field(
        default=None, min_length=1, description="A bundle: its folder or .zip, relative to the spec"
    )
    registry: str | None = Field(default=None, min_length=1, description="Its name in the model registry")
    alias: str | None = Field(
        default=None, min_length=1, description="registry: which version; champion when absent"
    )

    @model_validator(mode="after")
    def _one_place(self) -> Champion:
        if (self.path is None) == (self.registry is None):
            raise ValueError("give either 'path' or 'registry'")
        if self.path is not None and self.alias is not None:
            raise ValueError("'alias' goes with 'registry'")
        return self
