"""H2O's AutoML in a server of its own on this machine."""

from __future__ import annotations

from typing import Any

from benchmarks.automl.contenders.contract import (
    Job,
    class_codes,
    hand_back,
    job_from_arguments,
    measure_latency,
    read_frames,
    single_rows,
    split_target,
)

METRICS = {"binary": "AUC", "multiclass": "logloss", "number": "RMSE"}
_TARGET = "target of the rows"


def main(job: Job) -> None:
    import h2o  # type: ignore[import-not-found]

    h2o.init(
        nthreads=job.threads,
        max_mem_size="4g",
        bind_to_localhost=True,
        strict_version_check=False,
        verbose=False,
        ice_root=str(job.out),
        name=f"bench-{job.out.name}",
    )
    try:
        h2o.no_progress()
        fit(h2o, job)
    finally:
        h2o.cluster().shutdown()


def fit(h2o: Any, job: Job) -> None:
    from h2o.automl import H2OAutoML  # type: ignore[import-not-found]

    train, test = read_frames(job)
    columns, target = split_target(job, train)
    held_out, _ = split_target(job, test)
    # Text columns are factors in both parts; what is a number in training stays one in single rows too.
    types = {name: "real" if columns[name].dtype.kind in "iufb" else "enum" for name in columns.columns}
    classes: list[str] = []
    if job.is_classification:
        classes, codes = class_codes(target)
        # Names such as 0 and 1 would come back as p0 and p1.
        target = [f"c{code}" for code in codes]
    types[_TARGET] = "enum" if job.is_classification else "real"
    frame = h2o.H2OFrame(columns.assign(**{_TARGET: target}), column_types=types)
    del types[_TARGET]
    automl = H2OAutoML(max_runtime_secs=job.seconds, seed=1, sort_metric=METRICS[job.task], verbosity=None)
    automl.train(y=_TARGET, training_frame=frame)
    if automl.leader is None:
        raise SystemExit("H2O trained no model in this time")
    path = job.out / "model"
    h2o.save_model(automl.leader, path=str(path))
    seconds = job.elapsed()
    wanted = [f"c{code}" for code in range(len(classes))] or ["predict"]

    def predict(rows: Any) -> Any:
        given = h2o.H2OFrame(rows, column_types=types)
        return automl.leader.predict(given)[wanted].as_data_frame(use_multi_thread=False)

    hand_back(
        job,
        seconds=seconds,
        model=path,
        latency_ms=measure_latency(predict, single_rows(held_out)),
        prediction=predict(held_out).to_numpy(),
        packages=("h2o", "numpy", "pandas"),
        classes=classes,
    )


if __name__ == "__main__":
    main(job_from_arguments())
