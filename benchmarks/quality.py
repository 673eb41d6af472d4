"""Test-set quality of `dml` on fixed train and test files, beside LightGBM with its defaults.

    python benchmarks/quality.py TABLES_FOLDER [--models lightgbm ensemble] [--only titanic adult]

TABLES_FOLDER holds one folder a table with train.csv and test.csv. For each table `dml init` writes the
spec from train.csv alone, `dml run` trains with the test file as its test rows, and `dml predict` scores
them. The reference is LightGBM's scikit-learn estimator with default parameters on the same rows and the
same columns, text as pandas categories. Printed per table: the primary metric of both, the paired
difference with its 95 % bootstrap interval, and CPU seconds; then the mean ranks.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from declarative_ml.learning.intervals import paired_difference
from declarative_ml.learning.metrics import METRICS, default_metric, score
from declarative_ml.learning.task import Task

TARGETS = {
    "titanic": "Survived",
    "adult": "income",
    "telco_churn": "Churn",
    "german_credit": "default",
    "penguins": "species",
    "iris": "species",
    "wine_quality": "quality",
    "digits": "digit",
    "california_housing": "median_house_value",
    "diamonds": "price",
    "bike_sharing": "cnt",
    "melbourne_housing": "Price",
    "laptop_prices": "Price_euros",
}
MODELS = {
    "lightgbm": "lightgbm",
    "linear": "linear",
    "mlp": "mlp",
    "ensemble": "{type: ensemble, members: [lightgbm, linear, mlp]}",
    "auto": "{type: auto}",
    "best": "{type: auto, quality: best}",
}


@dataclass(frozen=True)
class Answer:
    """What one contender says about the test rows."""

    prediction: np.ndarray
    cpu_seconds: float


def run_dml(table: Path, target: str, model: str, folder: Path) -> tuple[Task, Answer]:
    """Init, run and predict through the command line, as a user would."""
    spec = folder / f"{table.name}.yaml"
    if not spec.exists():
        _dml("init", str(table / "train.csv"), "--target", target, "-o", str(spec), "-q")
    test = table / "test.csv"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = json.loads(
        _dml(
            "run", str(spec), "-q", "--format", "json",
            "--set", f"data.split={{method: files, test: {json.dumps(str(test))}}}",
            "--set", f"model={MODELS[model]}",
            "--set", "explain=none",
            "--set", "track=false",
        )
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    manifest = json.loads((Path(result["bundle"]) / "bundle.json").read_text())
    task = Task.model_validate(manifest["task"])
    out = folder / "predictions.parquet"
    _dml("predict", result["bundle"], str(test), "-o", str(out), "-q")
    import pyarrow.parquet as papq

    scored = papq.read_table(out)
    names = [f"probability_{name}" for name in task.classes] or ["prediction"]
    prediction = np.column_stack([scored[name].to_numpy() for name in names]).astype(np.float64)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return task, Answer(prediction if task.is_classification else prediction[:, 0], cpu)


def run_lightgbm(table: Path, task: Task, folder: Path) -> tuple[np.ndarray, Answer]:
    """(truth, answer) of LightGBM with its defaults, on the columns that `dml init` keeps."""
    import time

    import lightgbm
    import pandas

    from declarative_ml.spec.load import load_spec

    excluded = set(load_spec(folder / f"{table.name}.yaml").spec.exclude)
    missing = ["", " ", "?"]
    options = {"keep_default_na": False, "na_values": missing}
    train, test = (pandas.read_csv(table / f"{part}.csv", **options) for part in ("train", "test"))
    columns = [name for name in train.columns if name != task.target and name not in excluded]
    start = time.process_time()
    for name in columns:
        if not pandas.api.types.is_numeric_dtype(train[name]):
            levels = pandas.CategoricalDtype(sorted(train[name].dropna().unique()))
            known = test[name].where(test[name].isin(levels.categories))
            train[name], test[name] = train[name].astype(levels), known.astype(levels)
    if not task.is_classification:
        model = lightgbm.LGBMRegressor(verbose=-1).fit(train[columns], train[task.target])
        truth, prediction = test[task.target].to_numpy(np.float64), model.predict(test[columns])
    else:
        place = {name: number for number, name in enumerate(task.classes)}
        labels = train[task.target].astype(str).map(place)
        model = lightgbm.LGBMClassifier(verbose=-1).fit(train[columns], labels)
        truth = test[task.target].astype(str).map(place).to_numpy(np.int64)
        prediction = model.predict_proba(test[columns])
    return truth, Answer(prediction, time.process_time() - start)


def _dml(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "declarative_ml", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"dml {' '.join(arguments)}\n{done.stderr}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("tables", type=Path)
    parser.add_argument("--models", nargs="+", default=["lightgbm", "ensemble"], choices=list(MODELS))
    parser.add_argument("--only", nargs="+", default=list(TARGETS))
    options = parser.parse_args()
    ranks: dict[str, list[float]] = {name: [] for name in ["defaults", *options.models]}
    print(
        f"{'table':<20}{'metric':<10}{'defaults':>11}",
        *(f"{name:>11}{'CPU s':>7}  {'difference (95 %)':<31}" for name in options.models),
    )
    for name in options.only:
        with tempfile.TemporaryDirectory() as folder:
            _table(options.tables.resolve() / name, TARGETS[name], options.models, Path(folder), ranks)
    print("\nmean rank (1 is best)")
    for name, found in ranks.items():
        print(f"  {name:<12}{np.mean(found):.2f}")


def _table(table: Path, target: str, models: list[str], folder: Path, ranks: dict[str, list[float]]) -> None:
    answers: dict[str, Answer] = {}
    for model in models:
        task, answers[model] = run_dml(table, target, model, folder)
    truth, defaults = run_lightgbm(table, task, folder)
    metric = default_metric(task)
    scores = {"defaults": score(metric, task, truth, defaults.prediction)}
    cells = []
    for model, answer in answers.items():
        scores[model] = score(metric, task, truth, answer.prediction)
        difference, low, high = paired_difference(
            metric, task, truth, answer.prediction, defaults.prediction, resamples=1000, seed=0
        )
        sign = 1 if METRICS[metric].greater_is_better else -1
        verdict = (
            "worse"
            if max(sign * low, sign * high) < 0
            else ("better" if min(sign * low, sign * high) > 0 else "")
        )
        shown = f"{difference:+.4g} [{low:+.3g}, {high:+.3g}] {verdict}"
        cells.append(f"{scores[model]:>11.5g}{answer.cpu_seconds:>7.1f}  {shown:<31}")
    print(f"{table.name:<20}{metric:<10}{scores['defaults']:>11.5g}", *cells, flush=True)
    ordered = sorted(scores, key=lambda name: scores[name], reverse=METRICS[metric].greater_is_better)
    for name in scores:
        ranks[name].append(1.0 + ordered.index(name))


if __name__ == "__main__":
    main()
