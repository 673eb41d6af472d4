"""Which candidates `model: auto` should try: what each adds to a blend, on rows that no fit has seen.

    python benchmarks/portfolio.py TABLES [--tables titanic wine_quality] [--seeds 0 1] [--categories]

TABLES is a folder of folders with train.csv. Only that file is read:
a quarter of it is held out, the candidates are fitted on the rest in folds, and weighed by the held-out
rows of the folds, as a run does it. Each candidate is fitted once; all blends are then computed from the
margins. Prints the loss on the quarter (log loss or RMSE), relative to LightGBM alone.

With --categories, the models of trees are fitted with each of their ways to see categories, on the tables
that have any, and each way is compared with levels alone (`native`): of one model, and in a blend.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from quality import TARGETS

from declarative_ml.api.run import RunOptions, run_spec
from declarative_ml.api.workspace import Workspace
from declarative_ml.core.task import Task
from declarative_ml.learning.calibration import fit_calibration
from declarative_ml.learning.dataset import Layout, open_dataset
from declarative_ml.learning.ensembling import blend, optimized_weights
from declarative_ml.learning.metrics import score
from declarative_ml.learning.task import predictions_from_margins
from declarative_ml.models import MODELS
from declarative_ml.models.base import load_state
from declarative_ml.spec.load import load_spec
from declarative_ml.spec.portfolio import POOL
from declarative_ml.steps.split import TEST

CANDIDATES = {name: options for name, (options, _) in POOL.items()}
BLENDS = (
    ("lightgbm",),
    ("lightgbm", "linear"),
    ("lightgbm", "xgboost"),
    ("lightgbm", "extra_trees"),
    ("lightgbm", "mlp"),
    ("lightgbm", "linear", "lightgbm-extra"),
    ("lightgbm", "linear", "xgboost"),
    ("lightgbm", "linear", "extra_trees"),
    ("lightgbm", "linear", "xgboost", "extra_trees"),
    ("lightgbm", "linear", "mlp"),
    ("lightgbm", "linear", "mlp", "xgboost"),
    ("lightgbm", "linear", "mlp", "extra_trees"),
    ("lightgbm", "linear", "mlp", "xgboost", "extra_trees"),
    ("lightgbm", "linear", "mlp", "lightgbm-extra", "lightgbm-deep", "mlp-wide"),
    ("lightgbm", "linear", "mlp", "lightgbm-extra", "lightgbm-deep", "mlp-wide", "xgboost"),
    ("lightgbm", "linear", "mlp", "lightgbm-extra", "lightgbm-deep", "mlp-wide", "extra_trees"),
    ("lightgbm", "linear", "mlp", "xgboost", "extra_trees", "mlp-wide"),
    ("lightgbm", "linear", "mlp", "xgboost", "extra_trees", "lightgbm-extra", "mlp-wide"),
    tuple(CANDIDATES),
)


WITH_CATEGORIES = (
    "titanic", "adult", "telco_churn", "german_credit", "diamonds", "melbourne_housing", "laptop_prices",
)  # fmt: skip
TREES, WAYS = ("lightgbm", "xgboost", "extra_trees"), ("native", "target", "both")


def fit(folder: Path, seed: int, work: Path, candidates: Mapping[str, Any] = CANDIDATES) -> dict[str, Any]:
    """Held-out margins and margins of the quarter, of every candidate; and the seconds of its folds."""
    members = [{**options} for options in candidates.values()]
    spec = {
        "name": folder.name.replace("_", "-"),
        "data": {
            "source": str((folder / "train.csv").resolve()),
            "split": {"method": "random", "test": 0.25},
        },
        "target": TARGETS[folder.name],
        "model": {"type": "ensemble", "members": members, "weights": "equal"},
        "seed": seed,
        "track": False,
        "explain": False,
    }
    path = work / "spec.yaml"
    path.write_text(json.dumps(spec))
    report = run_spec(load_spec(path), RunOptions(until="ensemble"))
    if report.error is not None:
        raise SystemExit(f"{folder.name}: {report.error}")
    store = Workspace.beside(path, None).store
    record = json.loads((report.folder / "run.json").read_text())
    places = {step: store.path(digest) for step, digest in record["digests"].items()}
    return read(places, {step["id"]: step["seconds"] for step in report.result["steps"]}, candidates)


def read(places: dict[str, Path], seconds: dict[str, float], candidates: Mapping[str, Any]) -> dict[str, Any]:
    """The same, of the artifacts of a run."""
    split = json.loads((places["split"] / "split.json").read_text())
    task = Task.model_validate(split["task"])
    fold, part = (np.load(places["split"] / f"{name}.npy") for name in ("fold", "part"))
    held_out = np.flatnonzero((fold >= 0) & (part != TEST))
    layout = Layout.model_validate(json.loads((places["prepare"] / "encoding.json").read_text())["layout"])
    data = open_dataset(places["prepare"], layout)
    test = data.take(np.flatnonzero(part == TEST))
    found: dict[str, Any] = {
        "task": task, "truth": data.target[held_out], "test": test.target, "seconds": {}, "margins": {},
    }  # fmt: skip
    ensemble = json.loads((places["ensemble"] / "ensemble.json").read_text())
    names = [member["name"] for member in ensemble["members"]]
    for name, (label, options) in zip(names, candidates.items(), strict=True):
        model = MODELS.parse(options)
        inside, outside = None, []
        for number in range(split["folds"]):
            folder = places[f"train.{name}.fold{number}"]
            margins = np.load(folder / "validation.npy")
            inside = np.zeros((len(held_out), margins.shape[1])) if inside is None else inside
            inside[fold[held_out] == number] = margins
            outside.append(model.predict(load_state(folder / "state.npz"), test, task))
        found["margins"][label] = (inside, np.mean(outside, axis=0))
        found["seconds"][label] = sum(seconds[f"train.{name}.fold{n}"] for n in range(split["folds"]))
    return found


def loss(found: dict[str, Any], names: tuple[str, ...]) -> float:
    """The loss of a blend on the quarter."""
    task, inside = found["task"], [found["margins"][name][0] for name in names]
    weights = optimized_weights(task, found["truth"], inside) if len(names) > 1 else np.ones(1)
    calibration = fit_calibration(task, found["truth"], blend(task, inside, weights))
    margins = calibration.apply(blend(task, [found["margins"][name][1] for name in names], weights))
    metric = "log_loss" if task.is_classification else "rmse"
    return score(metric, task, found["test"], predictions_from_margins(task, margins))


def compare_ways(folder: Path, tables: Sequence[str], seeds: Sequence[int]) -> None:
    """Print by table what each way to see categories changes, averaged over the seeds."""
    candidates: dict[str, Any] = {"linear": {"type": "linear"}}
    for model in TREES:
        candidates |= {f"{model}-{way}": {"type": model, "categories": way} for way in WAYS}
    native = tuple(f"{model}-native" for model in TREES)
    changed: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
    for way in WAYS[1:]:
        changed |= {f"{model} {way}": ((f"{model}-{way}",), (f"{model}-native",)) for model in TREES}
    for way in WAYS[1:]:
        for number, model in enumerate(TREES):
            members = [*native[:number], f"{model}-{way}", *native[number + 1 :]]
            changed[f"blend, {model} {way}"] = (("linear", *members), ("linear", *native))
        every = tuple(f"{model}-{way}" for model in TREES)
        changed[f"blend, all {way}"] = (("linear", *every), ("linear", *native))
    found: dict[str, list[float]] = {name: [] for name in changed}
    for table in tables:
        losses: dict[str, list[float]] = {name: [] for name in changed}
        for seed in seeds:
            with tempfile.TemporaryDirectory() as work:
                margins = fit(folder / table, seed, Path(work), candidates)
            for name, (one, other) in changed.items():
                losses[name].append(loss(margins, one) / loss(margins, other) - 1.0)
        for name, values in losses.items():
            found[name].append(float(np.mean(values)))
        shown = "  ".join(f"{name} {100 * found[name][-1]:+.2f}%" for name in changed)
        print(f"{table}: {shown}", flush=True)
    print(f"\n{'loss relative to native':<28} {'mean':>8} {'median':>8}  " + "  ".join(tables))
    for name, values in found.items():
        each = "  ".join(f"{100 * v:+{len(t)}.2f}" for t, v in zip(tables, values, strict=True))
        print(f"{name:<28} {100 * np.mean(values):+7.2f}% {100 * np.median(values):+7.2f}%  {each}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tables", nargs="*")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--categories", action="store_true")
    options = parser.parse_args()
    if options.categories:
        compare_ways(options.folder, options.tables or WITH_CATEGORIES, options.seeds)
        return
    tables = options.tables or list(TARGETS)
    relative: dict[tuple[str, ...], list[float]] = {names: [] for names in BLENDS}
    for table in tables:
        for seed in options.seeds:
            started = time.perf_counter()
            with tempfile.TemporaryDirectory() as work:
                found = fit(options.folder / table, seed, Path(work))
            losses = {names: loss(found, names) for names in BLENDS}
            for names, value in losses.items():
                relative[names].append(value / losses[("lightgbm",)] - 1.0)
            alone = {name: loss(found, (name,)) / losses[("lightgbm",)] - 1.0 for name in CANDIDATES}
            shown = "  ".join(
                f"{name} {100 * alone[name]:+.1f}% {found['seconds'][name]:.0f}s" for name in CANDIDATES
            )
            print(f"{table} seed {seed}: {shown}  ({time.perf_counter() - started:.0f} s)", flush=True)
    print("\nloss relative to lightgbm alone: mean, median, share of tables better")
    for names, values in relative.items():
        better = np.mean([value < 0 for value in values])
        mean, median = 100 * np.mean(values), 100 * np.median(values)
        print(f"  {'+'.join(names):<45} {mean:+.2f}%  {median:+.2f}%  {better:.2f}")
    assert all(len(a) == len(b) for a, b in pairwise(relative.values()))


if __name__ == "__main__":
    main()
