"""Stable 64-bit hashes of rows and values: our own arithmetic, so that no library version changes them.

Text is hashed as a polynomial over its UTF-8 bytes modulo 2**64, each byte mapped to a random odd
number first, and finished with the mixer of SplitMix64 (Steele, Lea & Flood, "Fast splittable
pseudorandom number generators", OOPSLA 2014). Numbers are hashed by value: 3 and 3.0 are equal, and
so are a date and its midnight.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from declarative_ml.core.arrow_types import plain_array, text_buffers

if TYPE_CHECKING:
    import pyarrow as pa

_STEP = np.uint64(0x9E3779B97F4A7C15)
_BASE = 0x2545F4914F6CDD1D
_INVERSE = pow(_BASE, -1, 2**64)
_NULL = np.uint64(0x6A09E667F3BCC909)
_NUMBER, _HUGE, _BOOLEAN, _DATE, _TEXT = (np.uint64(0x1000_0001 * tag) for tag in range(1, 6))
_CHUNK_BYTES = 1 << 19
_EXACT = 2**53


def mix(values: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64: a bijection on uint64 that spreads every bit over all others."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = values ^ (values >> np.uint64(31))
    return mixed


def row_hashes(batch: pa.RecordBatch, seed: int = 0) -> np.ndarray:
    """The hash of each row's typed cells, uint64 [N].

    It depends on column names and values and on `seed`, not on the order of the columns or on how rows
    are cut into batches; null differs from "".
    """
    total = np.zeros(batch.num_rows, dtype=np.uint64)
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        total += mix(_cell_hashes(column) ^ _name_hash(name, seed))
    return mix(total + _STEP)


def distinct_hashes(hashes: np.ndarray) -> np.ndarray:
    """Hashes in which the second, third, … of equal ones have values of their own, uint64 [N].

    Which of the equal rows comes second does not matter, since they are equal: the set of hashes, and
    with it every split, is the same for any order of the rows.
    """
    order = np.argsort(hashes, kind="stable")
    ranked = hashes[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    sizes = np.diff(np.append(starts, len(ranked)))
    occurrence = np.arange(len(ranked), dtype=np.uint64) - np.repeat(starts, sizes).astype(np.uint64)
    repeated = occurrence > 0
    ranked[repeated] = mix(ranked[repeated] + occurrence[repeated])
    told_apart = np.empty_like(hashes)
    told_apart[order] = ranked
    return told_apart


def hash_places(places: np.ndarray) -> np.ndarray:
    """The hash of each place, a whole number from 0 on, in some order of the rows: uint64 [N]."""
    return mix(places.astype(np.uint64) + _STEP)


def hash_values(array: pa.Array, seed: int = 0) -> np.ndarray:
    """The hash of each value of one column, uint64 [N]."""
    return mix(_cell_hashes(array) ^ _name_hash("", seed))


@lru_cache(maxsize=65_536)
def _name_hash(name: str, seed: int) -> np.uint64:
    digest = hashlib.sha256(f"{seed}\0{name}".encode()).digest()
    return np.uint64(int.from_bytes(digest[:8], "little"))


def _cell_hashes(array: pa.Array) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.compute as pc

    array = plain_array(array)
    if pa.types.is_floating(array.type):
        array = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
    hashes = _text_hashes(array) if pa.types.is_string(array.type) else _fixed_hashes(array)
    if array.null_count:
        hashes[pc.is_null(array).to_numpy(zero_copy_only=False)] = _NULL
    return hashes


def _fixed_hashes(array: pa.Array) -> np.ndarray:
    import pyarrow as pa

    if pa.types.is_boolean(array.type):
        return mix(array.cast(pa.uint64()).fill_null(0).to_numpy() + _BOOLEAN)
    if pa.types.is_date(array.type) or pa.types.is_timestamp(array.type):
        moments = array.cast(pa.timestamp("us")).cast(pa.int64()).fill_null(0).to_numpy()
        return mix(moments.view(np.uint64) + _DATE)
    values = array.fill_null(0).to_numpy()
    numbers = values.astype(np.float64) + 0.0  # -0.0 becomes 0.0
    hashes = mix(numbers.view(np.uint64) + _NUMBER)
    if values.dtype.kind == "i":
        huge = (values > _EXACT) | (values < -_EXACT)
        hashes[huge] = mix(values[huge].view(np.uint64) + _HUGE)
    return hashes


def _text_hashes(array: pa.Array) -> np.ndarray:
    offsets, data = text_buffers(array)
    hashes = np.empty(len(array), dtype=np.uint64)
    letters = _letters()
    for first, last in _row_chunks(offsets):
        start, stop = int(offsets[first]), int(offsets[last])
        powers, inverses = _powers(max(stop - start, 1).bit_length())
        terms = letters[data[start:stop]]
        terms *= powers[: stop - start]
        sums = np.zeros(stop - start + 1, dtype=np.uint64)
        np.cumsum(terms, out=sums[1:])
        cuts = offsets[first : last + 1] - start
        sizes = np.diff(cuts).astype(np.uint64)
        polynomial = np.diff(sums[cuts]) * inverses[cuts[:-1]]
        hashes[first:last] = mix(polynomial + sizes * _STEP + _TEXT)
    return hashes


def _row_chunks(offsets: np.ndarray) -> Iterator[tuple[int, int]]:
    """Runs of rows that hold about _CHUNK_BYTES of text each; one row at least."""
    first, rows = 0, len(offsets) - 1
    while first < rows:
        last = int(np.searchsorted(offsets, offsets[first] + _CHUNK_BYTES, side="right")) - 1
        last = min(max(last, first + 1), rows)
        yield first, last
        first = last


@lru_cache(maxsize=1)
def _letters() -> np.ndarray:
    return mix(np.arange(1, 257, dtype=np.uint64) * _STEP) | np.uint64(1)


@lru_cache(maxsize=4)
def _powers(bits: int) -> tuple[np.ndarray, np.ndarray]:
    """base**i and base**-i for i up to 2**bits."""
    tables = []
    for base in (_BASE, _INVERSE):
        factors = np.full((1 << bits) + 1, base, dtype=np.uint64)
        factors[0] = 1
        tables.append(np.cumprod(factors))
    return tables[0], tables[1]
