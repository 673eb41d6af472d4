"""The Plan: a frozen DAG of Steps that is plain JSON, the contract between machines."""

from __future__ import annotations

import graphlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from declarative_ml.core.component import Section
from declarative_ml.core.machine import processors


class Step(Section):
    """One node: what to do (`kind`), with which parameters, on which other steps' artifacts."""

    id: str = Field(description="Unique name, for example train.lightgbm.fold0")
    kind: str = Field(description="The step module that does the work")
    title: str = Field(description="What the step does, in words for a person")
    params: dict[str, Any] = Field(default_factory=dict, description="Canonical parameters (JSON)")
    outside: dict[str, Any] = Field(
        default_factory=dict, description="Paths and addresses to read or write; never part of the key"
    )
    inputs: dict[str, str] = Field(default_factory=dict, description="Role -> id of the step it comes from")
    after: tuple[str, ...] = Field(
        default=(), description="Steps that must succeed first, although nothing of theirs is read"
    )
    components: tuple[str, ...] = Field(default=(), description="Modules of the components at work")
    libraries: tuple[str, ...] = Field(default=(), description="Distributions whose versions enter the key")
    files: tuple[str, ...] = Field(default=(), description="Outside files that the step reads, by content")
    effect: bool = Field(default=False, description="Changes the world outside the store; runs last")
    always: bool = Field(default=False, description="Reads what may change without a trace; never cached")
    optional: bool = Field(
        default=False, description="The run goes on without it when it fails or its time is up"
    )
    effort: float = Field(
        default=0.0, ge=0.0, description="Share of the time for training, relative to other steps'"
    )
    long: bool = Field(default=False, description="Expected to take long: gets a progress bar of its own")

    @property
    def needs(self) -> set[str]:
        """The ids of the steps that come before this one."""
        return {*self.inputs.values(), *self.after}


class Plan(Section):
    """The whole graph of one spec. Equal specs give equal plans."""

    version: Literal[1] = Field(default=1, description="Version of the plan's format")
    name: str = Field(description="The spec's name")
    spec_digest: str = Field(description="SHA-256 of what the spec means, whatever its layout or folder")
    cpu: int | None = Field(
        default=None,
        description="Threads of a training step; null: the processors that it may use",
    )
    memory: int | None = Field(default=None, description="Bytes that a run may have; null: no ceiling")
    seconds: int | None = Field(default=None, description="Time that a run may take; null: no limit")
    steps: tuple[Step, ...] = Field(description="The nodes; what they need from each other is in `inputs`")

    @property
    def threads(self) -> int:
        """Of a training step on this machine. They belong to its key, so that whoever runs a step of the plan
        has to take as many."""
        return self.cpu or processors()

    def __getitem__(self, step_id: str) -> Step:
        for step in self.steps:
            if step.id == step_id:
                return step
        raise KeyError(step_id)

    def ordered(self) -> Iterator[Step]:
        """The steps, each after everything that it needs; otherwise in the order of the plan."""
        position = {step.id: number for number, step in enumerate(self.steps)}
        sorter = graphlib.TopologicalSorter(self.needs())
        sorter.prepare()
        while sorter.is_active():
            ready = sorted(sorter.get_ready(), key=position.__getitem__)
            for step_id in ready:
                yield self[step_id]
                sorter.done(step_id)

    def needs(self) -> Mapping[str, set[str]]:
        """Step id -> the ids it depends on."""
        return {step.id: step.needs for step in self.steps}

    def upstream(self, step_id: str) -> set[str]:
        """`step_id` and everything it depends on, directly or not."""
        wanted, queue = {step_id}, [step_id]
        needs = self.needs()
        while queue:
            for needed in needs[queue.pop()] - wanted:
                wanted.add(needed)
                queue.append(needed)
        return wanted
