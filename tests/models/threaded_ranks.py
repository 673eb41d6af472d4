"""Ranks as threads of one process: what they add up, they add up in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from declarative_ml.learning.rank import Rank

T = TypeVar("T")


@dataclass(frozen=True)
class Threaded(Rank):
    """One of them."""

    tensors: list[torch.Tensor] = field(default_factory=list)
    barrier: threading.Barrier = field(default_factory=lambda: threading.Barrier(1))

    def add_up(self, tensor: torch.Tensor) -> None:
        self.tensors[self.number] = tensor
        self.barrier.wait()
        total = torch.stack(self.tensors).sum(0)
        self.barrier.wait()
        tensor.copy_(total)


def in_threads(processes: int, work: Callable[[Rank], T]) -> list[T]:
    """What `work` returns in each of so many ranks side by side."""
    tensors, barrier = [torch.zeros(0)] * processes, threading.Barrier(processes)
    found: dict[int, T] = {}

    def one(number: int) -> None:
        found[number] = work(Threaded(number, processes, 0, tensors, barrier))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[number] for number in range(processes)]
