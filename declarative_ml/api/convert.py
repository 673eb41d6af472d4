"""Convert a trained model to one more format, and tell what of the formats is installed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from declarative_ml.api.evaluate import truth_of
from declarative_ml.api.predict import model_rows, read
from declarative_ml.core.errors import DataError, UsageError
from declarative_ml.core.machine import processors
from declarative_ml.core.optional import installed
from declarative_ml.formats import FORMATS
from declarative_ml.formats.base import Format, Original
from declarative_ml.formats.conversion import Conversion
from declarative_ml.formats.conversion import convert as convert_original
from declarative_ml.formats.leaving_out import Labelled
from declarative_ml.learning.metric_names import default_metric
from declarative_ml.scoring.explain import background_rows
from declarative_ml.scoring.scorer import Scorer
from declarative_ml.scoring.table import raw_inputs
from declarative_ml.steps.table import require_columns
from declarative_ml.store.bundle import MODEL, Bundle

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


@dataclass(frozen=True)
class FormatState:
    """A format and whether it can be made here."""

    name: str
    about: str
    absent: tuple[str, ...]
    """The libraries that are not installed."""
    extra: str | None
    """The extra of this package that brings them."""


def formats() -> list[FormatState]:
    """Every format there is."""
    found = []
    for name in FORMATS:
        kind = FORMATS.load(name)
        absent = tuple(module for module in kind.modules if not installed(module))
        found.append(FormatState(name, kind.about, absent, kind.extra))
    return found


def parse_format(name: str, options: Mapping[str, Any]) -> Format:
    """The format `name` with its options. Raises UsageError for unknown ones."""
    if name not in FORMATS:
        raise UsageError(f"there is no format {name!r}", hint=f"dml formats lists them: {', '.join(FORMATS)}")
    try:
        return FORMATS.parse({**options, "format": name})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or name
        known = sorted(set(FORMATS.load(name).model_fields) - {"format"})
        raise UsageError(
            f"{name}: {place}: {first['msg']}", hint=f"its options: {', '.join(known)}"
        ) from error


def original_of(bundle: Bundle) -> Original:
    """What a bundle's model is, with its background rows."""
    manifest = bundle.manifest
    return Original(
        content=bundle.read(MODEL),
        name=manifest.name,
        task=manifest.task,
        inputs=manifest.inputs,
        threshold=manifest.threshold,
        rows=background_rows(Scorer(bundle)),
        missing=manifest.missing,
    )


def convert(
    bundle: Bundle,
    wanted: Format,
    target: Path,
    *,
    score: str | pa.Table | None = None,
    shaped: bool = False,
) -> Conversion:
    """Convert the bundle's model into the folder `target`; the labelled rows `score` (a file or a table, to
    which data.sql has been applied where `shaped`) tell what it costs to leave members out.

    Raises UsageError when `target` is there already, MissingDependency without the format's libraries.
    """
    if target.exists():
        raise UsageError(f"{target} exists already", hint="name another folder with -o")
    labelled = None if score is None else _labelled(bundle, score, shaped)
    threads = processors()
    return convert_original(original_of(bundle), wanted, target, threads=threads, labelled=labelled)


def _labelled(bundle: Bundle, data: str | pa.Table, shaped: bool) -> Labelled:
    """The rows that have a target, as the graph takes them."""
    import numpy as np

    scorer, task = Scorer(bundle), bundle.manifest.task
    truths: list[np.ndarray] = []
    parts: list[dict[str, np.ndarray]] = []
    for batch in model_rows(bundle, read(data), shaped=shaped):
        require_columns(batch.schema.names, [task.target])
        truth, present = truth_of(bundle, batch)
        truths.append(truth[present])
        parts.append({name: values[present] for name, values in raw_inputs(scorer, batch).items()})
    if not sum(map(len, truths)):
        raise DataError(f"no row has a value of the target '{task.target}'")
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Labelled(rows, np.concatenate(truths), default_metric(task))
