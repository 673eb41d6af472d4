"""What distillation is worth where the model is capped: forward selection with the candidate `distilled`, and
without it.

    python benchmarks/distillation.py TABLES [--tables telco_churn digits] [--seed 0] [--work FOLDER]

TABLES is a folder of folders with train.csv. Only that file is read: a quarter of it is held out, and all
candidates are fitted on the rest as a run does it, for max_size 100kB and for 1MB. From these fits, the
blends for all four caps are chosen by the rows that the folds hold out. Prints the calibrated loss (log
loss or RMSE) on those rows and on the quarter (the mean over the folds' fits), of each blend, and alone of
the candidates of the same kind that learn from labels only.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from quality import TARGETS

from declarative_ml.api.planning import make_plan
from declarative_ml.api.run import RunOptions, run_spec
from declarative_ml.api.workspace import Workspace
from declarative_ml.core.errors import StepFailed
from declarative_ml.core.task import Task
from declarative_ml.learning.calibration import fit_calibration
from declarative_ml.learning.ensembling import blend, optimized_weights
from declarative_ml.models.base import load_state
from declarative_ml.spec.load import load_spec
from declarative_ml.spec.portfolio import DISTILLED, SMALL
from declarative_ml.steps.caps import Caps, blend_loss_of, leave_out
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.cost import Cost, cost_of
from declarative_ml.steps.members import (
    fold_artifacts,
    held_out_loss,
    held_out_truth,
    out_of_fold,
    tuned_model,
)
from declarative_ml.steps.split import TEST
from declarative_ml.steps.train import open_prepared

CAPS = {
    "100kB": ("100kB", Caps(bytes=1e5)),
    "1MB": ("1MB", Caps(bytes=1e6)),
    "50us": ("1MB", Caps(microseconds=50.0)),
    "100us": ("1MB", Caps(microseconds=100.0)),
}
"""Cap -> the `max_size` whose fits it chooses from; a bound on the latency allows as many leaves as 1MB."""


class Fits:
    """The candidates of one table under one max_size."""

    def __init__(self, folder: Path, max_size: str, seed: int, work: Path) -> None:
        path = work / f"{max_size}.yaml"
        path.write_text(json.dumps(_spec(folder, max_size, seed)))
        loaded = load_spec(path)
        report = run_spec(loaded, RunOptions(until="ensemble"))
        if report.error is not None:
            raise SystemExit(f"{folder.name}: {report.error}")
        store = Workspace.beside(path, None).store
        record = json.loads((report.folder / "run.json").read_text())
        places = {step: store.path(digest) for step, digest in record["digests"].items()}
        self.seconds = {step["id"]: step["seconds"] for step in report.result["steps"]}
        self.context = _context(make_plan(loaded)["ensemble"], places, work)
        self.task = Task.model_validate(self.context.read("split", "split.json")["task"])
        self.folds = self.context.read("split", "split.json")["folds"]
        self.truth = held_out_truth(self.context)
        self._costs: dict[frozenset[str], Cost] = {}
        self._read()

    def _read(self) -> None:
        data = open_prepared(self.context)
        part = np.load(self.context.inputs["split"] / "part.npy")
        test = data.take(np.flatnonzero(part == TEST))
        self.test = np.asarray(test.target)
        self.numbers, self.inside, self.outside = {}, {}, {}
        for number, name in enumerate(self.context.params["names"]):
            folders, reason = fold_artifacts(self.context, number, self.folds)
            if reason is not None:
                continue
            self.numbers[name] = number
            self.inside[name] = out_of_fold(self.context, folders)
            model = tuned_model(self.context, self.context.params["members"][number], "")
            self.outside[name] = [
                model.predict(load_state(folder / "state.npz"), test, self.task) for folder in folders
            ]

    def cost(self, names: list[str]) -> Cost:
        if frozenset(names) not in self._costs:
            found = cost_of(self.context, self.task, [self.numbers[name] for name in names])
            self._costs[frozenset(names)] = found
        return self._costs[frozenset(names)]

    def losses(self, names: list[str]) -> tuple[float, float]:
        """On the rows that the folds hold out, and on the quarter."""
        own = [self.inside[name] for name in names]
        shares = optimized_weights(self.task, self.truth, own)
        together = blend(self.task, own, shares)
        calibration = fit_calibration(self.task, self.truth, together)
        tested = [
            held_out_loss(self.task, self.test, calibration.apply(blend(self.task, list(fold), shares)))
            for fold in zip(*(self.outside[name] for name in names), strict=True)
        ]
        return held_out_loss(self.task, self.truth, calibration.apply(together)), float(np.mean(tested))

    def chosen(self, caps: Caps, without: tuple[str, ...]) -> list[str]:
        """What forward selection takes; empty where nothing fits."""
        entries: list[dict[str, Any]] = [
            {"name": name, "reason": None} for name in self.numbers if name not in without
        ]
        try:
            leave_out(
                entries,
                caps,
                self.cost,
                lambda names: blend_loss_of(self.task, self.truth, self.inside, names),
            )
        except StepFailed:
            return []
        return [entry["name"] for entry in entries if entry["reason"] is None]


def _spec(folder: Path, max_size: str, seed: int) -> dict[str, Any]:
    return {
        "name": folder.name.replace("_", "-"),
        "data": {
            "source": str((folder / "train.csv").resolve()),
            "split": {"method": "random", "test": 0.25},
        },
        "target": TARGETS[folder.name],
        "model": {"type": "auto", "max_size": max_size},
        "resources": {"cpu": 1},
        "seed": seed,
        "track": False,
        "explain": False,
    }


def _context(step: Any, places: dict[str, Path], work: Path) -> StepContext:
    return StepContext(
        step=step,
        inputs={role: places[source] for role, source in step.inputs.items()},
        out=work,
        scratch=work,
        workspace=work,
        key="",
        threads=1,
        finished={},
        progress=lambda _, __: None,
    )


def compare(folder: Path, seed: int, work: Path) -> None:
    """Print the lines of one table."""
    fits = {size: Fits(folder, size, seed, work) for size in ("100kB", "1MB")}
    for size, found in fits.items():
        for name in (SMALL, "lightgbm", DISTILLED):
            if name in found.numbers:
                inside, outside = found.losses([name])
                cost = found.cost([name])
                seconds = sum(found.seconds[f"train.{name}.fold{fold}"] for fold in range(found.folds))
                print(
                    f"{folder.name:<20}{size:<7}{name:<16}{inside:>10.5g}{outside:>10.5g}"
                    f"{cost.bytes / 1e3:>7.0f} kB{cost.microseconds:>6.0f} us{seconds:>6.1f} s",
                    flush=True,
                )
    for cap, (size, caps) in CAPS.items():
        for words, without in (("without", (DISTILLED,)), ("with", ())):
            names = fits[size].chosen(caps, without)
            if not names:
                print(f"{folder.name:<20}{cap:<7}{words:<16}nothing fits", flush=True)
                continue
            inside, outside = fits[size].losses(names)
            print(
                f"{folder.name:<20}{cap:<7}{words:<16}{inside:>10.5g}{outside:>10.5g}  {' + '.join(names)}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    default = ["telco_churn", "california_housing", "adult", "digits", "wine_quality", "diamonds"]
    parser.add_argument("--tables", nargs="*", default=default)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="keep the fits there")
    options = parser.parse_args()
    print(f"{'table':<20}{'cap':<7}{'':<16}{'held out':>10}{'quarter':>10}")
    for table in options.tables:
        with tempfile.TemporaryDirectory() as scratch:
            work = (options.work or Path(scratch)) / table
            work.mkdir(parents=True, exist_ok=True)
            compare(options.folder / table, options.seed, work)


if __name__ == "__main__":
    main()
