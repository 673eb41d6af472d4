"""The same explanation by the shap library, and the plots that it draws.

The library sees rows as codes (scoring.shap_sampler), so text columns need no encoding of their own.
It draws from numpy's global generator and from pyplot's global figures: one lock guards both.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from declarative_ml.core.optional import require
from declarative_ml.scoring.shap_sampler import (
    DEFAULT_BUDGET,
    Coded,
    Explanation,
    Predict,
    Progress,
    code_pool,
    exact_evaluations,
    silent,
    thin,
)

if TYPE_CHECKING:
    import numpy as np

_SCATTERS = 3
_MAX_DISPLAY = 15
_DPI = 110
_MAX_POINTS = 2_000
_MAX_LEVELS = 20
_MAX_TEXT = 30
_MAX_CLASSES = 6

_lock = threading.RLock()


def explain_with_shap(
    predict: Predict,
    pool: Mapping[str, np.ndarray],
    rows: np.ndarray,
    background: np.ndarray,
    *,
    budget: int = DEFAULT_BUDGET,
    seed: int = 0,
    progress: Progress = silent,
) -> Explanation:
    """SHAP values by shap's ExactExplainer or PermutationExplainer; arguments as in `explain_rows`.

    The permutation explainer gives all background rows the same orders, so at one budget it uses
    fewer of them than `explain_rows` does and varies more. Raises MissingDependency without shap.
    """
    shap = import_shap()
    coded = code_pool(predict, pool)
    row_codes = coded.codes[rows].astype("float64")
    back_codes = coded.codes[background].astype("float64")
    model = _Counter(coded)
    outputs = model(row_codes)
    if exact_evaluations(row_codes, back_codes) + len(rows) + len(background) <= budget:
        method: Literal["exact", "permutation"] = "exact"
        kept, masks = back_codes, 2 ** len(coded.names)
    else:
        method = "permutation"
        kept, masks = _fit(row_codes, back_codes, budget)
    base = model(kept).mean(axis=0)
    with _global_generator(seed):
        explainer = _explainer(shap, method, model, kept, seed)
        values = _explain_each(explainer, row_codes, outputs.shape[1], masks, progress)
    return Explanation(coded.names, base, values, outputs, method, model.evaluations, len(kept))


class _Counter:
    """The model as the library calls it: codes [N, M] as floats -> outputs [N, K], counted."""

    def __init__(self, coded: Coded) -> None:
        self._coded = coded
        self.evaluations = 0

    def __call__(self, codes: np.ndarray) -> np.ndarray:
        self.evaluations += len(codes)
        return self._coded.score(codes.astype("int32"))


def _fit(rows: np.ndarray, background: np.ndarray, budget: int) -> tuple[np.ndarray, int]:
    """(background rows to use, masks for each explained row) within the budget."""
    import numpy as np

    columns = rows.shape[1]
    pair = sum(float((background != row).sum(axis=1).mean()) * 2.0 + 1.0 for row in rows)
    affordable = max(budget - len(rows) - len(background), 0) / max(pair, 1.0)
    pairs = max(int(affordable // len(background)), 1)
    return thin(background, int(np.ceil(affordable))), pairs * (2 * columns + 1)


def _explainer(shap: Any, method: str, model: _Counter, background: np.ndarray, seed: int) -> Any:
    class Codes(shap.maskers.Independent):  # type: ignore[misc]
        """Equal codes are equal; the library's own comparison has a tolerance."""

        def invariants(self, row: np.ndarray) -> np.ndarray:
            same: np.ndarray = row == self.data
            return same

    masker = Codes(background, max_samples=len(background))
    if method == "exact":
        return shap.ExactExplainer(model, masker)
    return shap.PermutationExplainer(model, masker, seed=seed)


def _explain_each(
    explainer: Any, rows: np.ndarray, outputs: int, masks: int, progress: Progress
) -> np.ndarray:
    import numpy as np

    # One row a call: within a call, shap 0.51 computes unasked main effects from the second row on.
    values = np.zeros((len(rows), rows.shape[1], outputs))
    for number, row in enumerate(rows):
        found = explainer(row[None, :], max_evals=masks, batch_size=2**20, silent=True).values
        values[number] = np.reshape(found, values.shape[1:])
        progress((number + 1) / len(rows), f"row {number + 1}/{len(rows)}")
    return values


def import_shap() -> Any:
    """The shap library, with its numba kernels as plain Python: for tables they take milliseconds,
    while compiling them takes ten seconds in every process. Raises MissingDependency."""
    with _lock, _quiet():
        numba = require("numba", "shap")
        compiled = numba.config.DISABLE_JIT
        numba.config.DISABLE_JIT = True
        try:
            return require("shap", "shap")
        finally:
            numba.config.DISABLE_JIT = compiled


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings that shap's use of matplotlib and of fonts gives: no reader can act on them."""
    with warnings.catch_warnings():
        for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", category)
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


@contextmanager
def _global_generator(seed: int) -> Iterator[None]:
    """Seed numpy's global generator for a while, alone, and put its state back afterwards."""
    import numpy as np

    with _lock:
        before = np.random.get_state()
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            np.random.set_state(before)


