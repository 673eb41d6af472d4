"""The steps that judge the finished model by the gates of the spec."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from declarative_ml.graph.plan import Step
from declarative_ml.spec.document import Spec
from declarative_ml.spec.gate_faults import champion_of, compares
from declarative_ml.spec.gates import Champion
from declarative_ml.store.bundle import MANIFEST, MODEL, REFERENCE

ALIAS = "champion"
"""The registered version that is the champion, unless the spec names another alias."""


def gate_steps(spec: Spec, inputs: Mapping[str, str]) -> list[Step]:
    """The champion, if a gate is about it, and the gates; nothing for a spec without gates.

    `inputs` are the steps that made and measured the model, by role.
    """
    if not spec.evaluate.gates:
        return []
    champion = champion_of(spec) if compares(spec) else None
    steps = [] if champion is None else [_champion(champion, spec.track.uri)]
    gates = spec.evaluate.gates
    count = f"{len(gates)} gate{'s' * (len(gates) > 1)}"
    steps.append(
        Step(
            id="gate",
            kind="gate",
            title=f"Hold the model against {count}" + (" and the champion" if steps else ""),
            params={
                "gates": {
                    name: gate.model_dump(mode="json", by_alias=True, exclude_none=True)
                    for name, gate in gates.items()
                },
                "seed": spec.seed,
            },
            inputs={**inputs, **{step.id: step.id for step in steps}},
            libraries=("onnxruntime", "numpy"),
        )
    )
    return steps


def _champion(champion: Champion, uri: str | None) -> Step:
    """A bundle is read like a data file; a registry is asked in every run."""
    is_registered = champion.registry is not None
    place: dict[str, Any] = {"uri": uri} if is_registered else {"path": champion.path}
    return Step(
        id="champion",
        kind="champion",
        title="Fetch the champion, which the model has to stand up to",
        params={
            "registry": champion.registry,
            "alias": (champion.alias or ALIAS) if is_registered else None,
        },
        outside=place,
        libraries=("mlflow",) if is_registered else (),
        files=() if champion.path is None else tuple(map(str, _files(Path(champion.path)))),
        always=is_registered,
    )


def _files(bundle: Path) -> list[Path]:
    """The files of a bundle that make its answers; none where it is not there, which the step will say."""
    if bundle.is_dir():
        return [path for name in (MANIFEST, MODEL, REFERENCE) if (path := bundle / name).is_file()]
    return [bundle] if bundle.is_file() else []
