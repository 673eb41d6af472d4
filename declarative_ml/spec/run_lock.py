"""A run's lock: everything that `dml reproduce` needs to make the run's bundle again, byte for byte.

`run.lock.json` in the run's folder and `spec.lock.yaml` in its bundle say the same. Neither is the lock of
templates beside a spec (see spec.lock). There is no time, host or path of the machine in it, so that equal
runs have equal locks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

import yaml
from pydantic import Field, FiniteFloat, ValidationError

from declarative_ml.core.component import Section
from declarative_ml.core.digest import digest_json
from declarative_ml.core.errors import DataError
from declarative_ml.spec.yaml_reader import resolve_scalar

RUN_LOCK = "run.lock.json"
"""Its name in the folder of a run."""
BUNDLE_LOCK = "spec.lock.yaml"
"""Its name in a bundle."""
_HEAD = "# Written by `dml run`: what `dml reproduce` needs to make this bundle again.\n"


class Environment(Section):
    """The machine that the run was on."""

    dml: str = Field(description="Version of declarative-ml")
    python: str = Field(description="Implementation and version of Python")
    system: str = Field(description="System, kind of machine, C library")
    processor: str = Field(description="Name of the processor")
    instructions: tuple[str, ...] = Field(description="Instruction sets by which libraries choose their code")
    processors: int = Field(ge=1, description="How many there are: some libraries use as many threads")
    threads: int = Field(ge=1, description="Threads of a fit")
    variables: dict[str, str] = Field(description="Environment variables that steer numerical libraries")
    libraries: dict[str, str] = Field(description="Versions of the libraries that enter the steps' keys")


class LockedData(Section):
    """What a step read from outside."""

    files: dict[str, str] = Field(description="Name, relative to the spec, and SHA-256, in the step's order")
    rows: int | None = Field(default=None, description="Rows that were read")


class LockedStep(Section):
    """What a step made."""

    digest: str = Field(
        description="SHA-256 over its artifact's files; of a conversion, over those that ship"
    )
    skipped: str | None = Field(default=None, description="Why it did nothing")
    work: dict[str, int] = Field(default_factory=dict, description="Of a fit: rounds, epochs, trees, …")
    pinned: dict[str, Any] = Field(
        default_factory=dict, description="What the clock decided, or a latency that was measured"
    )
    unpinned: bool = Field(
        default=False, description="The clock decided something that is not recorded: it cannot be repeated"
    )


class RunLock(Section):
    """The content of the lock."""

    version: Literal[1] = Field(default=1, description="Version of the lock's format")
    name: str = Field(description="The spec's name")
    seed: int = Field(description="Of every random choice")
    spec_digest: str = Field(description="SHA-256 of `spec`")
    data_fingerprint: str = Field(default="", description="Of the rows that the model was learned from")
    model_digest: str | None = Field(default=None, description="Of the bundle; null where there is none")
    templates: dict[str, dict[str, str]] = Field(description="What the spec extends, by digest and commit")
    profile: str | None = Field(default=None, description="--profile")
    overrides: tuple[str, ...] = Field(default=(), description="--set")
    environment: Environment = Field(description="The machine")
    data: dict[str, LockedData] = Field(description="By step: what it read")
    metrics: dict[str, dict[str, FiniteFloat | None]] = Field(default_factory=dict, description="By part")
    files: dict[str, str] = Field(default_factory=dict, description="The bundle's, with their SHA-256")
    steps: dict[str, LockedStep] = Field(description="Every step that the bundle comes from, in order")
    spec: dict[str, Any] = Field(description="The whole spec; secrets as references, paths as it has them")
    code: dict[str, str] = Field(description="Digest of every module of declarative-ml at work")


def lock_to_json(lock: RunLock) -> str:
    """The text of run.lock.json. The order of keys is kept: steps stand in the order of the plan."""
    return json.dumps(_content(lock), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _content(lock: RunLock) -> dict[str, Any]:
    steps = {name: step.model_dump(mode="json", exclude_defaults=True) for name, step in lock.steps.items()}
    return {**lock.model_dump(mode="json"), "steps": steps}


def lock_to_yaml(lock: RunLock) -> str:
    """The text of spec.lock.yaml."""
    return _HEAD + yaml.dump(_content(lock), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def read_run_lock(text: str, name: str) -> RunLock:
    """Read either form. Raises DataError, which names the file, for what is no lock or was changed."""
    try:
        content = json.loads(text) if name.endswith(".json") else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise DataError(f"{name} cannot be read: {error}") from error
    found = content.get("version") if isinstance(content, Mapping) else None
    if found != 1:
        raise DataError(
            f"{name} is not a lock of a run that this version reads: version {found!r}",
            hint="pip install --upgrade declarative-ml",
        )
    try:
        lock = RunLock.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(f"{name} is not a lock of a run: {place}: {first['msg']}") from error
    if digest_json(lock.spec) != lock.spec_digest:
        raise DataError(
            f"{name}: the spec in it is not the one that ran: its digest is another",
            hint="a lock is not for editing; change the spec itself and run it",
        )
    return lock


class _Dumper(yaml.SafeDumper):
    """Texts that YAML 1.2 would read as something else in quotes: a digest such as 12e4 is no number."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = None if isinstance(resolve_scalar(text), str) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
