"""The steps that try the model: the spec's behavioural tests, and the packaged bundle as it is served."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from declarative_ml.behaviour import BEHAVIOURS
from declarative_ml.core.reading import AnyReading
from declarative_ml.graph.plan import Step
from declarative_ml.planner.texts import libraries_of, places_of
from declarative_ml.spec.document import Spec
from declarative_ml.spec.tested import answer_files


def behave_step(spec: Spec, inputs: dict[str, str], folder: Path, readings: Sequence[AnyReading]) -> Step:
    """The step `behave` of a spec that has tests. `inputs` are table, split and assemble; the rows of files
    with expected answers enter the key by their contents."""
    options = {name: test.options() for name, test in spec.tests.items()}
    files = {}
    for (_, name, _), source in answer_files(spec).items():
        files[str(name)] = str(source.resolved(folder).files()[0])
        options[str(name)]["file"] = None
    return Step(
        id="behave",
        kind="behave",
        title=f"Put {len(options)} behavioural test{'s' * (len(options) > 1)} to the ONNX file",
        params={"tests": options, "seed": spec.seed},
        outside={**places_of(readings, folder), **({"files": files} if files else {})},
        inputs=inputs,
        components=tuple(sorted({BEHAVIOURS.module(test.type) for test in spec.tests.values()})),
        libraries=("onnxruntime", "pyarrow", "numpy", *libraries_of(readings)),
        files=tuple(sorted(set(files.values()))),
    )


def verify_step(inputs: dict[str, str], folder: Path, readings: Sequence[AnyReading]) -> Step:
    """The step `verify`. Folders of text pipelines are looked for from the folder of the spec, as a server
    there would."""
    return Step(
        id="verify",
        kind="verify",
        title="Start the bundle as it is served, and ask it rows and nonsense",
        inputs={**inputs, "evaluate": "evaluate", "package": "package"},
        outside={"folder": str(folder)} if readings else {},
        components=("declarative_ml.scoring.worker", "declarative_ml.serving.trial"),
        libraries=("onnxruntime", "pyarrow", "numpy", "uvicorn", *libraries_of(readings)),
    )
