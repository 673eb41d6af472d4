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

from collections.abc import Sequence
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
    matrix: csr_matrix,
    digests: np.ndarray,
    sizes: Sequence[int],
    classes: np.ndarray | None,
) -> TermBasis:
    """The basis for terms [N, T] of columns with so many terms each.

    `classes` [N, K] are the weights of the rows in the columns of their classes, None for numbers. With one
    column, K = 1, it is about two classes: positive weights are of the one, negative of the other.
    """
    from scipy.sparse import csr_matrix as sparse

    spread = _spread(matrix, digests, sizes)
    if classes is None:
        return TermBasis(spread, np.ones((spread.shape[1], 1)))
    present = sparse((np.ones_like(matrix.data), matrix.indices, matrix.indptr), shape=matrix.shape)
    inside, outside = np.maximum(classes, 0.0), np.maximum(-classes, 0.0)
    if classes.shape[1] > 1:
        outside = inside.sum(axis=1, keepdims=True) - inside
    return TermBasis(spread, _log_shares(present, spread, inside) - _log_shares(present, spread, outside))


def _log_shares(present: csr_matrix, spread: csr_matrix, rows: np.ndarray) -> np.ndarray:
    """ln of the smoothed share of weighted rows [N, K] that hold each part [P, K]."""
    held = (spread != 0).T @ np.asarray(present.T @ rows)
    shares: np.ndarray = np.log((held + _SMOOTHING) / (rows.sum(axis=0) + 2 * _SMOOTHING))
    return shares


def _spread(matrix: csr_matrix, digests: np.ndarray, sizes: Sequence[int]) -> csr_matrix:
    """Each term's own part [T], then a common part for every term that several columns hold."""
    from scipy.sparse import csr_matrix as sparse

    starts = (np.cumsum(sizes) - sizes).astype(np.int64)
    entries = np.bincount(matrix.indices, minlength=len(digests)).astype(np.float64)
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
