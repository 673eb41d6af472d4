"""Who answers a request: the model itself or, for a share of them, a canary; and who is asked aside."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from declarative_ml.scoring.scorer import Predictions
from declarative_ml.serving.model import ServedModel
from declarative_ml.serving.shadow import Shadow

ALL_COLUMNS = "*"

Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Canary:
    """A model that answers a share of the requests."""

    model: ServedModel
    share: float
    by: str | None = None
    """The column whose value decides; '*': all of them; None: chance."""


@dataclass
class Line:
    """A model as its paths see it."""

    model: ServedModel
    canary: Canary | None = None
    shadow: Shadow | None = None
    chance: random.Random = field(default_factory=random.Random)

    @property
    def goes_by_columns(self) -> bool:
        """Whether it takes the columns of a request to know who answers."""
        return self.canary is not None and self.canary.by is not None

    def draw(self) -> ServedModel:
        """Who answers, where chance decides; else the model."""
        canary = self.canary
        if canary is None or canary.by is not None or self.chance.random() >= canary.share:
            return self.model
        return canary.model

    def settled(self, drawn: ServedModel, columns: Columns) -> ServedModel:
        """Who answers, now that the columns are read: equal keys always meet the same model."""
        canary = self.canary
        if canary is None or canary.by is None:
            return drawn
        return canary.model if key_share(columns, canary.by) < canary.share else drawn

    def answered(self, by: ServedModel, columns: Columns, scored: Predictions, seconds: float) -> None:
        """A request got this answer. The shadow is held against the model, not against its canary."""
        if self.shadow is not None and by is self.model:
            self.shadow.offer(columns, scored, seconds)


def key_share(columns: Columns, by: str) -> float:
    """From 0 to 1, evenly, by the first row's value of the column, or of all. The same in every process, so
    that a larger share keeps the keys of a smaller one."""
    names = sorted(columns) if by == ALL_COLUMNS else [by]
    texts = [str(columns[name].reshape(-1)[0]) for name in names]
    found = hashlib.blake2b("\0".join(texts).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(found, "big") / 2.0**64
