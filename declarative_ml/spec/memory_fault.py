"""The fault of a ceiling of memory that cannot suffice: only a plan and a look at the data show it."""

from __future__ import annotations

from declarative_ml.core.errors import Problem, SpecError

_MIB = 1 << 20


def too_little_memory(file: str, given: str, rows: int, step: str, needed: int) -> SpecError:
    """The error for a spec whose `resources.memory` is `given`, where `step` needs so many bytes."""
    message = (
        f"resources.memory: {given} is too little: with about {rows:,} rows the step {step} needs "
        f"{needed // _MIB:,}Mi"
    )
    hint = f"write memory: {needed // _MIB}Mi, or learn from fewer rows"
    return SpecError([Problem("DML210", message, file=file, path="resources.memory", hint=hint)])
