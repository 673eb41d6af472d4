"""A neural network for tables: embeddings for codes, piecewise-linear numbers, dense layers.

Numbers enter as themselves and as piecewise-linear ramps between training quantiles (Gorishniy et
al., "On embeddings for numerical features in tabular deep learning", NeurIPS 2022), codes through
one embedding table. Several independent networks are trained side by side on the same batches and
their margins averaged (a deep ensemble in one pass; compare TabM, Gorishniy et al., ICLR 2025).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from declarative_ml.core.errors import DataError
from declarative_ml.core.optional import require
from declarative_ml.learning.dataset import Dataset, Layout
from declarative_ml.learning.space import Span
from declarative_ml.learning.task import Task
from declarative_ml.models.activation import Activation
from declarative_ml.models.base import FitContext, Fitted, Model, State, Work
from declarative_ml.models.mlp_sharing import Sharing

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from declarative_ml.graph.onnx_graph import OnnxGraph
    from declarative_ml.learning.dataset import EncodedNames
    from declarative_ml.learning.torch_loop import Settings
    from declarative_ml.models.mlp_network import Design

_BLOCK = 1_024
"""Rows predicted at a time: what networks see of a row is many times its columns."""
_FEW = 20_000
"""Up to this many rows, several small networks are better than one larger."""


class MLP(Model):
    """Dense networks, averaged. Options left out are chosen by the number of training rows."""

    type: Literal["mlp"] = "mlp"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "numpy")
    parallel: ClassVar[bool] = True
    space: ClassVar[Mapping[str, Span]] = {
        "layers": Span(choices=((64,), (128,), (64, 64), (128, 128), (256, 256), (64, 64, 64))),
        "learning_rate": Span(low=1e-3, high=1.5e-2, log=True),
        "weight_decay": Span(low=1e-3, high=0.5, log=True),
        "dropout": Span(low=0.0, high=0.4),
        "embedding_size": Span(low=2, high=32, log=True),
        "activation": Span(choices=("relu", "silu")),
    }

    layers: tuple[Annotated[int, Field(ge=1, le=8192)], ...] | None = Field(
        default=None, min_length=1, description="Width of each hidden layer. By rows when absent"
    )
    networks: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Networks trained side by side and averaged. By rows when absent",
    )
    share: Sharing = Field(
        default="nothing",
        description="What the networks have in common: nothing, the `weights` (TabM: each scales the inputs "
        "and outputs of the layers by its own), or whole `layers` (each scales the inputs of the first)",
    )
    activation: Activation = Field(default="relu", description="Function between the layers")
    dropout: float = Field(
        default=0.0, ge=0.0, lt=1.0, description="Share of hidden units left out of a training step"
    )
    embedding_size: int = Field(default=8, ge=1, le=1024, description="Width of a category's embedding")
    bins: int | None = Field(
        default=None,
        ge=0,
        le=256,
        description="Ramps that a number is cut into; 0: none. By rows when absent",
    )
    learning_rate: float = Field(default=4e-3, gt=0.0, le=1.0, description="Peak learning rate (AdamW)")
    weight_decay: float = Field(
        default=0.02, ge=0.0, le=10.0, description="Decay of the weights, not the biases"
    )
    epochs: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Most passes over the rows; the learning rate falls over them. By rows when absent",
    )
    batch_size: int | None = Field(
        default=None, ge=1, le=1_000_000, description="Rows of a training step. By rows when absent"
    )
    early_stopping: int = Field(
        default=8,
        ge=1,
        le=100_000,
        description="Epochs without a better validation loss before training stops",
    )

    def fit(self, train: Dataset, validation: Dataset | None, context: FitContext) -> Fitted:
        """Learn. The work is `epochs` and `fit_rows`, the rows by which absent options were chosen.

        Raises DataError when there is no column to learn from, MissingDependency without torch.
        """
        from declarative_ml.models.mlp_fit import fit_alone, fit_together
        from declarative_ml.models.mlp_rows import pool_rows

        require("torch", "torch")
        if not train.layout.scaled and not train.layout.codes:
            raise DataError(
                "the mlp has no column to learn from",
                hint="add a number, binary, date or category feature, or leave the mlp out",
            )
        work = context.work or {}
        rows = work.get("fit_rows", len(train))
        batch_size = self.batch_size or default_batch_size(rows)
        pool = pool_rows(train.layout, batch_size)
        settings = self._settings(rows, len(train), context, batch_size, pool)
        fit = fit_alone if context.processes == 1 else fit_together
        fitted = fit(self._design(rows), settings, train, None if context.work else validation, context)
        return replace(fitted, work={**work, **fitted.work, "fit_rows": rows})

    def refit_work(self, works: list[Work], fit_rows: int, refit_rows: int) -> Work:
        """See Model.refit_work. Folds that the clock made shorter count where they are the most."""
        shorter = [work for work in works if "horizon" in work]
        others = [work for work in works if "horizon" not in work]
        return super().refit_work(shorter if len(shorter) > len(others) else others, fit_rows, refit_rows)

    def _design(self, rows: int) -> Design:
        from declarative_ml.models.mlp_network import Design

        return Design(
            layers=self.layers or default_layers(rows),
            networks=self.networks or default_networks(rows, self.share),
            activation=self.activation,
            dropout=self.dropout,
            embedding_size=self.embedding_size,
            bins=default_bins(rows) if self.bins is None else self.bins,
            share=self.share,
        )

    def _settings(
        self, fit_rows: int, rows: int, context: FitContext, batch_size: int, pool: int
    ) -> Settings:
        from declarative_ml.learning.torch_loop import Settings

        work = context.work or {}
        horizon = work.get("horizon") or self.epochs or default_epochs(fit_rows, context.task)
        return Settings(
            rows=rows,
            batch_size=batch_size,
            pool=pool,
            epochs=work.get("epochs", horizon),
            horizon=horizon,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            patience=self.early_stopping,
            seed=context.seed,
            threads=max(1, context.threads // context.processes),
            processes=context.processes,
        )

    def defaults(self, rows: int, task: Task) -> dict[str, Any]:
        """See Model.defaults."""
        return {
            "layers": list(default_layers(rows)),
            "networks": default_networks(rows, self.share),
            "bins": default_bins(rows),
            "epochs": default_epochs(rows, task),
            "batch_size": default_batch_size(rows),
        }

    def predict(self, state: State, data: Dataset, task: Task) -> np.ndarray:
        """Margins [N, task.width] as float64, computed in float32 as the graph does."""
        import numpy as np

        from declarative_ml.models.mlp_inference import margins

        found = [np.zeros((0, task.width))]
        for start in range(0, len(data), _BLOCK):
            rows = slice(start, start + _BLOCK)
            found.append(margins(state, data.scaled[rows], data.codes[rows], self.activation))
        return np.concatenate(found)

    def to_onnx(self, graph: OnnxGraph, state: State, names: EncodedNames, layout: Layout, task: Task) -> str:
        """The same network as Gather, Min, Max, Clip, Gemm and the activation."""
        from declarative_ml.models.mlp_inference import add_network

        return add_network(graph, state, names, self.activation)


def default_batch_size(rows: int) -> int:
    """About 1/64 of the rows, as a power of two from 32 to 1024."""
    return int(min(1024, max(32, 2 ** round(math.log2(max(rows, 1) / 64)))))


def default_epochs(rows: int, task: Task) -> int:
    """Many for few rows, 60 at most. Numbers gain from more passes than classes do, which overfit sooner."""
    epochs = 2250 / max(rows, 1) ** 0.5
    if task.type == "number":
        epochs = max(epochs, min(24.0, 800_000 / max(rows, 1)))
    return int(min(60, max(4, round(epochs))))


def default_layers(rows: int) -> tuple[int, ...]:
    """Two layers, wide enough for one network alone above 20,000 rows."""
    return (64, 64) if rows <= _FEW else (128, 128)


def default_networks(rows: int, share: Sharing = "nothing") -> int:
    """Apart, four up to 20,000 rows, where single networks differ most; a second costs more than it gives
    above. One alone shares nothing, so there are always several that share."""
    if share != "nothing":
        return 8
    return 4 if rows <= _FEW else 1


def default_bins(rows: int) -> int:
    """Finer where rows are many: from 4 to 48."""
    return int(min(48, max(4, rows // 100)))
