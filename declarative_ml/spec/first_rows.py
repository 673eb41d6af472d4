"""What the first rows of the data say about the target: warnings, since the rows below may be different."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import IO

from declarative_ml.core.errors import DataError
from declarative_ml.learning.metric_names import METRICS
from declarative_ml.sources.base import Source
from declarative_ml.sources.delimited import header, open_bytes
from declarative_ml.sources.file import COMPRESSIONS, ENDINGS, FileSource
from declarative_ml.spec.document import Spec
from declarative_ml.spec.positions import Path

ROWS = 200
_ENOUGH = 50
"""Fewer rows do not show that a column counts, or that it has no second value alike."""
_NUMBERS = frozenset({"number"})


@dataclass(frozen=True)
class Doubt:
    """What does not fit, at which place of the spec, and what to do."""

    path: Path
    message: str
    hint: str


def doubts(spec: Spec) -> list[Doubt]:
    """What speaks against the target, its type or the metrics. Reads 200 rows of a delimited file."""
    source = spec.data.source
    if spec.data.sql is not None or source is None:
        return []
    missing = {spelling.strip() for spelling in spec.data.missing}
    cells = [cell.strip() for cell in first_cells(source, spec.target.column)]
    values = [cell for cell in cells if cell not in missing]
    return [doubt for find in (_texts, _classes, _positive, _counts) for doubt in find(spec, values)]


def first_cells(source: Source, column: str) -> list[str]:
    """The cells of a column in the first rows; [] where that is not cheap to know."""
    if not isinstance(source, FileSource):
        return []
    path = source.files()[0]
    ending = path.with_suffix("").suffix if path.suffix.lower() in COMPRESSIONS else path.suffix
    kind = source.format or ENDINGS.get(ending.lower())
    if kind not in ("csv", "tsv") or path.suffix.lower() not in ("", ending.lower(), ".gz"):
        return []
    try:
        names, delimiter = header(
            path, source.delimiter or ("\t" if kind == "tsv" else None), source.encoding
        )
        place = names.index(column)
        with open_bytes(path) as stream, _as_text(stream, source.encoding) as text:
            rows = (row for row in csv.reader(text, delimiter=delimiter) if row)
            return [row[place] for row in islice(rows, 1, ROWS + 1) if len(row) == len(names)]
    except (DataError, OSError, EOFError, UnicodeError, LookupError, ValueError, csv.Error):
        return []  # the reader of the rows says what is wrong with them


def _as_text(stream: IO[bytes], encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(stream, encoding=encoding, errors="replace", newline="")


def _texts(spec: Spec, values: list[str]) -> Iterator[Doubt]:
    """Words where a number is to be predicted."""
    word = next((value for value in values if re.fullmatch(r"[^\d]*[^\W\d_][^\d]*", value)), None)
    if word is None:
        return
    message = f"the target '{spec.target.column}' holds texts such as {word!r}, and %s is for numbers"
    hint = "binary or multiclass targets have metrics such as roc_auc, log_loss and accuracy"
    if spec.target.type == "number":
        hint = "delete 'type', or write binary or multiclass"
        yield Doubt(("target", "type"), message % "type: number", hint)
        return
    metric = spec.evaluate.metric
    if spec.target.type is None and metric is not None and METRICS[metric].tasks == _NUMBERS:
        yield Doubt(("evaluate", "metric"), message % f"metric {metric}", hint)


def _classes(spec: Spec, values: list[str]) -> Iterator[Doubt]:
    """More than two classes for a yes or no."""
    classes = list(dict.fromkeys(values))
    if spec.target.type == "binary" and len(classes) > 2:
        shown = ", ".join(map(repr, classes[:4])) + (", …" if len(classes) > 4 else "")
        message = f"type: binary is for two classes, and '{spec.target.column}' holds {shown}"
        hint = "write multiclass, or number; or make two classes of them in 'data.sql'"
        yield Doubt(("target", "type"), message, hint)


def _positive(spec: Spec, values: list[str]) -> Iterator[Doubt]:
    """The positive class, spelled otherwise than in the data."""
    positive = spec.target.positive
    if positive is None or positive in values or not values:
        return
    alike = next((value for value in values if value.lower() == positive.strip().lower()), None)
    if alike is not None:
        message = f"the target '{spec.target.column}' holds {alike!r}, not {positive!r}"
        yield Doubt(("target", "positive"), message, f"did you mean '{alike}'?")


def _counts(spec: Spec, values: list[str]) -> Iterator[Doubt]:
    """A target that is another one in every row for a reason that has nothing to do with the others."""
    if len(values) < _ENOUGH:
        return
    name, hint = spec.target.column, "is it the column to predict? 'exclude' keeps an id from the features"
    if all(value.isdigit() and len(value) < 16 for value in values):
        numbers = [int(value) for value in values]
        if all(after == before + 1 for before, after in pairwise(numbers)):
            yield Doubt(("target", "column"), f"the target '{name}' counts the rows", hint)
    elif len(set(values)) == len(values) and not any(_is_number(value) for value in values):
        message = f"the target '{name}' is different in each of the first {len(values)} rows"
        yield Doubt(("target", "column"), message, hint)


def _is_number(text: str) -> bool:
    """Whether a cell may be a number, with a unit, a currency or groups of thousands, or a date."""
    return re.fullmatch(r"\D{0,3}[\d.,:/ -]+\D{0,3}", text) is not None
