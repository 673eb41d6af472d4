"""The network behind `mlp`: torch tensors beside the training rows, a Learner for the training loop."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from declarative_ml.learning.dataset import Dataset, Layout
from declarative_ml.learning.rank import Rank
from declarative_ml.learning.sums import place_and_scale
from declarative_ml.learning.task import Task
from declarative_ml.learning.torch_loop import Trained
from declarative_ml.models.activation import Activation
from declarative_ml.models.base import State
from declarative_ml.models.mlp_rows import Rows
from declarative_ml.models.mlp_sharing import Sharing, begin_sharing, own_weights

if TYPE_CHECKING:
    import torch


VALIDATION_BLOCK = 4_096
"""Validation rows go through the network in blocks of this many: bounded memory."""

_FILLED_ROWS = 1_024
"""Rows whose ramps are computed at a time: they are many."""
EXPANDED_VALUES = 50_000_000
"""Up to this many values (200 MB) the ramps of the training rows are computed once, else batch by batch."""


@dataclass(frozen=True)
class Design:
    """What the network looks like."""

    layers: tuple[int, ...]
    networks: int
    activation: Activation
    dropout: float
    embedding_size: int
    bins: int
    share: Sharing = "nothing"


@dataclass(frozen=True)
class Masks:
    """Which hidden units a training step keeps: drawn for the whole batch, so that ranks draw the same."""

    dropout: float
    generator: torch.Generator
    rows: int
    """Of the whole batch."""
    own: slice
    """Those among them that are computed here."""

    def like(self, hidden: torch.Tensor, layer: int) -> torch.Tensor:
        """Ones and zeros for the hidden units [networks, own rows, width] of a layer, from 1 on."""
        import torch

        networks, _, width = hidden.shape
        if layer == 1:  # one wide product for all networks: its memory, and so the order of draws, is by rows
            whole = torch.empty(self.rows, networks, width).transpose(0, 1)
        else:
            whole = torch.empty(networks, self.rows, width)
        return whole.bernoulli_(1.0 - self.dropout, generator=self.generator)[:, self.own]


class Network:
    """The parameters as torch tensors beside the training rows: a Learner for the loop."""

    def __init__(
        self,
        design: Design,
        task: Task,
        seed: int,
        train: Dataset,
        validation: Dataset | None,
        *,
        pool: int,
        memory: int | None = None,
    ) -> None:
        """`pool`: see mlp_rows; `memory`: what may be taken for speed alone, in bytes (None: any)."""
        import torch

        self.design, self.task = design, task
        self.generator = torch.Generator().manual_seed(seed)
        self.scaling = _target_scaling(train, task)
        self.inputs = _input_arrays(train, design.bins)
        self.tensors = {name: torch.from_numpy(array) for name, array in self.inputs.items()}
        self.parameters = self._initial(train.layout)
        self.decayed = frozenset(name for name in self.parameters if name.startswith("weight"))
        self.train = self._rows(train, pool)
        values = len(train) * (train.scaled.shape[1] + len(self.inputs["ramp_column"]))
        affordable = memory is None or 4 * values <= memory
        self.expanded = self.train.whole and values <= EXPANDED_VALUES and affordable
        if self.expanded:
            self.train.numbers = self._numbers(self.train.numbers)
        self.validation = None if validation is None or not len(validation) else self._rows(validation, pool)
        digest = _digest(train)
        shapes = {name: list(tensor.shape) for name, tensor in self.parameters.items()}
        held_out = 0 if validation is None else len(validation)
        self.identity: list[Any] = [asdict(design), task.model_dump(), shapes, digest, held_out]

    def _initial(self, layout: Layout) -> dict[str, torch.Tensor]:
        import torch

        parameters: dict[str, torch.Tensor] = {}
        size, networks = self.design.embedding_size, self.design.networks
        width = len(layout.scaled) + len(self.inputs["ramp_column"]) + size * len(layout.codes)
        if layout.codes:
            levels = sum(column.cardinality for column in layout.codes)
            table = torch.randn(levels, size, generator=self.generator) * 0.3
            for offset in self.inputs["offsets"]:
                table[offset : offset + 2] = 0.0  # missing and unseen begin, and may stay, neutral
            parameters["table"] = table
        for number, out in enumerate([*self.design.layers, self.task.width]):
            last = number == len(self.design.layers)
            spread = (1.0 if last else 2.0) / width
            weight = torch.randn(networks, width, out, generator=self.generator) * spread**0.5
            parameters[f"weight{number}"] = weight * 0.1 if last else weight
            parameters[f"bias{number}"] = torch.zeros(networks, 1, out)
            width = out
        first = parameters["weight0"]  # one wide matrix: every network reads the same inputs
        wide = first.transpose(0, 1).reshape(first.shape[1], -1)
        numbers = len(layout.scaled) + len(self.inputs["ramp_column"])
        # Apart from the embeddings' part, so that no gradient is taken by the fixed numbers.
        parameters["weight0"] = wide[:numbers].contiguous()
        parameters["weight0_codes"] = wide[numbers:].contiguous()
        parameters["bias0"] = parameters["bias0"].reshape(-1)
        columns = self._columns(layout)
        parameters = begin_sharing(parameters, self.design.share, networks, columns, self.generator)
        return {name: tensor.requires_grad_() for name, tensor in parameters.items()}

    def _columns(self, layout: Layout) -> torch.Tensor:
        """The column of the table that each input of the first layer comes from."""
        import torch

        scaled = len(layout.scaled)
        codes = torch.arange(scaled, scaled + len(layout.codes))
        embedded = codes.repeat_interleave(self.design.embedding_size)
        return torch.cat([torch.arange(scaled), self.tensors["ramp_column"], embedded])

    def _rows(self, data: Dataset, pool: int) -> Rows:
        """Rows with the target as the loss takes it."""
        return Rows(data, self.inputs["offsets"], pool, self._as_target)

    def _as_target(self, target: np.ndarray) -> np.ndarray:
        if self.task.is_classification:
            return np.array(target, dtype=np.int64)
        center, spread = self.scaling[:2]
        scaled: np.ndarray = ((target - center) / spread).astype(np.float32)
        return scaled

    def loss(self, rows: torch.Tensor, generator: torch.Generator, rank: Rank) -> torch.Tensor:
        """What the rank's rows add to the mean over the networks of each one's weighted loss."""
        own = rank.part(len(rows))
        numbers, codes, target, weight = self.train.take(rows[own])
        if not self.expanded:
            numbers = self._numbers(numbers)
        masks = Masks(self.design.dropout, generator, len(rows), own)
        outputs = self._forward(own_weights(self.parameters), numbers, codes, masks)
        return (self._row_losses(outputs, target) * weight).sum() / (self.design.networks * len(rows))

    def validation_loss(self, weights: dict[str, torch.Tensor], rank: Rank) -> float | None:
        """What the rank's rows add to the loss of the averaged margins."""
        import torch

        if self.validation is None:
            return None
        total = 0.0
        own = rank.part(len(self.validation))
        with torch.no_grad():
            weights = own_weights(weights)
            for start in range(own.start, own.stop, VALIDATION_BLOCK):
                stop = min(start + VALIDATION_BLOCK, own.stop)
                scaled, codes, target, weight = self.validation.between(start, stop)
                outputs = self._forward(weights, self._numbers(scaled), codes, None).mean(0, keepdim=True)
                total += float((self._row_losses(outputs, target) * weight).sum())
        return total / len(self.validation)

    def _row_losses(self, outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Losses [networks, rows] of margins [networks, rows, width]."""
        from torch.nn import functional

        networks, rows, _ = outputs.shape
        repeated = target.expand(networks, rows)
        if self.task.type == "multiclass":
            flat = functional.cross_entropy(outputs.flatten(0, 1), repeated.reshape(-1), reduction="none")
            return flat.view(networks, rows)
        margins = outputs[:, :, 0]
        if self.task.type == "binary":
            return functional.binary_cross_entropy_with_logits(
                margins, repeated.to(margins.dtype), reduction="none"
            )
        return (margins - repeated).square()

    def _forward(
        self,
        weights: dict[str, torch.Tensor],
        numbers: torch.Tensor,
        codes: torch.Tensor,
        masks: Masks | None,
    ) -> torch.Tensor:
        """Margins [networks, rows, width]; dropout where there are masks."""
        import torch
        from torch.nn import functional

        hidden = torch.addmm(weights["bias0"], numbers, weights["weight0"])
        if codes.shape[1]:
            found = functional.embedding(codes, weights["table"]).flatten(1)
            hidden = torch.addmm(hidden, found, weights["weight0_codes"])
        width = hidden.shape[1] // self.design.networks  # -1 would not do for no rows
        hidden = hidden.view(len(numbers), self.design.networks, width).transpose(0, 1)
        for number in range(1, len(self.design.layers) + 1):
            hidden = _activate(hidden, self.design.activation)
            if self.design.dropout and masks is not None:
                hidden = hidden * masks.like(hidden, number) / (1.0 - self.design.dropout)
            hidden = torch.baddbmm(weights[f"bias{number}"], hidden, weights[f"weight{number}"])
        return hidden

    def _numbers(self, scaled: torch.Tensor) -> torch.Tensor:
        """Scaled columns within the training range, and their ramps."""
        import torch

        fixed = self.tensors
        width = scaled.shape[1]
        found = torch.empty(len(scaled), width + len(fixed["ramp_column"]))
        for part, out in zip(scaled.split(_FILLED_ROWS), found.split(_FILLED_ROWS), strict=True):
            within = torch.minimum(torch.maximum(part, fixed["low"]), fixed["high"])
            ramps = within.index_select(1, fixed["ramp_column"])
            out[:, :width] = within
            out[:, width:] = ramps.sub_(fixed["ramp_start"]).mul_(fixed["ramp_scale"]).clamp_(0.0, 1.0)
        return found

    def state(self, trained: Trained) -> State:
        """Plain arrays, as `mlp_inference` reads them."""
        state: State = {**self.inputs, "scaling": self.scaling}
        state.update({name: np.asarray(weight) for name, weight in trained.weights.items()})
        state["weight0"] = np.concatenate([state["weight0"], state.pop("weight0_codes")])
        return state


def _activate(hidden: torch.Tensor, activation: str) -> torch.Tensor:
    import torch
    from torch.nn import functional

    if activation == "relu":
        return torch.relu(hidden)
    if activation == "silu":
        return functional.silu(hidden)
    return torch.tanh(hidden) if activation == "tanh" else functional.gelu(hidden, approximate="tanh")


def _target_scaling(train: Dataset, task: Task) -> np.ndarray:
    """Mean, standard deviation, least and greatest training target; classes: nothing to scale."""
    if task.is_classification:
        return np.zeros(0)
    mean, spread = place_and_scale(train.target, None)
    ends = [(part.min(), part.max()) for part in _targets(train)]
    return np.array([mean, spread or 1.0, min(low for low, _ in ends), max(high for _, high in ends)])


def _targets(train: Dataset) -> Iterator[np.ndarray]:
    """The targets, in blocks."""
    return (train.target[start : start + _RANGE_ROWS] for start in range(0, len(train), _RANGE_ROWS))


def _digest(train: Dataset) -> str:
    """Of the targets."""
    digest = hashlib.sha256()
    for part in _targets(train):
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()


def _input_arrays(train: Dataset, bins: int) -> dict[str, np.ndarray]:
    """Training ranges of the scaled columns, their ramps, and where each code column begins in the table."""
    columns, starts, scales = [], [], []
    low, high = _ranges(train)
    sample = train.scaled[:: max(1, len(train) // _SAMPLED)]
    bins = _affordable_bins(bins, train.scaled.shape[1])
    for number in range(train.scaled.shape[1]):
        edges = _edges(sample[:, number], bins)
        columns += [number] * (len(edges) - 1)
        starts += list(edges[:-1])
        scales += list(1.0 / np.diff(edges))
    sizes = [column.cardinality for column in train.layout.codes]
    return {
        "low": low,
        "high": high,
        "ramp_column": np.array(columns, dtype=np.int64),
        "ramp_start": np.array(starts, dtype=np.float32),
        "ramp_scale": np.array(scales, dtype=np.float32),
        "offsets": np.cumsum([0, *sizes[:-1]], dtype=np.int64) if sizes else np.zeros(0, dtype=np.int64),
    }


def _ranges(train: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The least and the greatest value of each scaled column, float32."""
    parts = (train.scaled[start : start + _RANGE_ROWS] for start in range(0, len(train), _RANGE_ROWS))
    ends = [(part.min(axis=0), part.max(axis=0)) for part in parts]
    low, high = (np.stack(found).astype(np.float32) for found in zip(*ends, strict=True))
    return low.min(axis=0), high.max(axis=0)


_RANGE_ROWS = 65_536
_SAMPLED = 100_000
"""Values that the ramps of a column are learned from."""
_MOST_RAMPS = 2_048
_FEWEST_BINS = 8


def _affordable_bins(bins: int, columns: int) -> int:
    """Fewer where columns are many; none where hundreds are, as the components of a text."""
    affordable = min(bins, _MOST_RAMPS // max(columns, 1))
    return affordable if affordable >= min(bins, _FEWEST_BINS) else 0


_LEAST_RAMP = 0.02
"""Narrower ramps would magnify the float32 rounding of the graph's scaling beyond 1e-5."""


def _edges(sample: np.ndarray, bins: int) -> np.ndarray:
    """Quantiles of sampled values, apart by `_LEAST_RAMP` at least; one edge (no ramp) for binary and
    constant columns.

    A value that occurs n times counts sqrt(n) times, or one spike (zero capital gain) would take all bins.
    """
    distinct, counts = np.unique(sample, return_counts=True)
    if bins == 0 or len(distinct) <= 2:
        return distinct[:1].astype(np.float32)
    mass = np.cumsum(np.sqrt(counts))
    places = np.searchsorted(mass, np.linspace(0.0, mass[-1], bins + 1))
    chosen = distinct if len(distinct) <= bins + 1 else distinct[np.minimum(places, len(distinct) - 1)]
    kept = [distinct[0]]
    for edge in chosen:
        if edge - kept[-1] >= _LEAST_RAMP:
            kept.append(edge)
    return np.array(kept, dtype=np.float32)
