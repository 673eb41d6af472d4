"""The order in which a network visits its rows, epoch by epoch: numbers alone decide it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from declarative_ml.core.digest import digest_json

if TYPE_CHECKING:
    import torch

STRETCHES = 64
"""Of a pool of rows that are shuffled together."""


def epoch_order(rows: int, seed: int, epoch: int, pool: int = 0) -> torch.Tensor:
    """The order in which `epoch` visits the rows: a permutation that these numbers alone decide."""
    import torch

    return torch.cat(list(epoch_pools(rows, seed, epoch, pool)))


def epoch_pools(rows: int, seed: int, epoch: int, pool: int = 0) -> Iterator[torch.Tensor]:
    """The same, drawn as far as it is asked for.

    With `pool`, the rows of STRETCHES stretches are visited before any other's; see Settings.pool.
    """
    import torch

    generator = torch.Generator().manual_seed(mix(seed, epoch, 0))
    if not pool or rows <= pool:
        yield torch.randperm(rows, generator=generator)
        return
    length = pool // STRETCHES
    stretches = torch.randperm(-(-rows // length), generator=generator)
    for chosen in stretches.split(STRETCHES):
        places = (chosen[:, None] * length + torch.arange(length)).flatten()
        places = places[places < rows]
        yield places[torch.randperm(len(places), generator=generator)]


def stretches_of(pools: Iterator[torch.Tensor], cuts: Sequence[int]) -> Iterator[torch.Tensor]:
    """What lies between each two of the ascending `cuts` when the pools are joined."""
    import torch

    held, before = torch.zeros(0, dtype=torch.int64), 0
    for start, end in pairwise(cuts):
        while before + len(held) < end:
            done = min(max(start - before, 0), len(held))
            held, before = torch.cat([held[done:], next(pools)]), before + done
        yield held[start - before : end - before]


def mix(seed: int, number: int, purpose: int) -> int:
    """One 63-bit seed from three numbers, so that neighbouring seeds share no stream."""
    return int(digest_json([seed, number, purpose])[:15], 16)
