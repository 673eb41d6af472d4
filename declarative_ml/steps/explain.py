"""SHAP values of the shipped graph on test rows, and plots of them where the shap library is installed.

explanation.npz   base [K], values [R, M, K], predictions [R, K], rows [R]
explanation.json  names, outputs, method, evaluations, seed, importance, …
plots/*.png       bar, beeswarm, waterfall, scatter, drawn by shap
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from declarative_ml.core.atomic import write_json
from declarative_ml.core.optional import installed
from declarative_ml.core.task import Task
from declarative_ml.scoring.explain import output_names
from declarative_ml.scoring.session import open_session, run_graph
from declarative_ml.scoring.shap_sampler import DEFAULT_BUDGET, Explanation, Predict, explain_rows
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.divided import in_table, of_part
from declarative_ml.steps.raw import raw_arrays
from declarative_ml.steps.split import TEST, TRAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np


def run(context: StepContext) -> None:
    """Write the explanation."""
    import numpy as np

    assembly = context.read("assemble", "assembly.json")
    task = Task.model_validate(assembly["task"])
    rows, background = _rows(context)
    dtypes = {item["name"]: item["dtype"] for item in assembly["inputs"]}
    pool = raw_arrays(context.inputs, np.concatenate([rows, background]), dtypes)
    places = np.arange(len(rows)), np.arange(len(rows), len(rows) + len(background))
    session = open_session((context.inputs["assemble"] / "model.onnx").read_bytes(), threads=context.threads)
    predict = explained_output(session, task)
    seed = context.params["seed"]
    budget = _budget(context, predict, pool)
    found = explain_rows(predict, pool, *places, budget=budget, seed=seed, progress=context.progress)
    _draw(context, found, pool, places[0], task)
    np.savez(
        context.out / "explanation.npz",
        base=found.base,
        values=found.values,
        predictions=found.predictions,
        rows=rows,
    )
    ranked = sorted(zip(found.names, found.mean_absolute().tolist()), key=lambda item: (-item[1], item[0]))
    write_json(
        context.out / "explanation.json",
        {
            "names": list(found.names),
            "outputs": output_names(task),
            "method": found.method,
            "evaluations": found.evaluations,
            "seed": seed,
            "rows": len(rows),
            "background": found.backgrounds,
            "importance": [{"feature": name, "mean_abs_shap": value} for name, value in ranked],
        },
    )


def _budget(context: StepContext, predict: Predict, pool: Mapping[str, np.ndarray]) -> int:
    """The model evaluations to spend: as many as the deadline allows."""
    if "evaluations" in context.pinned:
        return int(context.pinned["evaluations"])
    if context.deadline is None:
        return DEFAULT_BUDGET
    started = time.monotonic()
    predict(pool)
    rows = len(next(iter(pool.values())))
    left = max(0.0, context.deadline() - time.monotonic())
    affordable = int(rows * left / max(time.monotonic() - started, 1e-6))
    if affordable >= DEFAULT_BUDGET:
        return DEFAULT_BUDGET
    context.cut_short()
    context.pin({"evaluations": affordable})
    return affordable


def explained_output(session: Any, task: Task) -> Callable[[Mapping[str, np.ndarray]], np.ndarray]:
    """What is explained: the positive class's probability, every class's probability, or the number."""

    def predict(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        answer = run_graph(session, inputs)
        if task.type == "number":
            return answer[:, None]
        return answer[:, 1:] if task.type == "binary" else answer

    return predict


def _rows(context: StepContext) -> tuple[np.ndarray, np.ndarray]:
    """Table positions of the rows to explain (test rows; training rows where there are none) and of
    the background, both the first in hash order."""
    split = context.inputs["split"]
    test, training = of_part(split, TEST), of_part(split, TRAIN)
    reference = context.read("prepare", "reference.json")["background"]
    background = len(next(iter(reference.values())))
    shown = (test if len(test) else training)[: context.params["rows"]]
    return in_table(split, shown), in_table(split, training[:background])


def _draw(
    context: StepContext, found: Explanation, pool: Mapping[str, np.ndarray], rows: np.ndarray, task: Task
) -> None:
    if not (installed("shap") and installed("matplotlib")):
        return
    from declarative_ml.steps.shap_plots import shap_plots

    folder = context.out / "plots"
    folder.mkdir()
    plots = shap_plots(found, {name: values[rows] for name, values in pool.items()}, output_names(task))
    for name, content in plots.items():
        (folder / f"{name}.png").write_bytes(content)
