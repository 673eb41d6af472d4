"""`resources.processes`: which models can share their training, and what stands against it."""

from __future__ import annotations

from collections.abc import Iterator

from declarative_ml.models import MODELS
from declarative_ml.models.base import Model
from declarative_ml.spec.document import Spec
from declarative_ml.spec.monotone import left_out
from declarative_ml.spec.portfolio import candidates
from declarative_ml.spec.tuned import Fault

_PATH = ("resources", "processes")


def processes_of(spec: Spec, model: Model) -> int:
    """How many processes fit the model together."""
    return spec.resources.processes or 1 if model.parallel else 1


def idle_processes(spec: Spec) -> Iterator[Fault]:
    """Processes that no model of the spec can use."""
    without = left_out(spec)
    models = [candidate.model for candidate in candidates(spec) if candidate.name not in without]
    if (spec.resources.processes or 1) == 1 or any(model.parallel for model in models):
        return
    types = list(dict.fromkeys(model.type for model in models))
    trains = f"{types[0]} does not train" if len(types) == 1 else f"none of {', '.join(types)} trains"
    able = ", ".join(name for name in MODELS if MODELS.load(name).parallel)
    message = f"resources.processes has no effect: {trains} with torch"
    yield Fault(_PATH, message, f"remove it, or choose a model that processes share: {able}")


def crowded_processes(spec: Spec) -> Iterator[Fault]:
    """More processes than threads."""
    processes, threads = spec.resources.processes or 1, spec.resources.cpu
    if threads is not None and processes > threads:
        message = f"{processes} processes do not fit in resources.cpu: {threads}"
        hint = f"each takes a thread at least: write processes: {threads}, or cpu: {processes}"
        yield Fault(_PATH, message, hint)
