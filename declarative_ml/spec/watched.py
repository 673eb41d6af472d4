"""Columns that `monitor` names and the model does not take."""

from __future__ import annotations

from collections.abc import Iterator

from declarative_ml.spec.document import Spec
from declarative_ml.spec.positions import Path
from declarative_ml.spec.tuned import Fault


def columns_of_monitor(spec: Spec) -> Iterator[tuple[Path, str]]:
    """Every column that `monitor` names, with the place where it does."""
    for number, name in enumerate(spec.monitor.drift.columns):
        yield ("monitor", "drift", "columns", number), name
    for number, name in enumerate(spec.monitor.log.redact if spec.monitor.log is not None else ()):
        yield ("monitor", "log", "redact", number), name


def faults_of_monitor(spec: Spec) -> Iterator[Fault]:
    """Columns that no request has: the target, excluded ones, and those that are no feature."""
    known = spec.features if spec.features != "auto" and spec.others == "drop" else None
    for path, name in columns_of_monitor(spec):
        if name == spec.target.column:
            hint = "the answers are always watched, and requests do not have it: delete it here"
            yield Fault(path, f"'{name}' is the target, not a column that requests have", hint, at_key=False)
        elif name in spec.exclude or (known is not None and name not in known):
            hint = f"it takes {', '.join(known)}" if known else "delete it here, or in 'exclude'"
            yield Fault(path, f"the model does not take a column '{name}'", hint, at_key=False)
