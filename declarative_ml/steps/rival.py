"""What the champion says of the test rows of the new model: raw columns through its own bundle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from declarative_ml.core.task import Task
from declarative_ml.learning.disk_rows import DiskRows, write_rows
from declarative_ml.scoring.scorer import Scorer
from declarative_ml.scoring.table import raw_inputs
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.divided import Chosen
from declarative_ml.steps.raw import stretches
from declarative_ml.steps.table import open_table
from declarative_ml.store.bundle import Bundle

if TYPE_CHECKING:
    import numpy as np

NO_CHAMPION = "there is no champion: the spec names none, by evaluate.champion or track.register"
ABOUT = "champion.json"


@dataclass(frozen=True)
class Rival:
    """The champion's answers, or why there are none."""

    about: str
    """What it is, in words; why there is none."""
    exists: bool = False
    unfit: str = ""
    """Why it cannot be compared, if it cannot."""
    prediction: DiskRows | None = None
    """Test rows: probabilities [N, classes] in the order of the new model's, or values [N]."""
    threshold: float = 0.5
    """binary: from this probability of the new model's positive class on its answer is that class."""
    notes: tuple[str, ...] = ()


def find_rival(context: StepContext, task: Task, rows: np.ndarray | Chosen) -> Rival:
    """The champion among the inputs, and what it says of `rows` of the table (none: not asked)."""
    if "champion" not in context.inputs:
        return Rival(NO_CHAMPION)
    told = context.read("champion", ABOUT)
    if told["absent"] is not None:
        return Rival(str(told["absent"]))
    bundle = Bundle.open(context.inputs["champion"])
    about = f"{told['what']} (model digest {bundle.manifest.model_digest[:12]})"
    unfit = _unlike(task, bundle.manifest.task) or _lacking(context, bundle)
    if unfit or not len(rows):
        return Rival(about, exists=True, unfit=unfit)
    return _answers(context, task, rows, bundle, about)


def _unlike(task: Task, other: Task) -> str:
    """Why answers to the champion's question are none to this one's."""
    if other.target != task.target:
        return f"the champion predicts '{other.target}', this model '{task.target}'"
    if other.type != task.type:
        return f"the champion takes '{task.target}' for {_kind(other)}, this model for {_kind(task)}"
    if set(other.classes) != set(task.classes):
        return (
            f"the champion knows the classes {', '.join(sorted(other.classes))}, "
            f"this model {', '.join(sorted(task.classes))}"
        )
    return ""


def _kind(task: Task) -> str:
    return {"binary": "one of two classes", "multiclass": "one of several classes"}.get(task.type, "a number")


def _lacking(context: StepContext, bundle: Bundle) -> str:
    with open_table(context.inputs["table"]) as reader:
        present = set(reader.schema.names)
    absent = [item.name for item in bundle.manifest.inputs if item.name not in present]
    if not absent:
        return ""
    listed = ", ".join(f"'{name}'" for name in absent)
    return f"the champion needs the column{'s' * (len(absent) > 1)} {listed}, which the data no longer has"


def _answers(
    context: StepContext, task: Task, rows: np.ndarray | Chosen, bundle: Bundle, about: str
) -> Rival:
    import numpy as np

    scorer = Scorer(bundle, threads=context.threads)
    misfits: Counter[str] = Counter()
    places = [scorer.task.classes.index(name) for name in task.classes]

    def said() -> Iterator[np.ndarray]:
        table, columns = context.inputs["table"], list(scorer.columns)
        for part in stretches(table, None, rows, columns, context.scratch):
            for batch in part.combine_chunks().to_batches():
                raw = raw_inputs(scorer, batch, strict=False, misfits=misfits)
                found = scorer.predict_raw(raw)
                if task.is_classification:
                    yield np.asarray(found.probabilities, dtype=np.float64)[:, places]
                else:
                    yield np.asarray(found.prediction, dtype=np.float64)

    prediction = write_rows(context.scratch / "champion.npy", len(rows), said())
    notes = _notes(context, bundle, misfits)
    threshold = bundle.manifest.threshold
    threshold = 0.5 if threshold is None else threshold
    if task.type == "binary" and places == [1, 0]:
        # It says yes to the other class: below its threshold, so above one minus it, is yes to ours.
        threshold = float(np.nextafter(np.float32(1.0 - threshold), np.float32(2.0)))
    return Rival(about, exists=True, prediction=prediction, threshold=threshold, notes=notes)


def _notes(context: StepContext, bundle: Bundle, misfits: Counter[str]) -> tuple[str, ...]:
    """What a reader has to know about the comparison."""
    notes = []
    if misfits:
        listed = ", ".join(f"{name} ({count:,})" for name, count in misfits.most_common(5))
        notes.append(f"values that do not fit the champion's columns count as missing for it: {listed}")
    if bundle.manifest.data_fingerprint != context.read("split", "split.json")["fingerprint"]:
        notes.append(
            "the champion learned from other data: if today's test rows were among its training rows, the "
            "comparison flatters it"
        )
    return tuple(notes)


def describe(champion: dict[str, Any], version: int | None) -> str:
    """The champion in words, without paths of this machine."""
    if version is None:
        return "the bundle that evaluate.champion names"
    return f"version {version} of '{champion['registry']}', alias {champion['alias']}"
