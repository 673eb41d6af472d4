"""What the encoder does to each column, read from its graph, so that plain code can do the same.

A runtime without texts takes the core of a graph, and its caller makes the tensors. Numbers, yes/no columns
and categories are read as one rule for each column of a tensor. Dates and texts are not: their columns have
the rule `encoder`, which says that only encoder.onnx makes them. Rules are held against the encoder itself
on real rows before they are given to anybody.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from declarative_ml.formats.lite.encoder_trace import Cell, columns_of, run_encoder, trace

if TYPE_CHECKING:
    import numpy as np
    from onnx import ModelProto

    from declarative_ml.formats.base import Original, Rows


@dataclass(frozen=True)
class Value:
    """The number itself; `missing` (NaN: stays NaN) where it is not finite."""

    column: str
    missing: float

    def of(self, values: np.ndarray) -> np.ndarray:
        """float32 [n] of the raw column [n]."""
        import numpy as np

        return np.where(np.isfinite(values), values, np.float32(self.missing))

    def as_json(self) -> dict[str, Any]:
        """The form of preprocessing.json."""
        return {"rule": "value", "column": self.column, "missing": _json_number(self.missing)}


@dataclass(frozen=True)
class Scale:
    """A line with bends, constant outside: start + the sum of slope x what is covered of each segment."""

    column: str
    missing: float
    x: tuple[float, ...]
    slopes: tuple[float, ...]
    start: float

    def of(self, values: np.ndarray) -> np.ndarray:
        """float32 [n] of the raw column [n]."""
        import numpy as np

        filled = Value(self.column, self.missing).of(values)[:, None]
        x = np.array(self.x, dtype=np.float32)
        covered = np.clip(filled, x[:-1], x[1:]) - x[:-1]
        rise = (covered * np.array(self.slopes, dtype=np.float32)).sum(axis=1)
        found: np.ndarray = rise + np.float32(self.start)
        return found

    def as_json(self) -> dict[str, Any]:
        """The form of preprocessing.json."""
        return {
            "rule": "scale",
            "column": self.column,
            "missing": _json_number(self.missing),
            "x": list(self.x),
            "slopes": list(self.slopes),
            "start": self.start,
        }


@dataclass(frozen=True)
class Missing:
    """1 where the number is not finite, else 0."""

    column: str

    def of(self, values: np.ndarray) -> np.ndarray:
        """float32 [n] of the raw column [n]."""
        import numpy as np

        found: np.ndarray = (~np.isfinite(values)).astype(np.float32)
        return found

    def as_json(self) -> dict[str, Any]:
        """The form of preprocessing.json."""
        return {"rule": "missing", "column": self.column}


@dataclass(frozen=True)
class Table:
    """The entry of the text, "" being a missing one; `other` for texts that are not listed."""

    column: str
    entries: tuple[tuple[str, float], ...]
    other: float

    def of(self, values: np.ndarray) -> np.ndarray:
        """float64 [n] of the raw column [n]."""
        import numpy as np

        entries = dict(self.entries)
        return np.array([entries.get(value, self.other) for value in values], dtype=np.float64)

    def as_json(self) -> dict[str, Any]:
        """The form of preprocessing.json."""
        return {
            "rule": "table",
            "column": self.column,
            "entries": {key: _json_number(value) for key, value in self.entries},
            "other": _json_number(self.other),
        }


@dataclass(frozen=True)
class OnlyEncoder:
    """No rule in plain words: a date, a text, or what this module does not know."""

    columns: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The form of preprocessing.json."""
        return {"rule": "encoder", "columns": list(self.columns)}


Rule = Value | Scale | Missing | Table | OnlyEncoder


@dataclass(frozen=True)
class Preprocessing:
    """The rules of all columns of the tensors that the core takes, by tensor, in order."""

    tensors: Mapping[str, tuple[Rule, ...]]

    def unread(self) -> list[str]:
        """The raw columns that only the encoder understands, sorted."""
        rules = (rule for tensor in self.tensors.values() for rule in tensor)
        return sorted({name for rule in rules if isinstance(rule, OnlyEncoder) for name in rule.columns})

    def tensor(self, name: str, rows: Rows) -> np.ndarray:
        """The tensor `name` of `rows`: [n, width], int32 for codes, else float32. All must be read."""
        import numpy as np

        columns = [
            rule.of(rows[rule.column][:, 0])
            for rule in self.tensors[name]
            if not isinstance(rule, OnlyEncoder)
        ]
        return np.stack(columns, axis=1).astype(np.int32 if name == "codes" else np.float32)

    def as_json(self, original: Original) -> dict[str, Any]:
        """The content of preprocessing.json: inputs, rules by tensor, and how the answer is read."""
        return {
            "about": "Each tensor's columns in order, made of the raw columns by these rules. A number that "
            "is null or not finite is missing; a missing text is empty.",
            "inputs": [{"name": each.name, "type": each.feature} for each in original.inputs],
            "tensors": {name: [rule.as_json() for rule in rules] for name, rules in self.tensors.items()},
            "output": "probabilities" if original.task.is_classification else "prediction",
            "target": original.task.target,
            "classes": list(original.task.classes),
            "threshold": original.threshold,
        }

    def dump(self, original: Original) -> str:
        """preprocessing.json as text."""
        content = self.as_json(original)
        return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def read_preprocessing(encoder: ModelProto, rows: Rows) -> Preprocessing:
    """The rules of an encoder of ours. Those that do not do what it does on `rows` are left to it."""
    cells = trace(encoder, rows)
    made = run_encoder(encoder, rows)
    tensors = {}
    for name, tensor in made.items():
        rules = [_rule(cell) for cell in cells[name]]
        tensors[name] = tuple(_proven(rule, rows, tensor[:, place]) for place, rule in enumerate(rules))
    return Preprocessing(tensors)


def _proven(rule: Rule, rows: Rows, expected: np.ndarray) -> Rule:
    """The rule, where it does what the encoder did."""
    import numpy as np

    if isinstance(rule, OnlyEncoder):
        return rule
    found = rule.of(rows[rule.column][:, 0])
    same = np.allclose(found, expected, rtol=1e-5, atol=1e-5, equal_nan=True)
    return rule if same else OnlyEncoder((rule.column,))


def _rule(cell: Cell) -> Rule:
    """An expression as a rule."""
    match cell:
        case ("where", ("isnan", ("sub", ("in", name), _)), ("const", fill), ("in", other)) if name == other:
            return Value(name, fill)
        case ("cast", ("isnan", ("sub", ("in", name), _))):
            return Missing(name)
        case ("table", ("in", name), entries, other) | ("cast", ("table", ("in", name), entries, other)):
            return Table(name, entries, other)
        case (
            "add",
            ("sum", ("mul", ("sub", ("min", ("max", filled, ("const", low)), ("const", high)), _), slopes)),
            ("const", start),
        ):
            inner = _rule(filled)
            if isinstance(inner, Value):
                return _scale(inner, low, high, slopes[1], start)
    return OnlyEncoder(tuple(sorted(columns_of(cell))))


def _scale(value: Value, low: Any, high: Any, slopes: Any, start: float) -> Scale:
    """Without the segments of no length that fill the graph's table up."""
    kept = [number for number in range(len(low)) if high[number] > low[number]]
    x = [low[number] for number in kept] + [high[kept[-1]] if kept else low[0]]
    return Scale(value.column, value.missing, tuple(x), tuple(slopes[number] for number in kept), start)


def _json_number(value: float) -> float | int | None:
    return None if isinstance(value, float) and math.isnan(value) else value
