"""What differs between a run's lock and this machine, and which of it explains that a step differs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from declarative_ml.api.diff import changed_options
from declarative_ml.api.lock import code_of, environment, modules_of
from declarative_ml.core.errors import DmlError
from declarative_ml.graph.plan import Plan
from declarative_ml.planner.code import code_digests
from declarative_ml.spec.load import load_spec
from declarative_ml.spec.lock import entries
from declarative_ml.spec.run_lock import Environment, LockedData, RunLock

_WORDS = {
    "dml": "declarative-ml",
    "python": "Python",
    "system": "system",
    "processor": "processor",
    "instructions": "instruction sets",
    "processors": "processors",
}
_ABSENT = "none"
_SHOWN = 12
"""Characters of a digest that a person is shown."""


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it was."""

    kind: str
    """library, data, code, machine, variable, plan; template, spec: these alone cannot change the result,
    because the lock holds the spec that ran."""
    name: str
    then: str
    now: str

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)

    def __str__(self) -> str:
        name = {"data": "data file ", "template": "template ", "code": "code of ", "spec": "spec: "}
        return f"{name.get(self.kind, '')}{self.name} {self.then} then, {self.now} now"


@dataclass(frozen=True)
class Now:
    """What the lock would hold of this machine."""

    environment: Environment
    data: Mapping[str, LockedData]
    code: Mapping[str, str]
    steps: tuple[str, ...]

    @classmethod
    def of(cls, plan: Plan, lock: RunLock, data: Mapping[str, LockedData]) -> Now:
        """This machine, for the steps of `plan`."""
        here = environment(plan.steps, lock.environment.threads)
        return cls(here, data, code_of(plan.steps), tuple(step.id for step in plan.steps))


def between(lock: RunLock, now: Now, spec: Path | None) -> list[Difference]:
    """Everything that differs. `spec` is the spec's file, as it is today."""
    found = _libraries(lock, now)
    found += [
        Difference("machine", word, _text(then), _text(here))
        for name, word in _WORDS.items()
        if (then := getattr(lock.environment, name)) != (here := getattr(now.environment, name))
    ]
    found += _named("variable", lock.environment.variables, now.environment.variables)
    found += _named("code", lock.code, now.code)
    found += _data(lock, now)
    found += [
        Difference("plan", f"step {name}", "there", "gone") for name in lock.steps if name not in now.steps
    ]
    found += [
        Difference("plan", f"step {name}", _ABSENT, "there") for name in now.steps if name not in lock.steps
    ]
    return found + _spec(lock, spec)


def _libraries(lock: RunLock, now: Now) -> list[Difference]:
    """The libraries that steps of then or now use."""
    return _named("library", lock.environment.libraries, now.environment.libraries)


def _named(kind: str, then: Mapping[str, str], now: Mapping[str, str]) -> list[Difference]:
    return [
        Difference(kind, _module(name), _short(kind, then.get(name)), _short(kind, now.get(name)))
        for name in dict.fromkeys([*then, *now])
        if then.get(name) != now.get(name)
    ]


def _module(name: str) -> str:
    return name.removeprefix("declarative_ml.")


def _short(kind: str, value: str | None) -> str:
    if value is None:
        return _ABSENT
    return value.removeprefix("sha256:")[:_SHOWN] if kind in ("code", "data") else value


def _text(value: Any) -> str:
    return " ".join(value) if isinstance(value, tuple) else str(value)


def _data(lock: RunLock, now: Now) -> list[Difference]:
    """Files by their place among those of their step: they may lie elsewhere and have other names now."""
    found: dict[str, Difference] = {}
    for step, then in lock.data.items():
        here = list(now.data[step].files.values()) if step in now.data else []
        digests = [*here, *[None] * (len(then.files) - len(here))]
        for (name, digest), other in zip(then.files.items(), digests, strict=False):
            if other != digest:
                values = _short("data", digest), _short("data", other)
                found[name] = Difference("data", name, f"digest {values[0]}", f"digest {values[1]}")
        if len(here) > len(then.files):
            counts = f"{len(then.files)} files", f"{len(here)} files"
            found[step] = Difference("data", f"of {step}", *counts)
    return list(found.values())


def _spec(lock: RunLock, path: Path | None) -> list[Difference]:
    """The spec and its templates as they are today."""
    if path is None or not path.is_file():
        return []
    try:
        loaded = load_spec(path, profile=lock.profile, overrides=lock.overrides)
    except DmlError as error:
        return [Difference("spec", path.name, "valid", error.message)]
    here = entries(loaded.templates, path.resolve().parent)
    found = []
    for name in dict.fromkeys([*lock.templates, *here]):
        then, today = lock.templates.get(name, {}), here.get(name, {})
        if then != today:
            what = next(key for key in ("commit", "version", "digest") if then.get(key) != today.get(key))
            values = [_short("data", entry.get(what)) for entry in (then, today)]
            found.append(Difference("template", name, f"{what} {values[0]}", f"{what} {values[1]}"))
    options = changed_options(lock.spec, dict(loaded.written))
    return found + [Difference("spec", name, _option(a), _option(b)) for name, (a, b) in options.items()]


def _option(value: Any) -> str:
    return _ABSENT if value is None else str(value)


def rows_changed(lock: RunLock, rows: Mapping[str, int]) -> list[Difference]:
    """Tables that have another number of rows now."""
    return [
        Difference("rows", f"rows of {step}", str(then.rows), str(rows[step]))
        for step, then in lock.data.items()
        if step in rows and then.rows != rows[step]
    ]


def cause_of(step_id: str, plan: Plan, lock: RunLock, now: Now, found: Sequence[Difference]) -> str:
    """Why the first step that differs does so, in words: of what differs, that which the step depends on."""
    if step_id not in now.steps:
        return "this version of declarative-ml has no such step"
    if lock.steps[step_id].unpinned:
        return "the clock ended it in the run, and the lock does not hold where"
    step = plan[step_id]
    modules = {_module(name) for name in code_digests(modules_of(step))}
    files = {*(lock.data[step_id].files if step_id in lock.data else ()), f"of {step_id}"}
    names = {
        "data": files,
        "rows": {f"rows of {step_id}"},
        "library": set(step.libraries),
        "code": modules,
    }
    own = [each for each in found if each.name in names.get(each.kind, ())]
    causes = own or [each for each in found if each.kind in ("machine", "variable")]
    if causes:
        return "; ".join(_told(causes))
    if step.always:
        return "its source gave other rows"
    return "nothing that the lock records differs: the step does not give the same bytes twice"


def _told(causes: Iterable[Difference]) -> list[str]:
    """In words; of many modules their names are enough."""
    causes = list(causes)
    modules = [each.name for each in causes if each.kind == "code"]
    told = [str(each) for each in causes if each.kind != "code"]
    return [*told, f"code of declarative-ml changed: {', '.join(modules)}"] if modules else told
