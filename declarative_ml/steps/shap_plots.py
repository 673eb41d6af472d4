"""The plots that the shap library draws of an explanation.

shap draws on pyplot's global figures and jitters with numpy's global generator: one lock guards both.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from declarative_ml.steps.shap_import import ShapPlots, import_plots, whole_shap

if TYPE_CHECKING:
    import numpy as np

    from declarative_ml.scoring.shap_sampler import Explanation

_MAX_DISPLAY = 15
_DPI = 100
_MAX_POINTS = 2_000
_MAX_LEVELS = 20
_MAX_TEXT = 30
_MAX_CLASSES = 6
_MARGIN = 0.1
"""Inches around the plot."""
_COMPRESSION = 3
"""zlib's level: a third of the time of its default, for a tenth more bytes."""

_lock = threading.RLock()


def shap_plots(
    explanation: Explanation, values: Mapping[str, np.ndarray], outputs: Sequence[str]
) -> dict[str, bytes]:
    """PNG images of one explanation, drawn by shap: a bar, beeswarm, waterfall and scatter plot.

    `values` are the explained rows' raw columns ([R, 1] or [R] each), `outputs` the names of the K
    outputs. Multiclass: the bar shows all classes, the others the class predicted most often. The
    waterfall shows a typical row, the scatter the strongest column. An explanation of no rows has no
    plots. Raises MissingDependency without shap.
    """
    if not len(explanation.values):
        return {}
    try:
        return _draw_all(import_plots(), explanation, values, outputs)
    except (ImportError, AttributeError):
        return _draw_all(whole_shap(), explanation, values, outputs)


def _draw_all(
    shap: ShapPlots, explanation: Explanation, values: Mapping[str, np.ndarray], outputs: Sequence[str]
) -> dict[str, bytes]:
    shown = _most_predicted(explanation)
    one = _shap_explanation(shap, explanation, values, shown)
    suffix = f" of {outputs[shown]}" if len(outputs) > 1 else ""
    draw: dict[str, Callable[[], None]] = {
        "bar": lambda: _bar(shap, explanation, one, values, outputs),
        "beeswarm": lambda: _beeswarm(shap, one, suffix),
        "waterfall": lambda: _waterfall(shap, one, suffix),
        "scatter_1": lambda: _scatter(shap, one, suffix),
    }
    with _pyplot() as pyplot:
        return {name: _as_png(pyplot, paint) for name, paint in draw.items()}


def _most_predicted(explanation: Explanation) -> int:
    import numpy as np

    winners = explanation.predictions.argmax(axis=1)
    return int(np.bincount(winners).argmax())


def _shap_explanation(
    shap: ShapPlots, explanation: Explanation, values: Mapping[str, np.ndarray], output: int
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
        feature_names=list(explanation.names),
    )


def _for_display(column: np.ndarray) -> np.ndarray:
    """Numbers as float64 (NaN = missing); text cut short, with rare values under one name."""
    import numpy as np

    if column.dtype.kind == "f":
        finite = np.where(np.isfinite(column), column, np.nan).astype(np.float64)
        shown: np.ndarray = np.full(len(column), "(missing)", object) if np.isnan(finite).all() else finite
        return shown
    texts = np.array([str(item)[:_MAX_TEXT] or "(missing)" for item in column.tolist()], dtype=object)
    levels, counts = np.unique(texts, return_counts=True)
    if len(levels) > _MAX_LEVELS:
        common = set(levels[np.argsort(-counts, kind="stable")][: _MAX_LEVELS - 1].tolist())
        texts = np.array([item if item in common else "(other)" for item in texts], dtype=object)
    return texts


def _bar(
    shap: ShapPlots, explanation: Explanation, one: Any, values: Mapping[str, Any], outputs: Sequence[str]
) -> None:
    if len(outputs) == 1:
        shap.bar(one, max_display=_MAX_DISPLAY, show=False)
        return
    weight = abs(explanation.values).mean(axis=(0, 1))
    largest = sorted(range(len(outputs)), key=lambda number: (-weight[number], number))[:_MAX_CLASSES]
    classes = {
        outputs[number]: _shap_explanation(shap, explanation, values, number) for number in sorted(largest)
    }
    shap.bar(classes, max_display=_MAX_DISPLAY, show=False)


def _beeswarm(shap: ShapPlots, one: Any, suffix: str) -> None:
    import matplotlib.pyplot as plt

    shap.beeswarm(one, max_display=_MAX_DISPLAY, show=False)
    axes = plt.gcf().axes[0]
    axes.set_xlabel(f"{axes.get_xlabel()}{suffix}")


def _waterfall(shap: ShapPlots, one: Any, suffix: str) -> None:
    """A typical row: that with the median sum of |value|."""
    import matplotlib.pyplot as plt

    decided = abs(one.values).sum(axis=1).argsort(kind="stable")
    shap.waterfall(one[int(decided[len(decided) // 2])], show=False)
    # shap writes formulas, `$f(x)$` and `$E[f(X)]$`, as the tick labels of two axes of their own.
    main, *others = plt.gcf().axes
    for axes in others:
        axes.set_xticklabels([label.get_text().replace("$", "") for label in axes.get_xticklabels()])
    main.set_xlabel(f"\nModel output{suffix}", fontsize=13)


def _scatter(shap: ShapPlots, one: Any, suffix: str) -> None:
    """The column with the largest values on average."""
    import matplotlib.pyplot as plt
    import numpy as np

    column = one[:, int(abs(one.values).mean(axis=0).argmax())]
    if isinstance(column.data[0], float):
        column.data = column.data.astype(np.float64)
    axes = plt.gca()
    shap.scatter(column, ax=axes, show=False)
    axes.set_ylabel(f"SHAP value{suffix}")


@contextmanager
def _pyplot() -> Iterator[Any]:
    """pyplot alone, on the Agg canvas and with settings of its own; all of it is put back afterwards."""
    import matplotlib

    with _global_generator(0), matplotlib.rc_context(), _quiet():
        import matplotlib.pyplot as plt

        backend, interactive = matplotlib.get_backend(), plt.isinteractive()
        matplotlib.rcdefaults()
        # A dollar sign in a column's name is a dollar sign; and the parser of formulas is slow.
        matplotlib.rcParams.update({"figure.dpi": _DPI, "text.parse_math": False})
        plt.switch_backend("agg")
        try:
            yield plt
        finally:
            plt.switch_backend(backend)
            plt.interactive(interactive)


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
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before)


def _as_png(plt: Any, paint: Callable[[], None]) -> bytes:
    figure = plt.figure()
    try:
        paint()
        # Measured here: savefig(bbox_inches="tight") would draw everything once more to measure it.
        box = figure.get_tightbbox().padded(_MARGIN)
        image = io.BytesIO()
        options = {"compress_level": _COMPRESSION}
        figure.savefig(image, format="png", bbox_inches=box, metadata={"Software": None}, pil_kwargs=options)
        return image.getvalue()
    finally:
        plt.close(figure)
