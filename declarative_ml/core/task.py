"""The learning task: what kind of target is predicted. Also part of every bundle."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from declarative_ml.core.component import Section

TaskType = Literal["binary", "multiclass", "number"]


class Task(Section):
    """The resolved target of one run."""

    target: str = Field(description="Column to predict")
    type: TaskType = Field(description="Two classes, several, or a number")
    classes: tuple[str, ...] = Field(default=(), description="Class names; binary: (negative, positive)")

    @property
    def is_classification(self) -> bool:
        """Whether the target is a class."""
        return self.type != "number"

    @property
    def width(self) -> int:
        """Columns of the margins."""
        return len(self.classes) if self.type == "multiclass" else 1

    @property
    def positive(self) -> str | None:
        """The positive class of a binary task."""
        return self.classes[1] if self.type == "binary" else None
