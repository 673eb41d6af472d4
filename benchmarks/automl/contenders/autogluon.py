"""AutoGluon's TabularPredictor: `medium` or `best` quality within a time limit."""

from __future__ import annotations

from benchmarks.automl.contenders.contract import (
    Job,
    hand_back,
    job_from_arguments,
    measure_latency,
    read_frames,
    single_rows,
    split_target,
)

METRICS = {"binary": "roc_auc", "multiclass": "log_loss", "number": "root_mean_squared_error"}
PROBLEMS = {"binary": "binary", "multiclass": "multiclass", "number": "regression"}


def main(job: Job) -> None:
    from autogluon.tabular import TabularPredictor  # type: ignore[import-not-found]

    train, test = read_frames(job)
    held_out, _ = split_target(job, test)
    path = job.out / "predictor"
    predictor = TabularPredictor(
        label=job.target,
        problem_type=PROBLEMS[job.task],
        eval_metric=METRICS[job.task],
        path=str(path),
        verbosity=0,
    )
    predictor.fit(
        train,
        time_limit=job.seconds,
        presets=f"{job.preset}_quality",
        num_cpus=job.threads,
        num_gpus=0,
    )
    seconds = job.elapsed()
    predictor.persist()  # what its pages advise for single rows: models stay in memory
    predict = predictor.predict_proba if job.is_classification else predictor.predict
    prediction = predict(held_out)
    hand_back(
        job,
        seconds=seconds,
        model=path,
        latency_ms=measure_latency(predict, single_rows(held_out)),
        prediction=prediction.to_numpy(),
        packages=("autogluon.tabular", "lightgbm", "catboost", "xgboost-cpu", "torch", "fastai", "numpy"),
        classes=[str(name) for name in prediction.columns] if job.is_classification else (),
    )


if __name__ == "__main__":
    main(job_from_arguments())
