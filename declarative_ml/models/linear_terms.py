"""What the weight of a term is made of, so that few texts teach many of them.

Two habits of linear text classification, as a change of variables under the same L2 penalty:

- A term that several columns hold has a part in common and one of its own in each column, so that a word
  learned from descriptions counts in titles too (Daumé, "Frustratingly easy domain adaptation", ACL 2007).
- A part counts as much as its term tells classes apart: by how much more likely it is in the class than in
  the others, as a logarithm (Wang & Manning, "Baselines and bigrams: simple, good sentiment and topic
  classification", ACL 2012). Numbers have no such factor.

Columns count by the root of how many terms their texts hold, as they would if all were one text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_UNIT = 2.0
"""The length of a text's row: with it the same penalties suit terms and numbers of unit size."""
_OWN = 0.5
"""How large a column's own part of a weight is, to the common one."""
_SMOOTHING = 1.0
"""Rows added to each count."""


@dataclass(frozen=True, eq=False)
class TermBasis:
    """Parts [P, K] to the weights of terms [T, K]: spread @ (factors x parts)."""

    spread: csr_matrix
    """float64 [T, P]."""
    factors: np.ndarray
    """float64 [P, K], or [P, 1]."""

    @property
    def parts(self) -> int:
        """P, the number of penalised parts."""
        return int(self.spread.shape[1])

    def weights(self, parts: np.ndarray) -> np.ndarray:
        """The weights of terms [T, K]."""
        found: np.ndarray = self.spread @ (self.factors * parts)
        return found

    def slopes(self, slopes: np.ndarray) -> np.ndarray:
        """From a gradient by the weights of terms [T, K] to that by the parts [P, K]."""
        found: np.ndarray = self.factors * (self.spread.T @ slopes)
        return found


def learn_basis(
    blocks: Iterable[tuple[csr_matrix, np.ndarray | None]], digests: np.ndarray, sizes: Sequence[int]
) -> TermBasis:
    """The basis for blocks of terms [N, T] of columns with so many terms each.

    Beside each block are `classes` [N, K], the weights of its rows in the columns of their classes, None for
    numbers. With one column, K = 1, it is about two classes: positive weights are of the one, negative of
    the other.
    """
    entries = np.zeros(len(digests))
    sides: list[_Side] | None = None
    for matrix, classes in blocks:
        entries += np.bincount(matrix.indices, minlength=len(digests))
        if classes is None:
            continue
        inside, outside = np.maximum(classes, 0.0), np.maximum(-classes, 0.0)
        if classes.shape[1] > 1:
            outside = inside.sum(axis=1, keepdims=True) - inside
        sides = sides or [_Side(), _Side()]
        for side, rows in zip(sides, (inside, outside), strict=True):
            side.add(matrix, rows)
    spread = _spread(entries, digests, sizes)
    if sides is None:
        return TermBasis(spread, np.ones((spread.shape[1], 1)))
    return TermBasis(spread, sides[0].log_shares(spread) - sides[1].log_shares(spread))


class _Side:
    """The weighted rows of the classes: in total, and those that hold each term."""

    held: np.ndarray | float = 0.0
    total: np.ndarray | float = 0.0

    def add(self, matrix: csr_matrix, rows: np.ndarray) -> None:
        """Count a block of terms [N, T], whose rows weigh `rows` [N, K]."""
        from scipy.sparse import csr_matrix as sparse

        present = sparse((np.ones_like(matrix.data), matrix.indices, matrix.indptr), shape=matrix.shape)
        self.held = self.held + np.asarray(present.T @ rows)
        self.total = self.total + rows.sum(axis=0)

    def log_shares(self, spread: csr_matrix) -> np.ndarray:
        """ln of the smoothed share of weighted rows that hold each part [P, K]."""
        held = (spread != 0).T @ self.held
        shares: np.ndarray = np.log((held + _SMOOTHING) / (self.total + 2 * _SMOOTHING))
        return shares


def _spread(entries: np.ndarray, digests: np.ndarray, sizes: Sequence[int]) -> csr_matrix:
    """Each term's own part [T], then a common part for every term that several columns hold.

    `entries` [T]: how many texts hold each.
    """
    from scipy.sparse import csr_matrix as sparse

    starts = (np.cumsum(sizes) - sizes).astype(np.int64)
    held = np.add.reduceat(entries, starts)
    scales = np.repeat(_UNIT * np.sqrt(held / max(held.sum(), 1.0)), sizes)
    _, kinds, columns = np.unique(digests, return_inverse=True, return_counts=True)
    several = columns[kinds] > 1
    _, common = np.unique(kinds[several], return_inverse=True)
    terms = np.arange(len(digests))
    alone = np.sqrt(1.0 + _OWN**2)
    values = np.concatenate([scales * np.where(several, _OWN, alone), scales[several]])
    rows = np.concatenate([terms, terms[several]])
    places = np.concatenate([terms, len(terms) + common])
    width = len(terms) + (int(common.max()) + 1 if len(common) else 0)
    return sparse((values, (rows, places)), shape=(len(terms), width))
