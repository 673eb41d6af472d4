"""How often `beats: champion` refuses a model that is as good, and passes one that is worse.

    python benchmarks/gate_rates.py [--pairs 200] [--sizes 200 500 1000 5000] [--metric roc_auc log_loss]

The population is made here, so that the true metric of each model is known: it is measured on 60,000 rows.
Champions and equal models are the same LightGBM fitted on other bootstrap samples of the training rows with
other seeds; worse models see fewer columns and learn from partly shuffled labels. Each pair is judged
on test rows of its own, drawn from the population, by the code that the gate uses. Prints a Markdown
table for each metric. In it, "at the limit" asks of an equal pair `by:` just what the pair's true difference
is: the rate at which chance alone refuses.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import lightgbm
import numpy as np

from declarative_ml.core.task import Task
from declarative_ml.learning.gate_rules import CONFIDENCE, resamples_for, stands_up
from declarative_ml.learning.intervals import paired_difference
from declarative_ml.learning.metrics import METRICS, score

TASK = Task(target="y", type="binary", classes=("no", "yes"))
POPULATION = 60_000
TRAINING = 3_000
MODELS = 12
ROUNDS = 60
MARGIN = {"roc_auc": 0.02, "log_loss": 0.02, "accuracy": 0.02}
"""What the test of non-inferiority lets a model lose."""


@dataclass(frozen=True)
class Model:
    """A fitted model: its probabilities [N, 2] of the whole population."""

    prediction: np.ndarray


def population(random: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Ten columns, and classes that depend on them in bends and products."""
    x = random.normal(size=(rows, 10))
    margin = (
        1.2 * x[:, 0] + np.sin(2 * x[:, 1]) + x[:, 2] * x[:, 3] + 0.7 * np.abs(x[:, 4]) + 0.5 * x[:, 5] - 1.2
    )
    return x, (random.random(rows) < 1 / (1 + np.exp(-margin))).astype(np.int64)


def fitted(
    x: np.ndarray, y: np.ndarray, pool: np.ndarray, seed: int, columns: int = 10, shuffled: float = 0.0
) -> Model:
    """A model of a bootstrap sample, of the first `columns`, with a share of its labels shuffled."""
    random = np.random.default_rng(seed)
    rows = random.integers(0, len(x), len(x))
    labels = y[rows].copy()
    chosen = random.random(len(labels)) < shuffled
    labels[chosen] = random.permutation(labels[chosen])
    options = {"objective": "binary", "verbose": -1, "seed": seed, "learning_rate": 0.08, "num_threads": 1,
               "num_leaves": 15, "bagging_fraction": 0.8, "bagging_freq": 1}  # fmt: skip
    booster = lightgbm.train(options, lightgbm.Dataset(x[rows, :columns], labels), ROUNDS)
    yes = np.asarray(booster.predict(pool[:, :columns]))
    return Model(np.stack([1 - yes, yes], axis=1))


def gain(metric: str, truth: np.ndarray, one: np.ndarray, other: np.ndarray, seed: int) -> tuple[float, ...]:
    """The gain of one model on another and its interval, better above 0."""
    found = paired_difference(
        metric, TASK, truth, one, other, seed=seed, level=CONFIDENCE, resamples=resamples_for(CONFIDENCE)
    )
    return found if METRICS[metric].greater_is_better else (-found[0], -found[2], -found[1])


def rates(
    metric: str, truth: np.ndarray, kinds: dict[str, list[Model]], sizes: list[int], pairs: int
) -> list[list[str]]:
    """A row of the table for each number of test rows."""
    sign = 1.0 if METRICS[metric].greater_is_better else -1.0
    true = {
        kind: [sign * score(metric, TASK, truth, model.prediction) for model in models]
        for kind, models in kinds.items()
    }
    rows = []
    for size in sizes:
        random = np.random.default_rng(size)
        counts: dict[str, int] = {}
        for pair in range(pairs):
            champion = int(random.integers(MODELS))
            for kind, models in kinds.items():
                other = int(random.integers(len(models) - 1))
                other += kind == "equal" and other >= champion
                at = random.choice(POPULATION, size, replace=False)
                against = kinds["equal"][champion].prediction[at]
                _, low, high = gain(metric, truth[at], models[other].prediction[at], against, pair)
                exact = true[kind][other] - true["equal"][champion]
                for name, by, sure in (
                    ("passed", 0.0, False), ("sure", 0.0, True), ("limit", exact, False),
                    ("margin", -MARGIN[metric], True),
                ):  # fmt: skip
                    passed = stands_up(low, high, by, sure=sure)
                    counts[f"{kind} {name}"] = counts.get(f"{kind} {name}", 0) + passed
        share = {name: 100 * count / pairs for name, count in counts.items()}
        cells = [100 - share["equal limit"], 100 - share["equal passed"]]
        cells += [share[f"{kind} passed"] for kind in kinds if kind != "equal"]
        cells += [share["equal margin"]]
        cells += [share[f"{kind} margin"] for kind in kinds if kind != "equal"]
        rows.append([f"{size:,}", *(f"{cell:.1f} %" for cell in cells)])
    gaps = {
        kind: np.mean(true["equal"]) - np.mean(values) for kind, values in true.items() if kind != "equal"
    }
    worse = [f"{gap:.3f} worse" for gap in gaps.values()]
    head = [
        "test rows",
        "refused at the limit",
        "equal model refused",
        *(f"passed, {each}" for each in worse),
    ]
    head += [
        f"`by: -{MARGIN[metric]}, sure: true` passes an equal model",
        *(f"passes, {each}" for each in worse),
    ]
    return [head, ["---"] * len(head), *rows]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--sizes", type=int, nargs="+", default=[200, 500, 1000, 5000])
    parser.add_argument("--metric", nargs="+", choices=list(MARGIN), default=["roc_auc", "log_loss"])
    options = parser.parse_args()
    started = time.perf_counter()
    random = np.random.default_rng(0)
    pool, truth = population(random, POPULATION)
    x, y = population(random, TRAINING)
    kinds = {
        "equal": [fitted(x, y, pool, seed) for seed in range(MODELS)],
        "worse": [fitted(x, y, pool, 100 + seed, columns=4, shuffled=0.4) for seed in range(MODELS)],
    }
    for metric in options.metric:
        best = np.mean([score(metric, TASK, truth, model.prediction) for model in kinds["equal"]])
        print(f"\n{metric}: champions have {best:.3f}, {options.pairs} pairs\n")
        for row in rates(metric, truth, kinds, options.sizes, options.pairs):
            print(f"| {' | '.join(row)} |")
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
