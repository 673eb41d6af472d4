"""What every format knows: whether a graph can become one, how to write it, and how to run what it wrote."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from declarative_ml.core.component import Component
from declarative_ml.core.schema import DEFAULT_MISSING
from declarative_ml.core.task import Task
from declarative_ml.store.bundle import Input

if TYPE_CHECKING:
    import numpy as np
    from onnx import ModelProto

Rows = Mapping[str, "np.ndarray"]
"""What the graph takes: column -> [n, 1] float32 (NaN = missing) or objects of str ("" = missing)."""

Run = Callable[[Rows], "np.ndarray"]
"""The converted model in its own runtime: rows -> float64 [n, C] probabilities, or [n, 1] numbers."""


@dataclass(frozen=True)
class Original:
    """What is converted: the graph of a bundle, with rows that show how it is used."""

    content: bytes
    """model.onnx: raw columns in, labelled answer out."""
    name: str
    """The spec's name."""
    task: Task
    inputs: tuple[Input, ...]
    """The graph's inputs in order."""
    threshold: float | None
    """binary: positive from this probability on."""
    rows: Rows
    """Real rows: the ranges of quantisation are taken from them."""
    missing: tuple[str, ...] = DEFAULT_MISSING
    """Spellings of a missing value in texts."""

    @cached_property
    def model(self) -> ModelProto:
        """The graph, parsed."""
        from onnx import load_model_from_string

        return load_model_from_string(self.content)

    @property
    def readers(self) -> str:
        """What reads texts before the graph, for messages; "" where nothing does."""
        return " and ".join(
            dict.fromkeys(item.reading.reader for item in self.inputs if item.reading is not None)
        )

    @property
    def operators(self) -> frozenset[str]:
        """The names of all operators of the graph, those inside of loops too."""
        from declarative_ml.graph.core import operators_of

        return operators_of(self.model.graph)


class Format(Component):
    """A form in which a model is deployed. `write` fills a folder, `open` runs what lies there."""

    format: str
    tolerance: float | None = Field(
        default=None,
        gt=0,
        description="Largest difference to model.onnx that is allowed, of a probability, or of a number in "
        "units of the predictions' spread; absent: what the format's precision gives",
    )
    leave_out: bool = Field(
        default=False,
        description="Leave out the members of an ensemble that this format cannot hold, and tell what that "
        "costs; false: the conversion is refused",
    )
    extra: ClassVar[str | None] = None
    """The extra of this package that brings what conversion needs; None: nothing is needed."""
    modules: ClassVar[Sequence[str]] = ()
    """What must be importable to convert."""
    about: ClassVar[str] = ""
    """One line for a person: what it is for."""

    @property
    def variant(self) -> str:
        """Sets apart two conversions to the same format, for example int8; "" for the plain one."""
        return ""

    @property
    def name(self) -> str:
        """The folder under formats/ of the bundle: `tflite-int8`."""
        return f"{self.format}-{self.variant}" if self.variant else self.format

    @property
    @abstractmethod
    def precision(self) -> float:
        """The tolerance where the spec gives none: 1e-5 for float32."""

    def reads(self) -> tuple[Path, ...]:
        """The files of this machine that go into a conversion, if they are there: it ages with them."""
        return ()

    def refuse(self, original: Original) -> str | None:
        """Why this graph cannot become this format, in words for a person; None: it can."""
        return None

    def remedy(self, original: Original) -> str:
        """What a person can do where the answers differ by more than is allowed."""
        return "a `tolerance` under convert allows more"

    @abstractmethod
    def write(self, original: Original, folder: Path) -> None:
        """Convert into the empty `folder`. Files are small where they can be, and without times or paths."""

    @abstractmethod
    def open(self, original: Original, folder: Path) -> Run | None:
        """Load what `write` wrote into its own runtime; None where that cannot run on this machine."""

    def facts(self, folder: Path) -> dict[str, Any]:
        """What else a person wants to know of it (JSON), for example the list of operators."""
        return {}
