"""One of the processes that train a network together: what it takes of a batch, and how all add up.

Every process holds the same weights and takes its part of the same global batch; losses and gradients are
added up, so that the step is that of one process with the whole batch (data-parallel training: Li et al.,
"PyTorch Distributed", VLDB 2020). Sums come out with the same bits everywhere, so decisions taken from them
are the same decision.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from declarative_ml.core.atomic import write_json
from declarative_ml.core.errors import StepFailed

if TYPE_CHECKING:
    import torch

ERROR, PROGRESS, STOP = "error.json", "progress.jsonl", "stop"
"""In the folder of a group: an error that starting again would not mend, what the first process has to
tell, and the wish from outside that the training ends where it is."""
_TOLD = ("RANK", "WORLD_SIZE", "TORCHELASTIC_RESTART_COUNT")
"""What the launcher tells each process, in its environment."""
PATIENCE = timedelta(minutes=10)
"""A process that waits longer than this for another takes it for lost."""


@dataclass(frozen=True)
class Rank:
    """Which of how many processes this is; by itself, the only one."""

    number: int = 0
    of: int = 1
    restarts: int = 0
    """How often the group was started again before this."""

    @property
    def is_first(self) -> bool:
        """Whether this one tells, saves and asks the clock for all."""
        return self.number == 0

    def part(self, rows: int) -> slice:
        """Its own among so many rows. The parts of all are disjoint, in order, and cover them."""
        return slice(rows * self.number // self.of, rows * (self.number + 1) // self.of)

    def add_up(self, tensor: torch.Tensor) -> None:
        """Put the sum over all processes in place of the tensor."""
        if self.of > 1:
            from torch.distributed import all_reduce

            all_reduce(tensor)

    def fault_points(self, name: str) -> tuple[str, ...]:
        """The names under which a test may kill this process at the point `name`."""
        if self == ALONE:
            return (name,)
        return f"rank{self.number}:{name}", f"rank{self.number}:start{self.restarts}:{name}"


ALONE = Rank()


def run_rank(folder: Path, work: Callable[[Rank], None]) -> None:
    """Do `work` as one of the processes of the group of `folder`, which the launcher has started.

    An error that a person can mend is left in the folder, and nothing is started again for it. Whatever
    else is raised ends this process, and the launcher starts the group again.
    """
    end_with_run()
    from torch.distributed.elastic.multiprocessing.errors import record

    def joined() -> None:
        try:
            with _joined(folder) as rank:
                work(rank)
        except StepFailed as error:
            write_json(folder / ERROR, {"message": error.message, "hint": error.hint})

    record(joined)()


@contextmanager
def _joined(folder: Path) -> Iterator[Rank]:
    """Meet over a file, talk over the loopback interface: no port is open to others."""
    import torch.distributed as group

    number, of, restarts = (int(os.environ[name]) for name in _TOLD)
    rank = Rank(number, of, restarts)
    store = group.FileStore(str(folder / f"meeting{rank.restarts}"), rank.of)
    group.init_process_group("gloo", store=store, rank=rank.number, world_size=rank.of, timeout=PATIENCE)
    yield rank
    group.destroy_process_group()


def end_with_run() -> None:
    """Stop at once when the run that asked for the training is gone, or lets go of standard input, whose
    other end it holds. For the processes and for their launcher, which would start them again."""

    def watch() -> None:
        os.read(0, 1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def teller(folder: Path, rank: Rank) -> Callable[[float, str], None]:
    """What the loop reports to: the first process leaves it in the folder, the others are silent."""

    def tell(fraction: float, message: str) -> None:
        if rank.is_first:
            again = f" · start {rank.restarts + 1}" if rank.restarts else ""
            with (folder / PROGRESS).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps([fraction, message + again]) + "\n")

    return tell


def stopper(folder: Path, stop_after: int | None) -> Callable[[int], bool]:
    """Whether training ends after so many batches: at a number that is known, or when the folder says so."""
    if stop_after is not None:
        return lambda batches: batches >= stop_after
    return lambda batches: (folder / STOP).exists()
