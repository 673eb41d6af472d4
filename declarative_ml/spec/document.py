"""The spec as pydantic models: the one place where sections, defaults and their words are defined.

`load` turns shorthands into these full forms before validation, so each key has one type here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from declarative_ml.behaviour import BEHAVIOURS
from declarative_ml.behaviour.base import Behaviour
from declarative_ml.core.component import Section
from declarative_ml.core.duration import Duration, Latency, seconds_of
from declarative_ml.core.schema import DEFAULT_MISSING
from declarative_ml.core.size import Memory, Size, memory_bytes
from declarative_ml.features import FEATURES
from declarative_ml.features.base import Feature
from declarative_ml.formats import FORMATS
from declarative_ml.formats.base import Format
from declarative_ml.learning.space import Span
from declarative_ml.learning.task import TaskType
from declarative_ml.models import MODELS
from declarative_ml.models.base import Model
from declarative_ml.spec.any_source import AnySource
from declarative_ml.spec.contract import Checks
from declarative_ml.spec.deploy import Deploy
from declarative_ml.spec.format_version import version_fault
from declarative_ml.spec.gates import Champion, Gate, MetricName
from declarative_ml.spec.monitor import Monitor
from declarative_ml.spec.service import Serve

if TYPE_CHECKING:
    AnyFeature = Feature
    AnyMember = Model
    AnyFormat = Format
    AnyBehaviour = Behaviour
else:
    # The shelves' tables are the only lists of names, so these unions are made from them.
    AnyFeature = Annotated[Union[tuple(FEATURES.classes())], Field(discriminator="type")]  # noqa: UP007
    AnyMember = Annotated[Union[tuple(MODELS.classes())], Field(discriminator="type")]  # noqa: UP007
    AnyFormat = Annotated[Union[tuple(FORMATS.classes())], Field(discriminator="format")]  # noqa: UP007
    AnyBehaviour = Annotated[Union[tuple(BEHAVIOURS.classes())], Field(discriminator="type")]  # noqa: UP007


class Ensemble(Section):
    """Several models, averaged inside one graph."""

    type: Literal["ensemble"] = "ensemble"
    members: tuple[AnyMember, ...] = Field(min_length=2, description="The models to average")
    weights: Literal["equal", "optimized"] = Field(
        default="optimized",
        description="equal, or weights fitted on validation predictions and shrunk towards equal, without "
        "members that add next to nothing",
    )


class Auto(Section):
    """Several kinds of models, tried in turn and blended as far as each of them helps."""

    type: Literal["auto"] = "auto"
    quality: Literal["fast", "balanced", "best"] = Field(
        default="balanced", description="How many candidates are tried; with resources.time, as time allows"
    )
    max_latency: Latency | None = Field(
        default=None,
        description="To score one row in one thread on this machine: the blend has room for no more",
    )
    max_size: Size | None = Field(default=None, description="Of model.onnx: the blend has room for no more")

    @property
    def is_capped(self) -> bool:
        """Whether the model has to be quick or small."""
        return self.max_latency is not None or self.max_size is not None


if TYPE_CHECKING:
    AnyModel = Model | Ensemble | Auto
else:
    AnyModel = Annotated[Union[(Auto, *MODELS.classes(), Ensemble)], Field(discriminator="type")]

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]

VALIDATION = "Share held out to stop and calibrate; absent: chosen by size (folds below 50,000 rows)"
TEST = "Share of rows kept for the final evaluation; 0 is legal"
FOLDS = "Cross-validate with this many folds instead"


class RandomSplit(Section):
    """Rows at random: by a hash of their content and the seed, so that row order does not matter."""

    method: Literal["random"] = "random"
    stratify: str | bool = Field(
        default=True, description="Keep shares equal: of the target (true), of a column, or not (false)"
    )
    validation: Fraction | None = Field(default=None, description=VALIDATION)
    test: Fraction = Field(default=0.2, description=TEST)
    folds: int | None = Field(default=None, ge=2, le=20, description=FOLDS)


class HashSplit(Section):
    """By a hash of `data.key`: a row keeps its part when the data grows."""

    method: Literal["hash"] = "hash"
    validation: Fraction | None = Field(default=None, description=VALIDATION)
    test: Fraction = Field(default=0.2, description=TEST)
    folds: int | None = Field(default=None, ge=2, le=20, description=FOLDS)


class TimeSplit(Section):
    """By time: the newest rows are the test rows, those before them the validation rows."""

    method: Literal["time"] = "time"
    column: str = Field(description="Date or number column that orders the rows")
    validation: Fraction = Field(default=0.1, description="Share of rows, those before the test rows")
    test: Fraction = Field(default=0.2, description="Share of rows, the newest; 0 is legal")


class GroupSplit(Section):
    """Rows of one group stay together."""

    method: Literal["group"] = "group"
    column: str = Field(description="Column that names the group")
    validation: Fraction | None = Field(default=None, description=VALIDATION)
    test: Fraction = Field(default=0.2, description=TEST)
    folds: int | None = Field(default=None, ge=2, le=20, description=FOLDS)


class ColumnSplit(Section):
    """A column says which part each row belongs to."""

    method: Literal["column"] = "column"
    column: str = Field(description="Column that says the part")
    train: str = Field(default="train", description="Value that marks training rows")
    validation: str = Field(default="validation", description="Value that marks validation rows")
    test: str = Field(default="test", description="Value that marks test rows")


class FilesSplit(Section):
    """The test rows are in a file of their own."""

    method: Literal["files"] = "files"
    test: AnySource = Field(description="Source of the test rows")
    validation: AnySource | Fraction | None = Field(
        default=None, description="Source of the validation rows, or their share of the training rows"
    )
    folds: int | None = Field(default=None, ge=2, le=20, description=FOLDS)


AnySplit = Annotated[
    RandomSplit | HashSplit | TimeSplit | GroupSplit | ColumnSplit | FilesSplit, Field(discriminator="method")
]


class Data(Section):
    """Where the rows come from, how they are cleaned, and how they are divided."""

    source: AnySource | None = Field(default=None, description="One source; in sql it is called `source`")
    sources: dict[str, AnySource] = Field(default_factory=dict, description="Several, joined by sql")
    missing: tuple[str, ...] = Field(default=DEFAULT_MISSING, description="Spellings of a missing value")
    checks: Checks | None = Field(
        default=None, description="What the rows have to be; looked at before `sql` and `split`"
    )
    sql: str | None = Field(default=None, description="SELECT over the sources; runs in the embedded engine")
    split: AnySplit = Field(
        default=RandomSplit(), description="Which rows train, validate and test; random when absent"
    )
    key: str | None = Field(default=None, description="Column that identifies a row (stable splits)")

    @model_validator(mode="after")
    def _one_way_in(self) -> Data:
        if (self.source is None) == (not self.sources):
            raise ValueError("give either 'source' or 'sources'")
        if self.sources and self.sql is None:
            raise ValueError("several sources need 'sql' that joins them")
        return self


class Target(Section):
    """The column to predict."""

    column: str = Field(min_length=1, description="Its name")
    type: TaskType | None = Field(default=None, description="Inferred from the values when absent")
    positive: str | None = Field(default=None, description="binary: the class whose probability is reported")


class Threshold(Section):
    """How a probability becomes a yes: maximise a metric on validation rows, or a fixed value."""

    maximize: Literal["accuracy", "balanced_accuracy", "f1"] | None = Field(
        default=None, description="Choose it on validation rows so that this metric is best"
    )
    value: float | None = Field(default=None, ge=0.0, le=1.0, description="The probability where yes begins")

    @model_validator(mode="after")
    def _one_of(self) -> Threshold:
        if (self.maximize is None) == (self.value is None):
            raise ValueError("give either 'maximize' or 'value'")
        return self


class Evaluate(Section):
    """What is measured, on which parts of the data, and where yes begins."""

    metric: MetricName | None = Field(default=None, description="The primary metric; by task when absent")
    metrics: tuple[MetricName, ...] = Field(default=(), description="More metrics to put first in tables")
    slices: tuple[str | dict[str, str | int | float | bool], ...] = Field(
        default=(), description="A column (one slice a value) or {column: value, …}"
    )
    threshold: Threshold = Field(
        default=Threshold(value=0.5), description="Where yes begins; binary targets; 0.5 when absent"
    )
    interval: float | None = Field(
        default=None,
        ge=0.5,
        le=0.999,
        description="Share of rows, such as 0.9, whose value is to lie between the outputs `lower` and "
        "`upper`; number targets; absent: no such outputs",
    )
    gates: dict[str, Gate] = Field(
        default_factory=dict, description="By name; a model that fails one of them is not let out"
    )
    champion: Champion | None = Field(
        default=None,
        description="The model that `beats: champion` means, and whose columns `dml check` compares with the "
        "data's; absent: the one that `track.register` names, if it has the alias champion",
    )
    segments: bool = Field(
        default=True, description="Search the test rows for segments where the model is clearly worse"
    )


class Tune(Section):
    """Options that are searched for, on the rows that the folds hold out."""

    trials: int = Field(
        default=20, ge=2, le=200, description="So many sets of options are tried, the model's own first"
    )
    metric: MetricName | None = Field(
        default=None, description="What the best set is chosen by; the primary metric when absent"
    )
    space: dict[str, Span] = Field(
        default_factory=dict,
        description="MODEL.OPTION, or OPTION of the only model; absent: what the model suggests",
    )


class Explain(Section):
    """SHAP values of the shipped model."""

    method: Literal["shap", "none"] = Field(default="shap", description="none: no explanations")
    rows: int = Field(default=200, ge=1, le=100_000, description="Test rows to explain")
    background: int = Field(
        default=100, ge=1, le=10_000, description="Training rows that stand for 'unknown'"
    )


class Track(Section):
    """MLflow tracking."""

    enabled: bool | None = Field(
        default=None, description="true, or false for no tracking at all; absent: where MLflow is installed"
    )
    uri: str | None = Field(
        default=None, description="Tracking server; null: embedded sqlite in the workspace"
    )
    experiment: str | None = Field(default=None, description="Default: the spec's name")
    register_as: str | None = Field(default=None, alias="register", description="Name in the model registry")
    promote: bool = Field(
        default=False,
        description="A new version that passed its gates is the champion at once; false: the challenger, "
        "until `dml promote`",
    )
    tensorboard: bool = Field(
        default=False, description="Also write learning curves, metrics and options as TensorBoard events"
    )

    @model_validator(mode="after")
    def _of_something(self) -> Track:
        if self.promote and self.register_as is None:
            raise ValueError("'promote' needs 'register': the name of the model")
        return self


LEAST_SECONDS = 10
"""Reading, judging, explaining and tracking a small table, before any time for training."""


LEAST_MEMORY = "512Mi"
"""Libraries, and one block of rows at a time."""


class Resources(Section):
    """Ceilings that the run obeys."""

    time: Duration | None = Field(
        default=None,
        description="Of the whole run, such as 90s or 5m; candidates of auto are cut short or left out",
    )
    memory: Memory | None = Field(
        default=None,
        description="Resident memory of the run, all its processes together, such as 1Gi; steps then run one "
        "at a time, each in a process. Decides nothing of the model but how many rows LightGBM sees",
    )
    cpu: int | None = Field(default=None, ge=1, le=1024, description="Threads; all processors when absent")

    processes: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="That train a network together, each with its part of cpu; 1 when absent",
    )

    @field_validator("memory")
    @classmethod
    def _some_memory(cls, memory: str | None) -> str | None:
        if memory is not None and memory_bytes(memory) < memory_bytes(LEAST_MEMORY):
            raise ValueError(f"a run takes {LEAST_MEMORY} at least")
        return memory

    @field_validator("time")
    @classmethod
    def _long_enough(cls, time: str | None) -> str | None:
        if time is not None and seconds_of(time) < LEAST_SECONDS:
            raise ValueError(f"a run takes {LEAST_SECONDS} seconds at least")
        return time


def _readable(version: Any) -> Any:
    """The version itself. Literal alone would take 1.0 and true for 1."""
    if version is not None and (fault := version_fault(version)):
        raise PydanticCustomError("spec_version", "{fault}", {"fault": fault[0]})
    return version


class Spec(Section):
    """A whole spec."""

    version: Annotated[Literal[1], BeforeValidator(_readable)] = Field(
        default=1, description="Version of the spec's format"
    )
    name: str = Field(
        pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        description="Names the experiment and the served model: lower-case letters, digits and hyphens",
    )
    description: str = Field(default="", description="What is predicted and why, for people")
    owner: str = Field(default="", description="Person or team to ask")
    data: Data = Field(description="Where the rows come from and how they are divided")
    features: Literal["auto"] | dict[str, AnyFeature] = Field(
        default="auto", description="auto, or a mapping from column to type and options"
    )
    others: Literal["drop", "auto"] = Field(
        default="drop", description="Columns that `features` does not name"
    )
    exclude: tuple[str, ...] = Field(default=(), description="Columns that are never features")
    weight: str | None = Field(default=None, description="Column of row weights")
    target: Target = Field(description="The column to predict")
    model: AnyModel = Field(
        default_factory=lambda: MODELS.parse("lightgbm"), description="What learns; lightgbm when absent"
    )
    refit: bool = Field(default=True, description="Fit once more on training and validation rows together")
    imbalance: Literal["none", "weights", "oversample"] = Field(
        default="none",
        description="weights: classes count equally; oversample: so do rows drawn again from rare classes",
    )
    tune: Tune | None = Field(default=None, description="Search for options; absent: none")
    evaluate: Evaluate = Field(default=Evaluate(), description="What is measured")
    tests: dict[str, AnyBehaviour] = Field(
        default_factory=dict, description="Behavioural tests by name: how answers move with their rows"
    )
    explain: Explain = Field(default=Explain(), description="SHAP values; false: none")
    track: Track = Field(default=Track(), description="MLflow; false: no tracking")
    convert: tuple[AnyFormat, ...] = Field(
        default=(), description="Formats to convert the model to, each held against model.onnx"
    )
    serve: Serve = Field(default=Serve(), description="The HTTP service of the model")
    monitor: Monitor = Field(default=Monitor(), description="What is watched while the model serves")
    deploy: Deploy | None = Field(
        default=None, description="Images, and where the service and the training run; absent: nowhere"
    )
    resources: Resources = Field(default=Resources(), description="Ceilings that the run obeys")
    seed: int = Field(default=42, ge=0, lt=2**31, description="Of every random choice")

    @field_validator("convert")
    @classmethod
    def _once_each(cls, formats: tuple[Format, ...]) -> tuple[Format, ...]:
        names = [wanted.name for wanted in formats]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)} stands there twice")
        return formats

    @property
    def members(self) -> tuple[Model, ...]:
        """The models that the spec names: the members of an ensemble, or the one model; none for auto."""
        if isinstance(self.model, Auto):
            return ()
        return self.model.members if isinstance(self.model, Ensemble) else (self.model,)
