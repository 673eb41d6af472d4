"""What a search of Ludwig's may choose, as what `tune` may: a range, or a list of values.

Ludwig's spaces are those of Ray Tune, whose integers stop below `upper`, except where they are rounded.
Before version 0.4 a space was a `type` with `low`, `high`, `scale` and `steps`, or `values`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from declarative_ml.api.import_config import as_number, as_text
from declarative_ml.api.import_report import short
from declarative_ml.learning.space import Span
from declarative_ml.models import MODELS
from declarative_ml.spec.positions import Node
from declarative_ml.spec.shapes import annotations_of

KEYS = (
    "space", "lower", "upper", "low", "high", "q", "base", "type", "scale", "steps", "categories", "values",
)  # fmt: skip
"""Keys of a space."""
_LISTS = ("choice", "categorical", "category", "grid_search")
_RANGES = {
    "uniform": (), "quniform": (), "float": (), "loguniform": ("log",), "qloguniform": ("log",),
    "int": ("whole",), "qrandint": ("whole",), "randint": ("whole", "open"),
    "lograndint": ("whole", "log", "open"), "qlograndint": ("whole", "log"),
}  # fmt: skip
"""Ranges by name: with a logarithmic scale, whole numbers only, or an end that is never reached."""
_NORMAL = "a space is a range or a list of values, not a normal distribution: write low and high"
_ALL, _SOME = 8, 5
"""So many whole numbers of a range are all listed; of more, so many."""


@dataclass(frozen=True)
class Option:
    """An option of our model that stands for one of theirs."""

    name: str
    why: str = ""
    """What differs; empty: nothing."""
    value: Callable[[Any], Any] | None = None
    """A value of theirs as ours, None for one that we lack; absent: the same value."""
    log: bool = False
    """Whether a range of theirs is one on a logarithmic scale here."""


@dataclass(frozen=True)
class Space:
    """What a parameter may be: `choices`, or numbers from `low` to `high`, both included."""

    choices: tuple[Any, ...] | None = None
    grid: bool = False
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    step: float | None = None
    why: tuple[str, ...] = ()
    """What differs from theirs."""

    def few(self) -> tuple[list[Any], bool]:
        """The choices, or some whole numbers of the range; and whether these are all."""
        if self.choices is not None:
            return list(self.choices), True
        low, high, step = math.ceil(self.low), math.floor(self.high), math.ceil(self.step or 1)
        if (high - low) // step < _ALL:
            return list(range(low, high + 1, step)), True
        shares = [place / (_SOME - 1) for place in range(_SOME)]
        if low > 0:
            found = [round(low * (high / low) ** share) for share in shares]
        else:
            found = [round(low + (high - low) * share) for share in shares]
        return sorted(set(found)), False


@dataclass(frozen=True)
class Fitting:
    """A space as the option of a model takes it: a span, or `value` where only one is left."""

    span: dict[str, Any] | None
    value: Any
    why: tuple[str, ...]


def read_space(parameter: dict[str, Node], *, closed: bool) -> Space | str:
    """What a parameter may be, or why that cannot be said. `closed`: every range includes its end."""
    kind = as_text(parameter.get("space")) or as_text(parameter.get("type")) or ""
    if kind in _LISTS or (not kind and ("categories" in parameter or "values" in parameter)):
        return _listed(parameter, grid=kind == "grid_search")
    if kind in ("randn", "qrandn"):
        return _NORMAL
    if kind not in _RANGES and kind:
        return f"there is no space of the kind {short(kind)}"
    return _range(parameter, _RANGES[kind or "uniform"], closed=closed)


def _listed(parameter: dict[str, Node], *, grid: bool) -> Space | str:
    node = parameter.get("categories") or parameter.get("values")
    if node is None or not isinstance(node.value, list) or not node.value:
        return "it lists no values"
    return Space(choices=tuple(item.plain() for item in node.value), grid=grid)


def _range(parameter: dict[str, Node], traits: tuple[str, ...], *, closed: bool) -> Space | str:
    low, high = (
        as_number(parameter.get(new) or parameter.get(old))
        for new, old in (("lower", "low"), ("upper", "high"))
    )
    if low is None or high is None:
        return "a range needs two numbers, lower and upper"
    if not max(abs(low), abs(high)) <= 1e15:
        return "so large a range cannot be searched"
    log = "log" in traits or as_text(parameter.get("scale")) == "log"
    space = Space(low=float(low), high=float(high), log=log, whole="whole" in traits)
    if "open" in traits and not closed:
        why = "the range includes its end here, Ludwig's does not"
        space = replace(space, high=math.ceil(high) - 1.0, why=(why,))
    if space.low > space.high:
        return f"nothing lies between {low:g} and {high:g}"
    return _stepped(space, parameter)


def _stepped(space: Space, parameter: dict[str, Node]) -> Space:
    """With the distance between two values, where they have one."""
    step, steps = as_number(parameter.get("q")), as_number(parameter.get("steps"))
    if step is None and steps is not None and steps >= 2:
        step = (space.high - space.low) / (steps - 1)
    if step is None or step <= 0 or (step == 1 and space.whole):
        return space
    step = float(step)
    if space.log:
        return replace(space, why=(*space.why, "with log there are no steps"))
    if step > space.high - space.low:
        return replace(space, why=(*space.why, "its steps are longer than the range"))
    why = () if (space.low / step).is_integer() or steps else ("steps are counted from low",)
    return replace(space, step=step, why=(*space.why, *why))


def fit(space: Space, option: Option, model: str) -> Fitting | str:
    """The space for the option of a model, or why the option cannot be searched in it."""
    found = _fit_list(space, option, model) if space.choices is not None else _fit_range(space, option, model)
    if isinstance(found, str):
        return found
    why = (*((option.why,) if option.why else ()), *space.why, *found.why)
    if found.span is None:
        why = (*why, "one value is no choice")
    return replace(found, why=why)


def accepted(model: str, option: str, value: Any) -> tuple[Any, str]:
    """The value as the option of the model takes it, or why it does not: one of the two says nothing."""
    if value is None:
        return None, "has no counterpart"
    try:
        found = getattr(MODELS.parse({"type": model, option: value}), option)
    except ValidationError as error:
        return None, error.errors()[0]["msg"].removeprefix("Input ")
    if isinstance(value, bool) and not isinstance(found, bool):
        return None, "is no number"
    return (list(found) if isinstance(found, tuple) else found), ""


def _fit_list(space: Space, option: Option, model: str) -> Fitting | str:
    values: list[Any] = []
    why: list[str] = []
    for choice in space.choices or ():
        ours = choice if option.value is None else option.value(choice)
        value, fault = accepted(model, option.name, ours)
        if fault:
            why.append(f"{short(choice)} {fault}")
        elif not any(value == other and type(value) is type(other) for other in values):
            values.append(value)
    if not values:
        return f"model.{option.name} of {model}: {'; '.join(why)}"
    if len(values) == 1:
        return Fitting(None, values[0], tuple(why))
    return Fitting({"choices": values}, None, tuple(why))


def _fit_range(space: Space, option: Option, model: str) -> Fitting | str:
    kinds = annotations_of(type(MODELS.parse({"type": model})).model_fields[option.name])
    if not {int, float} & set(kinds):
        return f"model.{option.name} of {model} is no number: it has no range"
    why = []
    if float not in kinds:
        whole = space.whole or (space.step is not None and space.step.is_integer())
        why = [] if whole else ["whole numbers only"]
        space = replace(space, low=float(math.ceil(space.low)), high=float(math.floor(space.high)))
    ends = []
    for end in (space.low, space.high):
        ours = end if option.value is None else option.value(end)
        value, fault = accepted(model, option.name, ours)
        if fault:
            return f"model.{option.name} of {model}: {end:g} {fault}"
        ends.append(value)
    if ends[0] == ends[1]:
        return Fitting(None, ends[0], tuple(why))
    return _span(ends, space, option, tuple(why), whole=float not in kinds)


def _span(
    ends: list[Any], space: Space, option: Option, why: tuple[str, ...], *, whole: bool
) -> Fitting | str:
    span = {"low": ends[0], "high": ends[1]}
    if space.log or option.log:
        span["log"] = True
    elif (step := _step(space, option, whole=whole)) is not None:
        span["step"] = step
    try:
        Span.model_validate(span)
    except ValidationError as error:
        return error.errors()[0]["msg"].removeprefix("Value error, ")
    return Fitting(span, None, why)


def _step(space: Space, option: Option, *, whole: bool) -> float | None:
    """The distance between two values; whole numbers of an option that takes others are one apart."""
    if option.value is not None:
        return None
    if space.step is None:
        return 1 if space.whole and not whole else None
    return (int(space.step) if space.step.is_integer() else None) if whole else space.step
