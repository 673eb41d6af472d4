"""The target's cells against its type, the metric, and what a model can learn from them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from declarative_ml.learning.metric_names import METRICS
from declarative_ml.spec.document import RandomSplit
from declarative_ml.spec.doubt import ENOUGH, Doubt, Look, rows, short

_NUMBERS = frozenset({"number"})
_CLASSES = frozenset({"binary", "multiclass"})
_RARE_SHARE = 0.01
_RARE_ROWS = 5
_SHOWN = 3
_FEW_VALUES = 20
"""More different numbers are hardly meant as classes."""


def target_doubts(look: Look) -> Iterator[Doubt]:
    """What speaks against the target, its type, its classes or the metrics."""
    if look.target is None:
        return
    for find in (_texts, _numbers, _too_many_classes, _positive, _counts):
        yield from find(look, look.target.values)
    if len(look.target.values) >= ENOUGH and look.counts:
        for check in (_one_class, _rare_classes, _single_rows):
            if found := list(check(look)):
                yield from found
                return


def _texts(look: Look, values: list[str]) -> Iterator[Doubt]:
    """Words where a number is to be predicted."""
    target = look.spec.target
    word = next((value for value in values if re.fullmatch(r"[^\d]*[^\W\d_][^\d]*", value)), None)
    if word is None:
        return
    message = f"the target '{target.column}' holds texts such as {word!r}, and %s is for numbers"
    hint = "binary or multiclass targets have metrics such as roc_auc, log_loss and accuracy"
    if target.type == "number":
        hint = "delete 'type', or write binary or multiclass"
        yield Doubt("DML110", ("target", "type"), message % "type: number", hint)
        return
    metric = look.spec.evaluate.metric
    if target.type is None and metric is not None and METRICS[metric].tasks == _NUMBERS:
        yield Doubt("DML110", ("evaluate", "metric"), message % f"metric {metric}", hint)


def _numbers(look: Look, values: list[str]) -> Iterator[Doubt]:
    """Numbers, and a metric that is for classes."""
    target, metric = look.spec.target, look.spec.evaluate.metric
    if target.type is not None or metric is None or look.task != "number" or len(values) < ENOUGH:
        return
    if target.positive is None and METRICS[metric].tasks <= _CLASSES:
        message = f"the target '{target.column}' holds numbers such as {values[0]}, and is read as a number; "
        message += f"metric {metric} is for classes"
        hint = "choose a metric such as rmse or mae"
        if len(set(values)) <= _FEW_VALUES:
            hint = f"write target: {{column: {target.column}, type: multiclass}}, or {hint}"
        yield Doubt("DML110", ("evaluate", "metric"), message, hint)


def _too_many_classes(look: Look, values: list[str]) -> Iterator[Doubt]:
    """More than two classes for a yes or no."""
    classes = list(dict.fromkeys(values))
    if look.spec.target.type == "binary" and len(classes) > 2:
        shown = ", ".join(map(repr, classes[:4])) + (", …" if len(classes) > 4 else "")
        message = f"type: binary is for two classes, and '{look.spec.target.column}' holds {shown}"
        hint = "write multiclass, or number; or make two classes of them in 'data.sql'"
        yield Doubt("DML110", ("target", "type"), message, hint)


def _positive(look: Look, values: list[str]) -> Iterator[Doubt]:
    """The positive class, spelled otherwise than in the data."""
    positive = look.spec.target.positive
    if positive is None or positive in values or not values:
        return
    alike = next((value for value in values if value.lower() == positive.strip().lower()), None)
    if alike is not None:
        message = f"the target '{look.spec.target.column}' holds {alike!r}, not {positive!r}"
        yield Doubt("DML110", ("target", "positive"), message, f"did you mean '{alike}'?")


def _counts(look: Look, values: list[str]) -> Iterator[Doubt]:
    """A target that is another one in every row for a reason that has nothing to do with the others."""
    if len(values) < ENOUGH:
        return
    name, path = look.spec.target.column, ("target", "column")
    hint = "is it the column to predict? 'exclude' keeps an id from the features"
    if all(value.isdigit() and len(value) < 16 for value in values):
        numbers = [int(value) for value in values]
        if all(after == before + 1 for before, after in pairwise(numbers)):
            yield Doubt("DML110", path, f"the target '{name}' counts the rows", hint)
    elif len(set(values)) == len(values) and not any(_is_number(value) for value in values):
        message = f"the target '{name}' is different in each of the first {len(values)} rows"
        yield Doubt("DML110", path, message, hint)


def _is_number(text: str) -> bool:
    """Whether a cell may be a number, with a unit, a currency or groups of thousands, or a date."""
    return re.fullmatch(r"\D{0,3}[\d.,:/ -]+\D{0,3}", text) is not None


def _one_class(look: Look) -> Iterator[Doubt]:
    """Rows of one class only, as far as one can see."""
    only, *others = look.counts
    if others or look.target is None or {*look.target.further} - {only, ""}:
        return
    message = f"the target '{look.spec.target.column}' is {short(only)} in {_each(look)}"
    hint = "a model needs rows of two classes: is it the right column?"
    if not look.sample.whole:
        hint = (
            "a sorted file may have the other classes further down; if it has none, no model can be trained"
        )
    yield Doubt("DML111", ("target", "column"), message, hint)


def _rare_classes(look: Look) -> Iterator[Doubt]:
    """Classes so rare that accuracy does not notice them."""
    spec = look.spec
    if spec.evaluate.metric != "accuracy" or spec.imbalance != "none" or look.target is None:
        return
    below = Counter(cell for cell in look.target.further if cell)
    counts = {name: number + below[name] for name, number in look.counts.items()}
    total = sum(counts.values())
    rare = [name for name, number in counts.items() if number < max(_RARE_ROWS, _RARE_SHARE * total)]
    if not rare or len(rare) == len(counts):
        return
    kept = 1.0 - sum(counts[name] for name in rare) / total
    message = f"'{spec.target.column}' has {_classes_said(rare, look)} among {look.sample.said}: "
    message += (
        f"never predicting {'it' if len(rare) == 1 else 'them'} may still give an accuracy of {kept:.3g}"
    )
    names = "roc_auc, average_precision or f1" if look.task == "binary" else "f1_macro or balanced_accuracy"
    hint = f"choose {names} as the metric, or let the rare class weigh more: 'imbalance: weights'"
    yield Doubt("DML111", ("evaluate", "metric"), message, hint)


def _single_rows(look: Look) -> Iterator[Doubt]:
    """Classes of one row, which no split can share out. Only the whole table shows them."""
    split, name = look.spec.data.split, look.spec.target.column
    if not (look.sample.whole and isinstance(split, RandomSplit) and split.stratify in (True, name)):
        return
    single = [each for each, number in look.counts.items() if number == 1]
    if not single or len(look.counts) > len(look.target.values if look.target else ()) // 2:
        return
    message = f"'{name}' has {_classes_said(single, look)} among {look.sample.said}: "
    message += "a row that trains cannot test, so nobody will know whether the class is learned"
    yield Doubt("DML111", ("target", "column"), message, "add rows of it, or join rare classes in data.sql")


def _classes_said(names: Sequence[str], look: Look) -> str:
    """Rare classes with their rows, the rarest first."""
    ordered = sorted(names, key=lambda name: look.counts[name])
    shown = ", ".join(f"{short(name)} ({rows(look.counts[name])})" for name in ordered[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{'the rare class' if len(names) == 1 else 'the rare classes'} {shown}{more}"


def _each(look: Look) -> str:
    return f"each of {look.sample.said}"
