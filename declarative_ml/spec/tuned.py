"""What `tune` means: which candidates are tuned, over which options, and what is wrong with a space."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from declarative_ml.learning.space import Dimension, Span
from declarative_ml.models.base import Model
from declarative_ml.spec.document import Spec, Tune
from declarative_ml.spec.portfolio import candidates
from declarative_ml.spec.positions import Path
from declarative_ml.spec.shapes import annotations_of

_SPACE: Path = ("tune", "space")
_UNMARKED = "lightgbm"
"""The kind of candidate that is tuned when the space names none."""


@dataclass(frozen=True)
class Fault:
    """Something in `tune` that cannot be, at the key or at the value of a path."""

    path: Path
    message: str
    hint: str
    at_key: bool = True


def searched(spec: Spec) -> dict[str, dict[str, Dimension]]:
    """Candidate -> option -> what is tried, for a spec without faults; empty without `tune`."""
    if spec.tune is None:
        return {}
    models = _models(spec)
    if not spec.tune.space:
        name = _first(models)
        return {name: {option: _dimension(models[name], option, span) for option, span in _own(models[name])}}
    found: dict[str, dict[str, Dimension]] = {}
    for key, span in spec.tune.space.items():
        name, option = _split(key, models)
        found.setdefault(name, {})[option] = _dimension(models[name], option, span)
    return found


def tune_faults(spec: Spec) -> Iterator[Fault]:
    """Everything in `tune` that does not fit the models and the split of the spec."""
    if spec.tune is None:
        return
    split = spec.data.split
    if getattr(split, "validation", None) == 0.0 and getattr(split, "folds", None) is None:
        hint = "write folds: 5, or a share such as validation: 0.1"
        yield Fault(("tune",), "tuning compares options on held-out rows, and the split has none", hint)
    models = _models(spec)
    if not spec.tune.space and not _own(models[_first(models)]):
        message = f"{_first(models)} has nothing to tune: the spec sets every option that would be tried"
        yield Fault(("tune",), message, "name what to try under 'space', or remove options of the model")
    yield from _space_faults(spec.tune, models)


def _models(spec: Spec) -> dict[str, Model]:
    return {candidate.name: candidate.model for candidate in candidates(spec) if not candidate.taught}


def _first(models: Mapping[str, Model]) -> str:
    """The candidate that is tuned when the space names none."""
    fitting = [name for name, model in models.items() if model.type == _UNMARKED]
    return [*fitting, *models][0]


def _own(model: Model) -> list[tuple[str, Span]]:
    """The model's own space, without the options that the spec has set."""
    fields = type(model).model_fields
    return [
        (option, span)
        for option, span in model.space.items()
        if getattr(model, option) == fields[option].default
    ]


def _split(key: str, models: Mapping[str, Model]) -> tuple[str, str]:
    """Candidate and option of a key; the only candidate need not be named."""
    name, dot, option = key.partition(".")
    return (name, option) if dot else (next(iter(models)) if len(models) == 1 else "", key)


def _dimension(model: Model, option: str, span: Span) -> Dimension:
    kinds = _kinds(model, option)
    return Dimension(**span.model_dump(), integer=span.choices is None and float not in kinds)


def _kinds(model: Model, option: str) -> list[Any]:
    return annotations_of(type(model).model_fields[option])


# What is wrong with a space.


def _space_faults(tune: Tune, models: Mapping[str, Model]) -> Iterator[Fault]:
    taken: dict[tuple[str, str], str] = {}
    for key, span in tune.space.items():
        path = (*_SPACE, key)
        name, option = _split(key, models)
        if name not in models:
            yield _unknown_model(path, key, models)
        elif option not in (options := _options(models[name])):
            message = f"{models[name].type} has no option '{option}'"
            hint = _near(option, options, f"{name}." if "." in key else "")
            yield Fault(path, message, hint)
        elif (name, option) in taken:
            yield Fault(path, f"'{key}' and '{taken[name, option]}' are the same option", "keep one of them")
        else:
            taken[name, option] = key
            yield from _value_faults(path, models[name], option, span)


def _options(model: Model) -> list[str]:
    return [name for name in type(model).model_fields if name != "type"]


def _unknown_model(path: Path, key: str, models: Mapping[str, Model]) -> Fault:
    name, dot, option = key.partition(".")
    owners = [
        f"{each}.{option or key}" for each, model in models.items() if (option or key) in _options(model)
    ]
    if dot:
        message = f"the spec fits no model called '{name}'"
        hint = f"it fits {_list(models)}" if not owners else _near(key, owners)
        return Fault(path, message, hint)
    message = f"'{key}' does not say of which model it is an option"
    return Fault(path, message, f"write {_list(owners or [f'{each}.OPTION' for each in models], 'or')}")


def _near(name: str, known: Iterable[str], before: str = "") -> str:
    known = list(known)
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{before}{near[0]}'?"
    return f"choose {_list([before + each for each in known], 'or')}"


def _list(words: Iterable[str], word: str = "and") -> str:
    *first, last = words
    return f"{', '.join(first)} {word} {last}" if first else last


def _value_faults(path: Path, model: Model, option: str, span: Span) -> Iterator[Fault]:
    """Values of the span that the option cannot have."""
    if span.choices is not None:
        for number, choice in enumerate(span.choices):
            if why := _refused(model, option, choice):
                message = f"{option} of {model.type} cannot be {_shown(choice)}: it {why}"
                yield Fault((*path, "choices", number), message, "delete it, or correct it", at_key=False)
        return
    kinds = _kinds(model, option)
    if not {int, float} & set(kinds) or tuple in {getattr(kind, "__origin__", None) for kind in kinds}:
        message = f"{option} of {model.type} is no number: it has no low and high"
        yield Fault(path, message, "write choices: [VALUE, VALUE]")
        return
    for name in ("low", "high", "step"):
        value = getattr(span, name)
        if value is None or (name == "step" and float in kinds):
            continue
        why = _refused(model, option, _whole(value, kinds)) if name != "step" else _not_whole(value)
        if why:
            message = f"{name} of {option} ({model.type}) is {value:g}: it {why}"
            yield Fault((*path, name), message, "give a value that the option can have", at_key=False)


def _whole(value: float, kinds: list[Any]) -> float:
    return int(value) if float not in kinds and value.is_integer() else value


def _not_whole(value: float) -> str:
    return "" if value.is_integer() else "must be a whole number"


def _refused(model: Model, option: str, value: Any) -> str:
    """Why the option cannot have the value; empty when it can."""
    fields = {**model.model_dump(mode="json"), option: value}
    try:
        type(model).model_validate_json(to_json(fields), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        kind = _KINDS.get(first["type"].partition("_")[0])
        return f"must be {kind}" if kind else first["msg"].replace("Input should be", "must be", 1)
    return ""


_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "tuple": "a list"}


def _shown(value: Any) -> str:
    return str(to_json(value).decode()).strip('"')
