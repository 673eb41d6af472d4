"""What speaks against a model. Steps that judge leave a verdict; steps that let the model out read them all.

verdict.json      {"faults": [one sentence each]}; empty: the model passed
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from declarative_ml.core.atomic import read_json, write_json
from declarative_ml.steps.context import StepContext

VERDICT = "verdict.json"
JUDGES = ("gate", "behave", "verify")
"""The steps that judge, by id, and their roles where they are inputs."""
REJECTED = "the model did not pass its gates and tests"
"""Why a step that would let it out did nothing."""


def write_verdict(folder: Path, faults: Sequence[str]) -> None:
    """Leave what speaks against the model, in sentences that name the gate or test and its numbers."""
    write_json(folder / VERDICT, {"faults": list(faults)})


def read_verdict(folder: Path) -> list[str]:
    """What a judging step found wrong; empty: nothing."""
    return [str(fault) for fault in read_json(folder / VERDICT)["faults"]]


def faults(context: StepContext) -> list[str]:
    """What the judging steps among the inputs hold against the model; empty: it may be let out."""
    return [
        fault for role in JUDGES if role in context.inputs for fault in read_verdict(context.inputs[role])
    ]
