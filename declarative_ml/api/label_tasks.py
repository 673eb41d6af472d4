"""Tasks of Label Studio and the interface to label them, in the formats of its documentation:
https://labelstud.io/guide/predictions and https://labelstud.io/guide/setup."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from declarative_ml.core.errors import UsageError
from declarative_ml.core.task import Task
from declarative_ml.sources.plain_text import text_of

if TYPE_CHECKING:
    import pyarrow as pa

Answer = tuple[str | float, float | None]
"""What a model says: a class and its probability, or a number."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""Names that Label Studio takes behind a $."""
_STYLE = "display: grid; grid-template-columns: max-content auto; gap: 0 16px; align-items: center"


class Interface:
    """How people see a row and give its label: some columns, and a question for the target."""

    def __init__(self, task: Task, columns: Sequence[str]) -> None:
        """`columns` are those that people see. Raises UsageError when Label Studio can name none of them."""
        self._task = task
        self.shown = [name for name in columns if _VARIABLE.fullmatch(name)]
        self.hidden = [name for name in columns if name not in self.shown]
        """Columns that Label Studio cannot show: their names are no words."""
        if not self.shown:
            raise UsageError(
                "Label Studio can show none of the columns: it knows names of letters, digits and _",
                hint="rename columns in data.sql",
            )

    def xml(self) -> str:
        """The labelling configuration."""
        view = ElementTree.Element("View")
        row = ElementTree.SubElement(view, "View", style=_STYLE)
        for name in self.shown:
            ElementTree.SubElement(row, "Header", value=name, size="5")
            ElementTree.SubElement(row, "Text", name=name, value=f"${name}")
        ElementTree.SubElement(view, "Header", value=self._task.target)
        place = {"name": self._task.target, "toName": self.shown[0], "required": "true"}
        if self._task.is_classification:
            choices = ElementTree.SubElement(view, "Choices", place, choice="single", showInline="true")
            for label in self._task.classes:
                ElementTree.SubElement(choices, "Choice", value=label)
        else:
            ElementTree.SubElement(view, "Number", place)
        ElementTree.indent(view)
        return ElementTree.tostring(view, encoding="unicode") + "\n"

    def tasks(self, rows: pa.RecordBatch, answers: Sequence[Answer], model: str) -> Iterator[dict[str, Any]]:
        """A task for each row, with the answer of `model` as its pre-annotation.

        Every cell is text, as it is read back. Raises DataError, which names the column, for nested values.
        """
        names = [name for name in rows.schema.names if name != self._task.target]
        columns = [[text_of(value, name) for value in rows.column(name).to_pylist()] for name in names]
        for answer, *cells in zip(answers, *columns, strict=True):
            data = dict(zip(names, cells, strict=True))
            # A column that is shown must hold a text: Label Studio refuses the import of null.
            data |= {name: "" for name in self.shown if data.get(name) is None}
            yield {"data": data, "predictions": [self._prediction(answer, model)]}

    def _prediction(self, answer: Answer, model: str) -> Mapping[str, Any]:
        said, score = answer
        kind = "choices" if self._task.is_classification else "number"
        region = {
            "id": "answer",
            "from_name": self._task.target,
            "to_name": self.shown[0],
            "type": kind,
            "value": {kind: [said] if self._task.is_classification else said},
        }
        return {"model_version": model, "result": [region]} | ({} if score is None else {"score": score})
