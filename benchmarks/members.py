"""What one candidate more adds to `model: auto`, or one in place of another, on rows that no fit has seen.

    python benchmarks/members.py TABLES WORK [--tables titanic wine_quality] [--seeds 0 1] [--rows 5000]
        [--candidates linear lightgbm nearest] [--also 'wider={"type": "mlp", "layers": [512]}']

Only train.csv is read: a quarter of it is held out, the candidates are fitted on the rest in folds, and
weighed by the held-out rows of the folds, as a run does it. Each candidate is fitted alone, in one thread;
what it came to is kept in WORK, where a second call finds it, with the processor seconds of its folds.
`--also` names a candidate more, which stands in the place of the plain one of its type, too. `nearest` is a
candidate that auto has not: the nearest neighbours on standardised and one-hot columns (by scikit-learn),
their number chosen by the held-out rows.

Prints the loss on the quarter (log loss or RMSE) of each candidate, relative to LightGBM alone; then that of
the blends of each quality, relative to LightGBM, and of those one step from it, relative to the quality.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from quality import TARGETS

from declarative_ml.api.run import RunOptions, run_spec
from declarative_ml.api.workspace import Workspace
from declarative_ml.core.task import Task
from declarative_ml.learning.calibration import fit_calibration
from declarative_ml.learning.dataset import Dataset, Layout, open_dataset
from declarative_ml.learning.ensembling import blend, sparse_weights
from declarative_ml.learning.metrics import score
from declarative_ml.learning.task import margins_from_probabilities, predictions_from_margins
from declarative_ml.models import MODELS
from declarative_ml.models.base import load_state
from declarative_ml.spec.load import load_spec
from declarative_ml.spec.portfolio import POOL, PORTFOLIO
from declarative_ml.steps.split import TEST

NEAREST = "nearest"
CANDIDATES = {name: options for name, (options, _) in POOL.items()} | {NEAREST: {"type": NEAREST}}
REFERENCE = "lightgbm"
MOST_NEIGHBOURS = 80


@dataclass(frozen=True)
class Rows:
    """What the run has split and encoded."""

    task: Task
    data: Dataset
    fold: np.ndarray
    """Which fold holds the row out, -1 for none."""
    inside: np.ndarray
    """The rows that a fold holds out."""
    quarter: np.ndarray

    @classmethod
    def of(cls, places: dict[str, Path]) -> Rows:
        split = json.loads((places["split"] / "split.json").read_text())
        fold, part = (np.load(places["split"] / f"{name}.npy") for name in ("fold", "part"))
        encoding = json.loads((places["prepare"] / "encoding.json").read_text())
        return cls(
            task=Task.model_validate(split["task"]),
            data=open_dataset(places["prepare"], Layout.model_validate(encoding["layout"])),
            fold=fold,
            inside=np.flatnonzero((fold >= 0) & (part != TEST)),
            quarter=np.flatnonzero(part == TEST),
        )

    def folds(self) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Number, rows that are learned from, and which of the rows inside are held out."""
        for number in range(self.fold.max() + 1):
            held_out = self.fold[self.inside] == number
            yield number, self.inside[~held_out], held_out


def fit(table: Path, options: dict[str, Any], seed: int, folder: Path) -> dict[str, Any]:
    """One candidate's held-out margins, those of the quarter, and the processor seconds of its folds."""
    spec = {
        "name": "members",
        "data": {"source": str(table), "split": {"method": "random", "test": 0.25}},
        "target": TARGETS[table.parent.name],
        "model": REFERENCE if options["type"] == NEAREST else options,
        "resources": {"cpu": 1},
        "seed": seed,
        "refit": False,
        "track": False,
        "explain": False,
    }
    path = folder / "spec.yaml"
    path.write_text(json.dumps(spec))
    rows = Rows.of(run(path, "prepare"))
    before = processor_seconds()
    if options["type"] == NEAREST:
        inside, outside = nearest(rows)
    else:
        inside, outside = fitted(run(path, "train", fresh=["train"]), rows, options)
    return {
        "task": rows.task.model_dump_json(),
        "truth": rows.data.target[rows.inside],
        "test": rows.data.target[rows.quarter],
        "inside": inside,
        "outside": outside,
        "seconds": processor_seconds() - before,
    }


