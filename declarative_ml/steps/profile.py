"""Look at every column of the training rows; choose the feature type of each, or say why it is dropped.

profile.json   [ColumnProfile, …] of the training rows, target included
features.json  {"features": {column: options}, "dropped": {column: reason}, "notes": [...]}
relations.json {"relations": Relations of the features, in a sample of the rows, "suspicions": [Suspicion, …]}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from declarative_ml.core.atomic import write_json
from declarative_ml.core.errors import DataError
from declarative_ml.core.task import Task
from declarative_ml.features import FEATURES
from declarative_ml.learning.words import is_prose
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.directions import monotone_columns, require_order
from declarative_ml.steps.table import blocks, open_table, require_columns
from declarative_ml.steps.training_rows import training_blocks

if TYPE_CHECKING:
    from declarative_ml.learning.row_sample import RowSample
    from declarative_ml.learning.statistics import ColumnProfile
    from declarative_ml.learning.suspicions import Suspicion


MAX_FEATURES = 2_000
"""More make a graph that takes minutes to load: ONNX Runtime's time grows with the square of its nodes."""
OUTPUTS = frozenset({"prediction", "probabilities"})
"""A graph's names are unique, so no input column may be called like an output."""
ENDS = frozenset({"lower", "upper"})
"""The further outputs of a graph that gives intervals."""


def run(context: StepContext) -> None:
    """Write the profile and the resolved features."""
    from declarative_ml.learning.relations import find_relations
    from declarative_ml.learning.suspicions import find_suspicions

    task = Task.model_validate(context.read("split", "split.json")["task"])
    require_order(task, list(monotone_columns(context.params["features"])))
    require_number(task, interval=context.params["interval"])
    target = task.target
    reserved = {target, context.params["weight"], *context.params["reserved"]}
    with open_table(context.inputs["table"]) as reader:
        columns = set(reader.schema.names) - set(context.params["exclude"]) - reserved
    require_few(len(context.params["features"] if context.params["others"] == "drop" else columns))
    profiles, sample = profile_table(context)
    chosen, dropped = choose_features(
        profiles,
        named=context.params["features"],
        others=context.params["others"],
        exclude=set(context.params["exclude"]),
        reserved={name for name in reserved if name},
        outputs=OUTPUTS | ENDS if context.params["interval"] else OUTPUTS,
    )
    write_json(context.out / "profile.json", [item.model_dump(mode="json") for item in profiles])
    relations = find_relations(sample, {name: item["type"] for name, item in chosen.items()}, task)
    suspicions = find_suspicions(sample.table(), relations, profiles, task.target)
    notes = [grave_note(item) for item in suspicions if item.is_grave]
    write_json(
        context.out / "relations.json",
        {
            "relations": relations.model_dump(mode="json"),
            "suspicions": [item.model_dump(mode="json") for item in suspicions],
        },
    )
    write_json(context.out / "features.json", {"features": chosen, "dropped": dropped, "notes": notes})


def grave_note(suspicion: Suspicion) -> str:
    """A suspicion as a sentence that stands alone."""
    named, reason = ", ".join(suspicion.columns), suspicion.reason
    said = f"{named}: {reason}" if len(suspicion.columns) == 1 else reason
    return f"{said}. What is not known when the model is asked belongs under `exclude`."


def require_number(task: Task, *, interval: bool) -> None:
    """Raise DataError where intervals are asked for and the target has classes."""
    if interval and task.is_classification:
        raise DataError(
            f"evaluate.interval is for numbers, and the target {task.target!r} is {task.type}",
            hint="delete it: for classes the probabilities say how sure the model is",
        )


def require_few(columns: int) -> None:
    """Raise DataError when there are more columns than a model can have."""
    if columns > MAX_FEATURES:
        raise DataError(
            f"{columns:,} columns are too many to learn from: a model has at most {MAX_FEATURES:,}",
            hint="name the ones that matter under `features`, or select them by data.sql",
        )


def profile_table(context: StepContext) -> tuple[list[ColumnProfile], RowSample]:
    """The profile of each column, and a sample of the rows; over the training rows only, in one pass."""
    from declarative_ml.learning.row_sample import RowSample
    from declarative_ml.learning.statistics import ColumnProfiler

    with open_table(context.inputs["table"]) as reader:
        schema = reader.schema
    sample = RowSample(schema)
    profilers = [ColumnProfiler(field.name, field.type) for field in schema]
    for taken, hashes, done in training_blocks(context, blocks(context.inputs["table"])):
        for number, profiler in enumerate(profilers):
            profiler.update(taken.column(number), hashes)
        sample.update(taken, hashes)
        context.progress(done, f"{done:.0%} of the rows")
    return [profiler.profile() for profiler in profilers], sample


def choose_features(
    profiles: list[ColumnProfile],
    *,
    named: dict[str, dict[str, Any]],
    others: str,
    exclude: set[str],
    reserved: set[str],
    outputs: frozenset[str] = OUTPUTS,
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Column -> feature options; column -> why it is dropped. In the order of the table.

    Raises DataError for a feature that the table lacks, or when no feature is left.
    """
    columns = [profile.name for profile in profiles]
    require_columns(columns, [*named, *sorted(exclude)])
    if taken := outputs & named.keys():
        raise DataError(
            f"a feature cannot be called '{min(taken)}': the model's output has that name",
            hint="rename the column in data.sql",
        )
    chosen: dict[str, dict[str, Any]] = {}
    dropped: dict[str, str] = {}
    for profile in profiles:
        name = profile.name
        if name in reserved:
            continue
        if name in named:
            chosen[name] = named[name]
        elif name in exclude:
            dropped[name] = "excluded by the spec"
        elif others == "drop":
            dropped[name] = "not named under features"
        else:
            options, reason = infer_feature(profile, outputs)
            if options is None:
                dropped[name] = reason
            else:
                chosen[name] = options
    if not chosen:
        raise DataError(
            "no column is left to learn from",
            hint="; ".join(f"{name}: {reason}" for name, reason in list(dropped.items())[:5])
            or "the target is the only column: add columns that may tell it",
        )
    return chosen, dropped


def infer_feature(
    profile: ColumnProfile, outputs: frozenset[str] = OUTPUTS
) -> tuple[dict[str, Any] | None, str]:
    """The feature options for a column, or None and the reason why it is dropped."""
    if profile.name in outputs:
        return None, "called like an output of the model: rename it in data.sql to use it"
    if profile.missing == profile.rows:
        return None, "every value is missing"
    if profile.constant:
        return None, "constant: every row has the same value"
    if looks_like_id(profile):
        return None, "looks like an id: every row has a value of its own"
    for kind in FEATURES.classes():
        feature = kind.infer(profile)
        if feature is not None:
            return feature.options(), ""
    return None, "almost every row has a name or code of its own"


def looks_like_id(profile: ColumnProfile) -> bool:
    """Unique text that is no prose, or unique whole numbers that fill their range as a counter does.

    Unique measurements (whole numbers far apart) stay: being unique alone proves nothing for numbers.
    """
    if profile.rows < 20 or profile.missing or not profile.unique:
        return False
    if profile.dtype == "string":
        return not is_prose(profile.words, profile.lower)
    if profile.dtype != "int64" or profile.min is None or profile.max is None:
        return False
    return bool(profile.max - profile.min + 1 <= 2.0 * profile.rows)
