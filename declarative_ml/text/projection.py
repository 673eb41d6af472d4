"""Texts as few numbers: latent semantic analysis, in whole numbers that sum without rounding.

A text is a row of counts x idf of its terms, of length 1; its numbers are the first right singular
vectors of the matrix of such rows, applied to it (Deerwester et al., "Indexing by latent semantic
analysis", JASIS 1990). Labels have no part in it.

What is kept is a table of int16, a row a term. The sum of a text's rows, times its counts, is a whole
number below 2^24 in all but absurd texts: float32 holds it exactly, so that any order of adding, in numpy
or in ONNX Runtime, gives the same.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from declarative_ml.text.vocabulary import Found

IDF_STEPS = 16
"""Inverse document frequencies are kept in sixteenths, so that their squares sum exactly."""
LARGEST = 8_191
"""The largest entry of a column of the table."""
_SAMPLE = 20_000
"""Texts that the singular vectors are computed from."""
_ROUNDS = 2
_MORE = 16
"""Vectors beyond those wanted, which make these better."""
_SEED = 20_190
_FAINT = 1e-4
"""Singular values below this share of the first are noise of float32."""


@dataclass(frozen=True, eq=False)
class Projection:
    """Terms to numbers. Row t - 1 of each array belongs to the term t."""

    idf: np.ndarray
    """int64 [V]: ln((1 + texts) / (1 + texts with the term)) + 1, in sixteenths."""
    table: np.ndarray
    """int16 [V, K]."""
    factors: np.ndarray
    """float32 [K]: make the mean square of each number 1 over the sampled texts."""

    @property
    def width(self) -> int:
        """K, how many numbers a text gets."""
        return int(self.table.shape[1])

    def apply(self, counts: csr_matrix) -> np.ndarray:
        """The numbers of N texts, float32 [N, K]: (sum of `counts` [N, V] x table rows) x factors / norm.

        Texts without known terms are zeros. Columns have a mean square of 1, not a mean of 0.
        """
        numbers = np.asarray(counts @ self._weights)
        numbers *= self.factors
        numbers /= _norms(counts.data * self._frequencies[counts.indices], counts.indptr)[:, None]
        return numbers

    @cached_property
    def _weights(self) -> np.ndarray:
        """The table as float32."""
        return self.table.astype(np.float32)

    @cached_property
    def _frequencies(self) -> np.ndarray:
        """`idf` as float32."""
        return self.idf.astype(np.float32)

    def as_json(self) -> dict[str, Any]:
        """JSON of it; the table is base64 of its little-endian bytes, 2.7 bytes an entry."""
        return {
            "idf": self.idf.tolist(),
            "factors": self.factors.astype(np.float64).tolist(),
            "table": base64.b64encode(self.table.astype("<i2").tobytes()).decode(),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what `as_json` wrote."""
        factors = np.array(document["factors"], dtype=np.float32)
        table = np.frombuffer(base64.b64decode(document["table"]), dtype="<i2")
        idf = np.array(document["idf"], dtype=np.int64)
        return cls(idf, table.astype(np.int16).reshape(len(idf), len(factors)), factors)


def count_matrix(found: Found, terms: int) -> csr_matrix:
    """How often each of the terms occurs in each text: float32 [N, terms], the terms in any order."""
    from scipy.sparse import csr_matrix

    bounds = np.concatenate([[0], found.ends])
    return csr_matrix((found.counts, found.terms - 1, bounds), shape=(len(found.words), terms))


