"""Labels of people from Label Studio, joined to the data of their tasks: a JSON export, or a server."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from declarative_ml.core.errors import DataError
from declarative_ml.core.secret import Secret
from declarative_ml.sources.base import Source
from declarative_ml.sources.file import FileSource
from declarative_ml.sources.label_studio_tasks import Task, row_of, tasks_in

if TYPE_CHECKING:
    import pyarrow as pa

_LOOK = 10_000
"""Rows that are read to learn the columns."""


class LabelStudioSource(Source):
    """Tasks of Label Studio as rows: their data, and a column for each thing that people were asked.

    Of several annotations of a task, one marked as ground truth goes before the others. Else each annotator
    counts once, by the newest annotation, and the answer that most of them give is taken; where as many give
    another, the newest. Skipped annotations are left out, and so are tasks without a label.
    """

    libraries: ClassVar[tuple[str, ...]] = ("pyarrow", "duckdb")

    type: Literal["label-studio"] = "label-studio"
    path: str | None = Field(
        default=None,
        min_length=1,
        description="A JSON export, or a pattern such as labels/*.json; relative to the spec",
    )
    url: str | None = Field(
        default=None, pattern="^https?://", description="In place of a path: the address of the server"
    )
    project: int | None = Field(default=None, ge=1, description="url: the number of the project")
    token: Secret | None = Field(
        default=None, description="url: reference to an access token, personal or legacy"
    )
    unlabelled: bool = Field(
        default=False, description="Whether tasks without a label are rows too, with a missing label"
    )
    select: tuple[str, ...] = Field(
        default=(), description="Columns to read, in this order; all of them when absent"
    )

    @field_validator("url")
    @classmethod
    def _no_password(cls, address: str | None) -> str | None:
        if address is not None and "@" in urlsplit(address).netloc:
            raise ValueError("an address with a password in it would be seen; use token: ${env:NAME}")
        return address

    @model_validator(mode="after")
    def _one_of(self) -> LabelStudioSource:
        if (self.path is None) == (self.url is None):
            raise ValueError("give either 'path', of an export, or 'url', of a server")
        of_server = {"project": self.project, "token": self.token}
        if self.url is None and (idle := [name for name, value in of_server.items() if value is not None]):
            raise ValueError(f"'{idle[0]}' has no effect on a file")
        if self.url is not None and (absent := [name for name, value in of_server.items() if value is None]):
            raise ValueError(f"a server needs '{absent[0]}'")
        return self

    @property
    def remote(self) -> bool:
        """A server's labels may change without a trace; a file's may not."""
        return self.url is not None

    def described(self) -> str:
        """The project, or the name of the file."""
        return f"project {self.project} of Label Studio" if self.path is None else Path(self.path).name

    def resolved(self, base: Path) -> LabelStudioSource:
        """The same source with the paths of the export and of the secret made absolute against `base`."""
        update: dict[str, Any] = {}
        if self.path is not None:
            update["path"] = str(base / Path(self.path).expanduser())
        if self.token is not None:
            update["token"] = self.token.resolved(base)
        return self.model_copy(update=update)

    def files(self) -> list[Path]:
        """The exports. Raises DataError when there are none."""
        return [] if self.path is None else FileSource(path=self.path).files()

    def options_for_key(self) -> dict[str, object]:
        """Which tasks; what people said acts through the rows."""
        kept = ("url", "project", "unlabelled", "select")
        return {name: getattr(self, name) for name in kept if getattr(self, name)}

    def columns(self) -> list[str]:
        """The columns of the first rows."""
        names: dict[str, None] = {}
        for row in islice(self._rows(), _LOOK):
            names.update(dict.fromkeys(row))
        return list(names)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows as text, in the order of the tasks; what a task does not have is a null.

        Raises DataError, which names the task, for data and answers that no cell can hold.
        """
        with tempfile.TemporaryDirectory(prefix="dml-labels-") as folder:
            path = Path(folder) / "rows.jsonl"
            with path.open("w", encoding="utf-8") as lines:
                for row in self._rows():
                    lines.write(json.dumps(row, ensure_ascii=False) + "\n")
            if not path.stat().st_size:
                said = "no task" if self.unlabelled else "no task that somebody has labelled"
                raise DataError(
                    f"{self.described()} has {said}", hint="unlabelled: true also reads tasks without a label"
                )
            yield from FileSource(path=str(path)).batches()

    def _rows(self) -> Iterator[dict[str, str | None]]:
        for task in self._tasks():
            row = row_of(task, self.described(), self.select, unlabelled=self.unlabelled)
            if row is not None:
                yield row

    def _tasks(self) -> Iterator[Task]:
        if self.url is None or self.token is None or self.project is None:
            return chain.from_iterable(map(tasks_in, self.files()))
        from declarative_ml.sources.label_studio_server import tasks_of

        return tasks_of(self.url, self.project, self.token)
