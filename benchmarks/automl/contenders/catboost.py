"""CatBoost with its defaults: text columns named as categories, or as text where they hold sentences."""

from __future__ import annotations

from typing import Any

from benchmarks.automl.contenders.contract import (
    Job,
    hand_back,
    job_from_arguments,
    measure_latency,
    read_frames,
    single_rows,
    split_target,
)

SENTENCE_WORDS = 4


def text_columns(train: Any) -> tuple[list[str], list[str]]:
    """(categories, sentences): columns of text; sentences are mostly unique and have several words."""
    from pandas.api.types import is_numeric_dtype  # type: ignore[import-untyped]

    categories: list[str] = []
    sentences: list[str] = []
    for name in train.columns:
        if is_numeric_dtype(train[name]):
            continue
        known = train[name].dropna().astype(str)
        words = known.str.split().str.len().mean()
        unique = known.nunique() > 0.5 * len(known)
        (sentences if unique and words >= SENTENCE_WORDS else categories).append(name)
    return categories, sentences


def main(job: Job) -> None:
    import catboost  # type: ignore[import-not-found]

    train, test = read_frames(job)
    columns, target = split_target(job, train)
    held_out, _ = split_target(job, test)
    categories, sentences = text_columns(columns)
    for frame in (columns, held_out):
        frame[categories + sentences] = frame[categories + sentences].fillna("").astype(str)
    kind = catboost.CatBoostClassifier if job.is_classification else catboost.CatBoostRegressor
    model = kind(
        cat_features=categories,
        text_features=sentences,
        thread_count=job.threads,
        verbose=False,
        allow_writing_files=False,
    )
    model.fit(columns, target)
    path = job.out / "model.cbm"
    model.save_model(str(path))
    seconds = job.elapsed()
    predict = model.predict_proba if job.is_classification else model.predict
    hand_back(
        job,
        seconds=seconds,
        model=path,
        latency_ms=measure_latency(predict, single_rows(held_out)),
        prediction=predict(held_out),
        packages=("catboost", "numpy", "pandas"),
        classes=[str(name) for name in model.classes_] if job.is_classification else (),
    )


if __name__ == "__main__":
    main(job_from_arguments())
