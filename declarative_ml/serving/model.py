"""A bundle in service: what it takes, what it answers, and the ways in and out of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from declarative_ml.core.errors import DataError
from declarative_ml.scoring.explain import explain_inputs, output_names
from declarative_ml.scoring.scorer import Predictions, Scorer
from declarative_ml.serving.batching import Asked, Batcher, Columns
from declarative_ml.store.bundle import Bundle

if TYPE_CHECKING:
    from declarative_ml.serving.watch import Watch

Result = TypeVar("Result")


class ServedModel:
    """One bundle, opened and verified, for one event loop."""

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        """Raises DataError for a bundle that is damaged."""
        bundle.verify()
        self.bundle = bundle
        self.manifest = bundle.manifest
        self.name = bundle.manifest.name
        self.version = bundle.manifest.model_digest[:12]
        self.scorer = Scorer(bundle, threads=threads)
        self.classes = bundle.manifest.task.classes
        self._batcher = Batcher(self.scorer)
        self._heavy = ThreadPoolExecutor(1, thread_name_prefix="dml-batch")
        self._warm_up()
        self.opened = time.time()
        self.watch: Watch | None = None
        """What sees its requests and answers."""

    @property
    def about(self) -> dict[str, str]:
        """What every answer says of the model."""
        return {"name": self.name, "version": self.version}

    @property
    def batch_sizes(self) -> Sequence[int]:
        """How many batches of small requests had 1, 2 or 3, 4 to 7, … rows."""
        return tuple(self._batcher.sizes)

    def batched(self, asked: Asked) -> asyncio.Future[Predictions]:
        """The predictions for few rows, scored together with those of other requests."""
        return self._batcher.submit(asked)

    def scored(self, asked: Sequence[Asked]) -> list[Predictions | Exception]:
        """The predictions for each of some small requests, or why it gets none; they are scored together."""
        return self._batcher.scored(asked)

    async def aside(self, work: Callable[[], Result]) -> Result:
        """Do long work in the model's thread, one piece at a time; the event loop goes on."""
        return await asyncio.get_running_loop().run_in_executor(self._heavy, work)

    def later(self, work: Callable[[], Result]) -> Future[Result]:
        """Do work in the model's thread, behind what waits there."""
        return self._heavy.submit(work)

    def explain(self, columns: Columns) -> list[dict[str, Any]]:
        """SHAP values of raw columns [R, 1]: per row what each column adds, and the base, by output."""
        found = explain_inputs(self.scorer, columns)
        outputs = output_names(self.manifest.task)
        return [
            {
                "prediction": _by_output(outputs, found.predictions[row]),
                "base": _by_output(outputs, found.base),
                "values": {
                    name: _by_output(outputs, found.values[row, place])
                    for place, name in enumerate(found.names)
                },
            }
            for row in range(len(found.predictions))
        ]

    @cached_property
    def example(self) -> dict[str, Any]:
        """One row as a client would send it: the examples that training left, null where there are none."""
        return {
            column.name: _short((column.field.get("examples") or [None])[0])
            for column in self.manifest.inputs
        }

    def close(self) -> None:
        """End its watch, and its thread when what it works on is done."""
        if self.watch is not None:
            self.watch.close()
            self.watch = None  # it holds the model
        self._heavy.shutdown(wait=True)

    def _warm_up(self) -> None:
        """Score once, so that the first request does not pay for it. The example is of our own making."""
        columns, _ = self.scorer.raw_rows([self.example], strict=False)
        self.scorer.predict_raw(columns)


def _short(value: Any) -> Any:
    """A number of the graph's precision with no more digits than it has: 12.1, not 12.100000381469727."""
    return float(str(np.float32(value))) if isinstance(value, float) else value


def _by_output(names: Sequence[str], values: np.ndarray) -> Any:
    """One number for one output, an object by output name for several."""
    if len(names) == 1:
        return float(values[0])
    return dict(zip(names, values.tolist(), strict=True))


def answer_rows(model: ServedModel, scored: Predictions) -> list[dict[str, Any]]:
    """One object a row: `prediction`, and `probabilities` by class, or `lower` and `upper`."""
    labels = scored.prediction.tolist()
    if scored.probabilities is not None:
        classes = model.classes
        return [
            {"prediction": label, "probabilities": dict(zip(classes, row))}
            for label, row in zip(labels, scored.probabilities.tolist())
        ]
    if scored.lower is None or scored.upper is None:
        return [{"prediction": label} for label in labels]
    ends = zip(labels, scored.lower.tolist(), scored.upper.tolist())
    return [{"prediction": label, "lower": lower, "upper": upper} for label, lower, upper in ends]


def answer_columns(model: ServedModel, scored: Predictions) -> dict[str, list[Any]]:
    """The columns that `dml predict` writes, as lists."""
    found: dict[str, list[Any]] = {"prediction": scored.prediction.tolist()}
    if scored.probabilities is not None:
        wide = scored.probabilities
        place = model.scorer.positive_index
        shown = wide.max(axis=1, initial=0.0) if place is None else wide[:, place]
        found["probability"] = shown.tolist()
        for number, name in enumerate(model.classes):
            found[f"probability_{name}"] = wide[:, number].tolist()
    for name, values in (("lower", scored.lower), ("upper", scored.upper)):
        if values is not None:
            found[name] = values.tolist()
    return found


def require_rows(columns: Mapping[str, np.ndarray], names: Sequence[str]) -> int:
    """How many rows the columns have. Raises DataError for none."""
    rows = len(columns[names[0]]) if names else 0
    if not rows:
        raise DataError("there are no rows", hint="send one row at least")
    return rows