def _norms(values: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """The lengths of rows whose `values` stand between `bounds` [N + 1], at least 1: float32 [N]."""
    squares = np.zeros(len(bounds) - 1, dtype=np.float32)
    held = np.flatnonzero(np.diff(bounds))
    if len(held):
        squares[held] = np.add.reduceat(np.square(values), bounds[held])
    norms: np.ndarray = np.sqrt(np.maximum(squares, np.float32(1)))
    return norms


def term_weights(counts: csr_matrix, idf: np.ndarray) -> csr_matrix:
    """How much each term counts in each text: float32 [N, V] of (1 + ln count) x idf, in rows of length 1.

    `counts` [N, V]: how often each occurs. The logarithm keeps a word that a long text repeats from drowning
    the others (Salton & Buckley, "Term-weighting approaches in automatic text retrieval", 1988).
    """
    weights = counts.sorted_indices()
    strengths = (np.float32(1) + np.log(weights.data)) * idf.astype(np.float32)[weights.indices]
    norms = _norms(strengths, weights.indptr)
    weights.data = strengths / np.repeat(norms, np.diff(weights.indptr))
    return weights


def learn_projection(found: Found, documents: np.ndarray, components: int) -> Projection:
    """The projection on up to `components` singular vectors of sampled texts, in a random order.

    `documents` [V]: in how many of the texts each term occurs.
    """
    from threadpoolctl import threadpool_limits

    # How many threads share a product decides its last bits, and the vectors must not depend on that.
    with threadpool_limits(limits=1, user_api="blas"):
        return _learn(found, documents, components)


def _learn(found: Found, documents: np.ndarray, components: int) -> Projection:
    texts = len(found.words)
    idf = np.rint(IDF_STEPS * (np.log((1 + texts) / (1 + documents)) + 1)).astype(np.int64)
    every = count_matrix(found, len(idf))
    counts = every[:_SAMPLE]
    counts.sort_indices()  # these sums are not of whole numbers, so that their order matters
    weighted = counts.multiply(idf.astype(np.float32)).tocsr()
    norms = np.sqrt(weighted.power(2).sum(axis=1))
    rows = weighted.multiply(1 / np.maximum(np.asarray(norms, np.float32).reshape(-1, 1), 1)).tocsr()
    vectors = singular_vectors(rows, components) * idf[:, None]
    units = np.maximum(np.abs(vectors).max(axis=0, initial=0.0), 1e-30) / LARGEST
    table = np.rint(vectors / units).astype(np.int16)
    numbers = Projection(idf, table, np.ones(len(units), dtype=np.float32)).apply(every)
    spread = np.sqrt(np.square(numbers, dtype=np.float64).sum(axis=0) / max(texts, 1))
    return Projection(idf, table, (1 / np.maximum(spread, 1e-30)).astype(np.float32))


def singular_vectors(rows: csr_matrix, components: int) -> np.ndarray:
    """The first right singular vectors [V, up to `components`] of float32 rows [N, V], float64.

    Randomised subspace iteration (Halko, Martinsson & Tropp, "Finding structure with randomness",
    SIAM Review 2011) with a fixed seed; the largest entry of a vector is positive.
    """
    width = min(components + _MORE, *rows.shape)
    if not width or not rows.nnz:
        return np.zeros((rows.shape[1], 0))
    across = rows.T.tocsr()
    start = np.random.default_rng(_SEED).standard_normal((rows.shape[1], width), dtype=np.float32)
    basis = _orthonormal(np.asarray(rows @ start))
    for _ in range(_ROUNDS):
        basis = _orthonormal(np.asarray(rows @ (across @ basis)))
    image = np.asarray(across @ basis, dtype=np.float64)
    values, rotation = np.linalg.eigh(image.T @ image)
    kept = np.argsort(-values, kind="stable")[: min(components, width)]
    kept = kept[values[kept] > _FAINT**2 * values.max()]
    vectors = image @ (rotation[:, kept] / np.sqrt(values[kept]))
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(len(kept))])
    return np.asarray(vectors * signs)


def _orthonormal(columns: np.ndarray) -> np.ndarray:
    """An orthonormal basis of the columns, float32, by the Cholesky factor of their products.

    Several times cheaper than QR, and precise enough for columns of like size.
    """
    from scipy.linalg import solve_triangular

    wide = columns.astype(np.float64)
    products = wide.T @ wide
    products[np.diag_indices_from(products)] += 1e-10 * np.trace(products) / len(products)
    factor = np.linalg.cholesky(products)
    return np.ascontiguousarray(solve_triangular(factor, wide.T, lower=True).T.astype(np.float32))
