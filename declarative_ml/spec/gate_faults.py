"""What the gates of a spec ask of its target, its split and its champion, and where that cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as FilePath

from declarative_ml.learning.fairness_names import FAIRNESS
from declarative_ml.learning.metric_names import METRICS
from declarative_ml.spec.document import Spec
from declarative_ml.spec.gates import Champion, Gate
from declarative_ml.spec.positions import Path
from declarative_ml.spec.tuned import Fault
from declarative_ml.store.bundle import is_bundle


def champion_of(spec: Spec) -> Champion | None:
    """The champion that the spec names: its own, else the registered model that a run would follow."""
    if spec.evaluate.champion is not None:
        return spec.evaluate.champion
    if spec.track.register_as is not None and spec.track.enabled is not False:
        return Champion(registry=spec.track.register_as)
    return None


def compares(spec: Spec) -> bool:
    """Whether a gate is about the champion."""
    return any(gate.beats is not None for gate in spec.evaluate.gates.values())


def gate_demands(spec: Spec) -> Iterator[tuple[Path, str, frozenset[str]]]:
    """Path, words, and the types of target that it is for."""
    for name, gate in spec.evaluate.gates.items():
        path: Path = ("evaluate", "gates", name)
        if gate.metric is not None:
            yield (*path, "metric"), f"metric {gate.metric}", METRICS[gate.metric].tasks
        if gate.fairness is not None:
            yield (*path, "fairness"), f"fairness {gate.fairness}", FAIRNESS[gate.fairness].tasks
        if gate.favoured is not None:
            yield (*path, "class"), "a gate's class", frozenset({"binary", "multiclass"})


def gate_columns(spec: Spec) -> Iterator[tuple[Path, str]]:
    """Every column that a gate names, with the place where it does."""
    for name, gate in spec.evaluate.gates.items():
        path: Path = ("evaluate", "gates", name)
        for column in gate.columns:
            if gate.fairness is not None:
                yield (*path, "column"), column
            else:
                yield (*path, "slice") if isinstance(gate.slice, str) else (*path, "slice", column), column


def gate_faults(spec: Spec) -> Iterator[Fault]:
    """Gates that could not be measured, or that ask what only another kind of target has."""
    split = spec.data.split
    held_out = getattr(split, "validation", None) != 0.0 or getattr(split, "folds", None) is not None
    for name, gate in spec.evaluate.gates.items():
        path: Path = ("evaluate", "gates", name)
        if gate.is_on_test and getattr(split, "test", None) == 0.0:
            message = f"gate '{name}' is measured on test rows, and the split keeps none"
            hint = "keep some, such as test: 0.2" + ("" if gate.beats else ", or write part: validation")
            yield Fault(path, message, hint)
        if gate.part == "validation" and not held_out:
            message = f"gate '{name}' is measured on held-out rows, and the split has none"
            yield Fault((*path, "part"), message, "write folds: 5, or a share such as validation: 0.1")
        yield from _class_faults(spec, gate, path)


def _class_faults(spec: Spec, gate: Gate, path: Path) -> Iterator[Fault]:
    if gate.fairness is None or spec.target.type != "multiclass" or gate.favoured is not None:
        return
    message = f"{gate.fairness} is of one class, and the target has several"
    yield Fault(path, message, "name it: class: NAME")


def idle_comparisons(spec: Spec) -> Iterator[Fault]:
    """Comparisons that are always passed: warnings."""
    for name, gate in spec.evaluate.gates.items():
        if gate.beats is not None and champion_of(spec) is None:
            message = f"gate '{name}' is always passed: there is no champion"
            hint = "name one: champion: PATH under evaluate, or track.register"
            yield Fault(("evaluate", "gates", name, "beats"), message, hint)


def absent_champion(spec: Spec) -> Iterator[Fault]:
    """A path that leads to no bundle."""
    champion = spec.evaluate.champion
    if champion is not None and champion.path is not None and not is_bundle(champion.path):
        what = "is no bundle" if FilePath(champion.path).exists() else "does not exist"
        hint = "give the folder or .zip of a bundle, such as .dml/runs/RUN/bundle"
        yield Fault(("evaluate", "champion", "path"), f"{champion.path} {what}", hint, at_key=False)
