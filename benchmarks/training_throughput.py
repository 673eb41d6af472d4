"""Rows per CPU second of the training loop against a hand-written torch loop of the same network.

Both train the same embedding table and dense layers with AdamW at the same batch size, one after the
other several times; the table shows medians of rows per CPU second (a busy machine disturbs those
less than wall time), and the ratio of `dml` to the hand-written loop.

    python benchmarks/training_throughput.py [--rows 50000] [--repeats 7] [--threads 1]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from declarative_ml.core.task import Task
from declarative_ml.learning.dataset import CodeColumn, Dataset, Layout
from declarative_ml.models.base import FitContext
from declarative_ml.models.mlp import MLP

NUMBERS, CODES, LEVELS, EMBEDDING = 40, 8, 50, 8
TASK = Task(target="y", type="binary", classes=("no", "yes"))


def make_rows(rows: int) -> Dataset:
    random = np.random.default_rng(0)
    scaled = random.normal(size=(rows, NUMBERS)).astype(np.float32)
    codes = random.integers(0, LEVELS, (rows, CODES)).astype(np.int32)
    target = (scaled[:, 0] + scaled[:, 1] * (codes[:, 0] % 2) > 0).astype(np.int64)
    layout = Layout(
        scaled=tuple(f"n{number}" for number in range(NUMBERS)),
        codes=tuple(CodeColumn(name=f"c{number}", cardinality=LEVELS) for number in range(CODES)),
    )
    return Dataset(layout, scaled[:, :0], scaled, codes, target)


class HandWritten(torch.nn.Module):
    """What one writes by hand: one table with offsets, dense layers."""

    def __init__(self, layers: tuple[int, ...]) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(CODES * LEVELS, EMBEDDING)
        widths = [NUMBERS + CODES * EMBEDDING, *layers]
        parts: list[torch.nn.Module] = []
        for width, out in pairwise(widths):
            parts += [torch.nn.Linear(width, out), torch.nn.ReLU()]
        self.dense = torch.nn.Sequential(*parts, torch.nn.Linear(widths[-1], 1))

    def forward(self, numbers: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        return self.dense(torch.cat([numbers, self.table(codes).flatten(1)], dim=1))[:, 0]


def train_by_hand(data: Dataset, layers: tuple[int, ...], batch: int, epochs: int) -> None:
    torch.manual_seed(0)
    network = HandWritten(layers)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    numbers = torch.from_numpy(data.scaled)
    codes = torch.from_numpy(data.codes.astype(np.int64)) + torch.arange(CODES) * LEVELS
    target = torch.from_numpy(data.target.astype(np.float32))
    for _ in range(epochs):
        order = torch.randperm(len(target))
        for rows in order.split(batch):
            optimizer.zero_grad()
            margins = network(numbers[rows], codes[rows])
            torch.nn.functional.binary_cross_entropy_with_logits(margins, target[rows]).backward()
            optimizer.step()


def train_with_dml(data: Dataset, layers: tuple[int, ...], batch: int, epochs: int, threads: int) -> None:
    model = MLP(layers=layers, batch_size=batch, epochs=epochs, networks=1, bins=0, embedding_size=EMBEDDING)
    with tempfile.TemporaryDirectory() as scratch:
        model.fit(data, None, FitContext(TASK, seed=0, threads=threads, scratch=Path(scratch)))


def cpu_seconds(work: Callable[[], None]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{'layers':>12} {'batch':>6} {'by hand rows/s':>15} {'dml rows/s':>11} {'ratio':>6}")
    for layers, batch in (((64, 64), 64), ((128, 128), 256), ((256, 256), 256), ((256, 256), 1024)):
        data = make_rows(min(arguments.rows, batch * 100))
        hand, dml = [], []
        for _ in range(arguments.repeats):
            hand.append(cpu_seconds(lambda: train_by_hand(data, layers, batch, 2)))  # noqa: B023
            dml.append(cpu_seconds(lambda: train_with_dml(data, layers, batch, 2, arguments.threads)))  # noqa: B023
        rates = [2 * len(data) / statistics.median(times) for times in (hand, dml)]
        ratio = statistics.median(one / other for one, other in zip(hand, dml, strict=True))
        print(f"{layers!s:>12} {batch:>6} {rates[0]:>15,.0f} {rates[1]:>11,.0f} {ratio:>6.2f}")


if __name__ == "__main__":
    main()