def shap_plots(
    explanation: Explanation, values: Mapping[str, np.ndarray], outputs: Sequence[str]
) -> dict[str, bytes]:
    """PNG images of one explanation, drawn by shap: bar, beeswarm, waterfall and scatter_1.. plots.

    `values` are the explained rows' raw columns ([R, 1] or [R] each), `outputs` the names of the K
    outputs. Multiclass: the bar shows all classes, the others the class predicted most often.
    An explanation of no rows has no plots.
    """
    if not len(explanation.values):
        return {}
    shap = import_shap()
    shown = _most_predicted(explanation)
    one = _shap_explanation(shap, explanation, values, shown)
    suffix = f" of {outputs[shown]}" if len(outputs) > 1 else ""
    draw: dict[str, Callable[[], None]] = {
        "bar": lambda: _bar(shap, explanation, one, values, outputs),
        "beeswarm": lambda: shap.plots.beeswarm(one, max_display=_MAX_DISPLAY, show=False),
        "waterfall": lambda: shap.plots.waterfall(one[_typical_row(one)], show=False),
    }
    ranked = sorted(range(len(explanation.names)), key=lambda number: -abs(one.values[:, number]).mean())
    for place, number in enumerate(ranked[:_SCATTERS], 1):
        draw[f"scatter_{place}"] = lambda number=number: _scatter(shap, one, number)  # type: ignore[misc]
    with _pyplot() as pyplot:
        return {name: _as_png(pyplot, paint, suffix if name != "bar" else "") for name, paint in draw.items()}


def _most_predicted(explanation: Explanation) -> int:
    import numpy as np

    winners = explanation.predictions.argmax(axis=1)
    return int(np.bincount(winners).argmax())


def _shap_explanation(
    shap: Any, explanation: Explanation, values: Mapping[str, np.ndarray], output: int
) -> Any:
    """One output as shap's own Explanation, cut to the rows that a plot can show."""
    import numpy as np

    rows = min(len(explanation.values), _MAX_POINTS)
    data = np.empty((rows, len(explanation.names)), dtype=object)
    for number, name in enumerate(explanation.names):
        data[:, number] = _for_display(np.asarray(values[name]).reshape(-1)[:rows])
    return shap.Explanation(
        values=explanation.values[:rows, :, output],
        base_values=np.full(rows, explanation.base[output]),
        data=data,
        feature_names=[_plain(name) for name in explanation.names],
    )


def _for_display(column: np.ndarray) -> np.ndarray:
    """Numbers as float64 (NaN = missing); text cut short, with rare values under one name."""
    import numpy as np

    if column.dtype.kind == "f":
        finite = np.where(np.isfinite(column), column, np.nan).astype(np.float64)
        shown: np.ndarray = np.full(len(column), "(missing)", object) if np.isnan(finite).all() else finite
        return shown
    texts = np.array([_plain(str(item)[:_MAX_TEXT]) or "(missing)" for item in column.tolist()], dtype=object)
    levels, counts = np.unique(texts, return_counts=True)
    if len(levels) > _MAX_LEVELS:
        common = set(levels[np.argsort(-counts, kind="stable")][: _MAX_LEVELS - 1].tolist())
        texts = np.array([item if item in common else "(other)" for item in texts], dtype=object)
    return texts


def _plain(text: str) -> str:
    # matplotlib would read what stands between two dollar signs as a formula.
    return text.replace("$", r"\$")


def _typical_row(one: Any) -> int:
    """The row about which the model is most decided: the largest sum of |value|."""
    return int(abs(one.values).sum(axis=1).argmax())


def _bar(
    shap: Any, explanation: Explanation, one: Any, values: Mapping[str, Any], outputs: Sequence[str]
) -> None:
    if len(outputs) == 1:
        shap.plots.bar(one, max_display=_MAX_DISPLAY, show=False)
        return
    weight = abs(explanation.values).mean(axis=(0, 1))
    largest = sorted(range(len(outputs)), key=lambda number: (-weight[number], number))[:_MAX_CLASSES]
    classes = {
        _plain(outputs[number]): _shap_explanation(shap, explanation, values, number)
        for number in sorted(largest)
    }
    shap.plots.bar(classes, max_display=_MAX_DISPLAY, show=False)


def _scatter(shap: Any, one: Any, number: int) -> None:
    import matplotlib.pyplot as plt
    import numpy as np

    column = one[:, number]
    if isinstance(column.data[0], float):
        column.data = column.data.astype(np.float64)
    shap.plots.scatter(column, ax=plt.gca(), show=False)


@contextmanager
def _pyplot() -> Iterator[Any]:
    """pyplot alone, on the Agg canvas and with default settings; all of it is put back afterwards."""
    import matplotlib

    with _global_generator(0), matplotlib.rc_context(), _quiet():
        import matplotlib.pyplot as plt

        backend, interactive = matplotlib.get_backend(), plt.isinteractive()
        matplotlib.rcdefaults()
        plt.switch_backend("agg")
        try:
            yield plt
        finally:
            plt.switch_backend(backend)
            plt.interactive(interactive)


def _as_png(plt: Any, paint: Callable[[], None], suffix: str) -> bytes:
    figure = plt.figure()
    try:
        paint()
        if suffix:
            axes = figure.axes[0]
            axes.set_xlabel(f"{axes.get_xlabel()}{suffix}")
        image = io.BytesIO()
        figure.savefig(image, format="png", dpi=_DPI, bbox_inches="tight", metadata={"Software": None})
        return image.getvalue()
    finally:
        plt.close(figure)
