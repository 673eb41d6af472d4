"""How often `beats: champion` refuses a model that is as good, and passes one that is worse.

    python benchmarks/gate_rates.py [--pairs 200] [--sizes 200 500 1000 5000] [--metric roc_auc]

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
from collections import Counter
from collections.abc import Iterator
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
SLACK, MARGIN = 0.01, 0.02
"""What a gate may leave to chance, and what the test of non-inferiority lets a model lose."""


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


WAYS = (("limit", None, False), ("0", 0.0, False), ("slack", -SLACK, False), ("margin", -MARGIN, True))
"""Name, `by` (None: the pair's true difference) and `sure` of the gates that are tried."""


def rates(
    metric: str, truth: np.ndarray, kinds: dict[str, list[Model]], sizes: list[int], pairs: int
) -> Iterator[list[str]]:
    """The rows of the table: two of head, then one for each number of test rows."""
    sign = 1.0 if METRICS[metric].greater_is_better else -1.0
    true = {
        kind: [sign * score(metric, TASK, truth, model.prediction) for model in models]
        for kind, models in kinds.items()
    }
    worse = f"{np.mean(true['equal']) - np.mean(true['worse']):.3f} worse"
    head = ["test rows", "refused at the limit", "`beats`: equal refused", f"{worse} passed"]
    head += [f"`by: -{SLACK}`: equal refused", f"{worse} passed"]
    head += [f"`by: -{MARGIN}, sure: true`: equal refused", f"{worse} passed"]
    yield from (head, ["---"] * len(head))
    for size in sizes:
        random = np.random.default_rng(size)
        passed: Counter[tuple[str, str]] = Counter()
        for pair in range(pairs):
            champion = int(random.integers(MODELS))
            for kind, models in kinds.items():
                other = int(random.integers(MODELS - 1))
                other += kind == "equal" and other >= champion
                at = random.choice(POPULATION, size, replace=False)
                against = kinds["equal"][champion].prediction[at]
                _, low, high = gain(metric, truth[at], models[other].prediction[at], against, pair)
                exact = true[kind][other] - true["equal"][champion]
                for name, by, sure in WAYS:
                    passed[kind, name] += stands_up(low, high, exact if by is None else by, sure=sure)
        cells = [1 - passed["equal", "limit"] / pairs]
        for name, _, _ in WAYS[1:]:
            cells += [1 - passed["equal", name] / pairs, passed["worse", name] / pairs]
        yield [f"{size:,}", *(f"{100 * cell:.1f} %" for cell in cells)]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--sizes", type=int, nargs="+", default=[200, 500, 1000, 5000])
    parser.add_argument(
        "--metric", nargs="+", choices=["roc_auc", "log_loss", "accuracy"], default=["roc_auc"]
    )
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
            print(f"| {' | '.join(row)} |", flush=True)
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
