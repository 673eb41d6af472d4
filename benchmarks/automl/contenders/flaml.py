"""FLAML's AutoML within a time budget, with its own choice of learners."""

from __future__ import annotations

import pickle
import random
from typing import Any

import numpy as np

from benchmarks.automl.contenders.contract import (
    Job,
    hand_back,
    job_from_arguments,
    measure_latency,
    read_frames,
    single_rows,
    split_target,
)

METRICS = {"binary": "roc_auc", "multiclass": "log_loss", "number": "rmse"}


def main(job: Job) -> None:
    from flaml import AutoML  # type: ignore[import-not-found]

    random.seed(0)
    np.random.seed(0)
    train, test = read_frames(job)
    columns, target = split_target(job, train)
    held_out, _ = split_target(job, test)
    model = AutoML()
    fit: dict[str, Any] = {
        "task": "classification" if job.is_classification else "regression",
        "metric": METRICS[job.task],
        "time_budget": job.seconds,
        "n_jobs": job.threads,
        "seed": 0,
        "verbose": 0,
        "log_file_name": "",
    }
    model.fit(columns, target, **fit)
    path = job.out / "model.pkl"
    with path.open("wb") as stream:  # its own way of saving; never read again here
        pickle.dump(model, stream, pickle.HIGHEST_PROTOCOL)
    seconds = job.elapsed()
    predict = model.predict_proba if job.is_classification else model.predict
    hand_back(
        job,
        seconds=seconds,
        model=path,
        latency_ms=measure_latency(predict, single_rows(held_out)),
        prediction=predict(held_out),
        packages=("flaml", "lightgbm", "xgboost-cpu", "scikit-learn", "numpy", "pandas"),
        classes=[str(name) for name in model.classes_] if job.is_classification else (),
    )


if __name__ == "__main__":
    main(job_from_arguments())