def processor_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def run(path: Path, until: str, fresh: list[str] | None = None) -> dict[str, Path]:
    """Run the spec so far, the steps `fresh` anew; where the artifact of each step is."""
    report = run_spec(load_spec(path), RunOptions(until=until, fresh=fresh))
    if report.error is not None:
        raise SystemExit(f"{path}: {report.error}")
    store = Workspace.beside(path, None).store
    record = json.loads((report.folder / "run.json").read_text())
    return {step: store.path(digest) for step, digest in record["digests"].items()}


def fitted(places: dict[str, Path], rows: Rows, options: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Margins of the rows inside, each by the fold that holds it out, and those of the quarter."""
    model, test = MODELS.parse(options), rows.data.take(rows.quarter)
    inside = np.zeros((len(rows.inside), rows.task.width))
    outside = []
    for number, _, held_out in rows.folds():
        place = places[f"train.{options['type']}.fold{number}"]
        inside[held_out] = np.load(place / "validation.npy")
        outside.append(model.predict(load_state(place / "state.npz"), test, rows.task))
    return inside, np.mean(outside, axis=0)


def nearest(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """The same of the nearest rows, by as many of them as the held-out rows choose."""
    from sklearn.neighbors import NearestNeighbors
    from sklearn.preprocessing import OneHotEncoder

    codes = np.asarray(rows.data.codes)
    columns = [np.clip(rows.data.scaled, -4.0, 4.0)]
    if codes.shape[1]:  # two levels are as far apart as two values one deviation apart
        columns.append(OneHotEncoder(sparse_output=False, min_frequency=5).fit_transform(codes) * 0.5**0.5)
    points = np.hstack(columns)
    target = np.asarray(rows.data.target)
    counts = (5, 10, 20, 40, MOST_NEIGHBOURS)
    inside = {count: np.zeros((len(rows.inside), rows.task.width)) for count in counts}
    outside: dict[int, list[np.ndarray]] = {count: [] for count in counts}
    for _, learned, held_out in rows.folds():
        index = NearestNeighbors(n_neighbors=MOST_NEIGHBOURS).fit(points[learned])
        near = index.kneighbors(points[rows.inside[held_out]])
        far = index.kneighbors(points[rows.quarter])
        for count in counts:
            inside[count][held_out] = mean_of(rows.task, target[learned], *near, count)
            outside[count].append(mean_of(rows.task, target[learned], *far, count))
    truth = target[rows.inside]
    best = min(counts, key=lambda count: loss_of(rows.task, truth, inside[count], truth, inside[count]))
    return inside[best], np.mean(outside[best], axis=0)


def mean_of(
    task: Task, target: np.ndarray, distance: np.ndarray, place: np.ndarray, count: int
) -> np.ndarray:
    """Margins [N, width] of the nearest `count` targets, nearer ones counting more."""
    distance, found = distance[:, :count], target[place[:, :count]]
    share = 1.0 / (distance + 0.1 * np.median(distance) + 1e-9)
    share /= share.sum(axis=1, keepdims=True)
    if not task.is_classification:
        return np.asarray((share * found).sum(axis=1)[:, None])
    classes = range(max(2, task.width))
    seen = np.stack([(share * (found == number)).sum(axis=1) for number in classes], axis=1)
    common = np.array([np.mean(target == number) for number in classes])
    return margins_from_probabilities(task, (seen * count + common) / (count + 1))


def measured(table: Path, name: str, options: dict[str, Any], seed: int, work: Path) -> dict[str, Any]:
    """The same as `fit`, from WORK where it is there."""
    folder = work / f"{table.parent.name}.{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{name}.npz"
    text = json.dumps(options)
    if kept.exists():
        with np.load(kept) as arrays:
            if str(arrays["options"]) == text:
                return dict(arrays)
    found = fit(table, options, seed, folder)
    np.savez(kept, options=text, **found)
    print(f"{folder.name} {name}: {found['seconds']:.0f} s", flush=True)
    return found


def sampled(table: Path, rows: int | None, work: Path) -> Path:
    """The table, or a file with so many of its rows, drawn at random."""
    with table.open(newline="") as stream:
        header, *lines = list(csv.reader(stream))
    if rows is None or len(lines) <= rows:
        return table
    path = work / f"sampled.{rows}" / table.parent.name / table.name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *random.Random(0).sample(lines, rows)])
    return path


def loss(found: dict[str, dict[str, Any]], names: tuple[str, ...]) -> float:
    """The loss of a blend on the quarter."""
    members = [found[name] for name in names]
    task, truth = Task.model_validate_json(str(members[0]["task"])), members[0]["truth"]
    inside = [member["inside"] for member in members]
    weights = sparse_weights(task, truth, inside) if len(names) > 1 else np.ones(1)
    outside = blend(task, [member["outside"] for member in members], weights)
    return loss_of(task, truth, blend(task, inside, weights), members[0]["test"], outside)


def loss_of(
    task: Task, truth: np.ndarray, inside: np.ndarray, test: np.ndarray, outside: np.ndarray
) -> float:
    """The loss of the margins `outside`, calibrated by those `inside`."""
    margins = fit_calibration(task, truth, inside).apply(outside)
    metric = "log_loss" if task.is_classification else "rmse"
    return score(metric, task, test, predictions_from_margins(task, margins))


def blends(names: list[str]) -> dict[str, tuple[str, ...]]:
    """What is compared, under the name that is printed."""
    found: dict[str, tuple[str, ...]] = {}
    for quality, members in PORTFOLIO.items():
        if not set(members) <= set(names):
            continue
        found[quality] = members
        for name in names:
            if name in members:
                found[f"{quality} − {name}"] = tuple(kept for kept in members if kept != name)
                continue
            found[f"{quality} + {name}"] = (*members, name)
            plain = CANDIDATES[name]["type"]
            if plain in members:
                place = members.index(plain)
                found[f"{quality}, {name} for {plain}"] = (*members[:place], name, *members[place + 1 :])
    return found


def line(label: str, losses: list[float], seconds: list[float]) -> str:
    better = f"{sum(value < 0 for value in losses)} of {len(losses)}"
    changes = f"{100 * np.mean(losses):+.2f} % | {100 * np.median(losses):+.2f} %"
    return f"| {label} | {changes} | {better} | {np.sum(seconds):.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--tables", nargs="*", default=list(TARGETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--rows", type=int, help="so many rows of each table at most")
    parser.add_argument("--candidates", nargs="+", default=list(POOL), choices=list(CANDIDATES))
    parser.add_argument("--also", action="append", default=[], metavar="NAME=JSON")
    options = parser.parse_args()
    options.work = options.work.resolve()
    for text in options.also:
        name, _, chosen = text.partition("=")
        CANDIDATES[name] = json.loads(chosen)
        options.candidates.append(name)
    runs: dict[str, dict[str, dict[str, Any]]] = {}
    for table in options.tables:
        source = sampled((options.folder / table / "train.csv").resolve(), options.rows, options.work)
        for seed in options.seeds:
            found = {
                name: measured(source, name, CANDIDATES[name], seed, options.work)
                for name in options.candidates
            }
            runs[f"{table} {seed}"] = found
    print_tables(runs, options.candidates)


def print_tables(runs: dict[str, dict[str, dict[str, Any]]], names: list[str]) -> None:
    """Losses on the quarter: of each candidate by table, then of each blend over all of them."""
    print("\n| table, seed | " + " | ".join(names) + " |\n" + "|---" * (len(names) + 1) + "|")
    for label, found in runs.items():
        reference = loss(found, (REFERENCE,))
        cells = [
            f"{100 * (loss(found, (name,)) / reference - 1.0):+.1f} %, {float(found[name]['seconds']):.0f} s"
            for name in names
        ]
        print(f"| {label} | " + " | ".join(cells) + " |")
    print("\n| candidates | mean | median | better | processor seconds |\n|---|---|---|---|---|")
    compared = {REFERENCE: (REFERENCE,), **blends(names)}
    base = REFERENCE
    for label, members in compared.items():
        # A quality against LightGBM alone, what is one step from a quality against that.
        base = REFERENCE if label in PORTFOLIO or label == REFERENCE else base
        losses = [loss(found, members) / loss(found, compared[base]) - 1.0 for found in runs.values()]
        seconds = [sum(float(found[name]["seconds"]) for name in members) for found in runs.values()]
        print(line(label, losses, seconds))
        base = label if label in PORTFOLIO else base


if __name__ == "__main__":
    main()
