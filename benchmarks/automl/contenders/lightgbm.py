"""LightGBM with its defaults: text as categories, no early stopping."""

from __future__ import annotations

from typing import Any

from benchmarks.automl.contenders.contract import (
    Job,
    as_categories,
    class_codes,
    hand_back,
    job_from_arguments,
    measure_latency,
    read_frames,
    single_rows,
    split_target,
)


def main(job: Job) -> None:
    import lightgbm

    train, test = read_frames(job)
    columns, target = split_target(job, train)
    columns, held_out = as_categories(columns, split_target(job, test)[0])
    for frame in (columns, held_out):  # its model file takes no JSON characters in names
        frame.columns = [f"column_{place}" for place in range(len(frame.columns))]
    classes: list[str] = []
    options: dict[str, Any] = {"n_jobs": job.threads, "verbose": -1}
    if job.is_classification:
        classes, codes = class_codes(target)
        model = lightgbm.LGBMClassifier(**options).fit(columns, codes)
        predict = model.predict_proba
    else:
        model = lightgbm.LGBMRegressor(**options).fit(columns, target)
        predict = model.predict
    path = job.out / "model.txt"
    model.booster_.save_model(path)
    seconds = job.elapsed()
    hand_back(
        job,
        seconds=seconds,
        model=path,
        latency_ms=measure_latency(predict, single_rows(held_out)),
        prediction=predict(held_out),
        packages=("lightgbm", "numpy", "pandas"),
        classes=classes,
    )


if __name__ == "__main__":
    main(job_from_arguments())
