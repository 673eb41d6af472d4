"""Vectors of texts: as part of a reading, and turned onto their principal axes.

A reading is words, and behind a tab the numbers of a vector of length 1, with four decimals and single blanks
between them: `they sail to oslo\t0.0123 -0.2 …`. So the graph takes one text for a column, vector or not. A
text without a vector, and a missing one, has no numbers.

The numbers that models see are the vector's places on the principal axes of the training texts' vectors
(Pearson, "On lines and planes of closest fit", 1901), the widest first, all in one unit: trees, which see the
first ones, see what tells most texts apart, and linear models still see which axes are wide.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from declarative_ml.text.statistics import TextStatistics

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from declarative_ml.graph.onnx_graph import OnnxGraph

SEPARATOR = "\t"
MOST_AXES = 512
_STEPS = 10_000
_FAINT = 1e-7
"""Axes with less than this share of the widest one's variance are noise of the decimals."""
_AT_ONCE = 4_096
_SAMPLE = (20_000, 64 << 20)
"""Vectors that the axes are computed from, and their bytes as text."""


def write_vectors(vectors: np.ndarray) -> list[str]:
    """The directions of N vectors [N, D] as the numbers of readings; "" for one of length 0."""
    wide = np.asarray(vectors, dtype=np.float64)
    lengths = np.sqrt(np.square(wide).sum(axis=1))
    steps = np.rint(wide * (_STEPS / np.where(lengths > 0, lengths, 1))[:, None]).astype(np.int64) + _STEPS
    names = _names()
    return [
        " ".join([names[step] for step in row]) if length > 0 else ""
        for row, length in zip(steps.tolist(), lengths.tolist(), strict=True)
    ]


_NAMES: list[str] = []


def _names() -> list[str]:
    """The texts of -1, -0.9999 … 1, the shortest of each: looked up, they are written eight times faster."""
    if not _NAMES:
        _NAMES.extend(
            f"{step / _STEPS:.4f}".rstrip("0").rstrip(".") or "0" for step in range(-_STEPS, _STEPS + 1)
        )
    return _NAMES


def split_readings(readings: pa.Array) -> tuple[pa.Array, pa.Array]:
    """The words and the numbers of readings; "" for what a reading has not."""
    import pyarrow.compute as pc

    whole = pc.binary_join_element_wise(pc.fill_null(readings, ""), "", SEPARATOR)
    parts = pc.split_pattern(whole, SEPARATOR)
    return pc.list_element(parts, 0), pc.list_element(parts, 1)


class ReadingStatistics(TextStatistics):
    """Those of the words, and a sample of the vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.vectors = TextStatistics(*_SAMPLE)

    def update(self, values: pa.Array, hashes: np.ndarray) -> None:
        """Add a block of readings."""
        import pyarrow.compute as pc

        for start in range(0, len(values), _AT_ONCE):
            block, part = values.slice(start, _AT_ONCE), hashes[start : start + _AT_ONCE]
            words, numbers = split_readings(block)
            self.vectors.update(numbers, part)
            # A text of commas only has no words, and is not missing.
            present = pc.fill_null(pc.not_equal(block, ""), False)
            blank = pc.and_(present, pc.equal(words, ""))
            super().update(pc.if_else(blank, " ", words), part)

    def merge(self, other: Self) -> None:
        """Add everything that `other` has seen."""
        super().merge(other)
        self.vectors.merge(other.vectors)


@dataclass(frozen=True, eq=False)
class Axes:
    """Where the vectors lie: their mean, and their principal axes."""

    mean: np.ndarray
    """float32 [D]."""
    directions: np.ndarray
    """float32 [D, K], of one length: the mean square of the K numbers is 1."""

    @property
    def width(self) -> int:
        """K, how many numbers a vector becomes."""
        return int(self.directions.shape[1])

    def apply(self, numbers: pa.Array) -> np.ndarray:
        """The places of N vectors, as readings hold them: float32 [N, K]; zeros where there is none."""
        found = np.zeros((len(numbers), self.width), dtype=np.float32)
        if not self.width:
            return found
        for start in range(0, len(numbers), _AT_ONCE):
            rows, vectors = parse_vectors(numbers.slice(start, _AT_ONCE))
            found[start + rows] = (vectors - self.mean) @ self.directions
        return found

    def as_json(self) -> dict[str, Any]:
        """JSON of it: base64 of little-endian float32."""
        return {
            "size": len(self.mean),
            "mean": base64.b64encode(self.mean.astype("<f4").tobytes()).decode(),
            "directions": base64.b64encode(self.directions.astype("<f4").tobytes()).decode(),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what `as_json` wrote."""
        mean, directions = (
            np.frombuffer(base64.b64decode(document[name]), dtype="<f4").astype(np.float32)
            for name in ("mean", "directions")
        )
        size = document["size"]
        return cls(mean, directions.reshape(size, len(directions) // size if size else 0))


def parse_vectors(numbers: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Which of N texts have a vector, and these: int64 [M], float32 [M, D]."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = np.flatnonzero(pc.not_equal(numbers, "").to_numpy(zero_copy_only=False))
    if not len(rows):
        return rows, np.zeros((0, 0), dtype=np.float32)
    flat = pc.split_pattern(numbers.take(pa.array(rows)), " ").flatten().cast(pa.float32())
    return rows, flat.to_numpy(zero_copy_only=False).reshape(len(rows), -1)


def learn_axes(sample: pa.Array, most: int | None) -> Axes:
    """The axes of sampled vectors, as readings hold them; at most `most`."""
    from threadpoolctl import threadpool_limits

    parts = [parse_vectors(sample.slice(start, _AT_ONCE))[1] for start in range(0, len(sample), _AT_ONCE)]
    if not parts:
        return Axes(np.zeros(0, np.float32), np.zeros((0, 0), np.float32))
    vectors = np.concatenate(parts)
    mean = vectors.mean(axis=0, dtype=np.float64)
    # How many threads share a product decides its last bits, and the axes must not depend on that.
    with threadpool_limits(limits=1, user_api="blas"):
        centred = vectors - mean
        variances, directions = np.linalg.eigh(centred.T @ centred / len(vectors))
    kept = np.argsort(-variances, kind="stable")[: min(most or MOST_AXES, MOST_AXES, len(vectors))]
    kept = kept[variances[kept] > _FAINT * max(float(variances.max()), _FAINT)]
    chosen = directions[:, kept]
    signs = np.sign(chosen[np.abs(chosen).argmax(axis=0), np.arange(len(kept))])
    unit = float(np.sqrt(variances[kept].mean())) if len(kept) else 1.0
    return Axes(mean.astype(np.float32), (chosen * signs / unit).astype(np.float32))


def split_in_graph(graph: OnnxGraph, tensor: str) -> tuple[str, str]:
    """The words and the numbers [N, 1] of readings [N, 1]; see `split_readings`."""
    # One more tab: then there are two parts, whatever the rows.
    ended = graph.add("StringConcat", [tensor, graph.constant([[SEPARATOR]])])
    parts = graph.add_many("StringSplit", [ended], outputs=2, delimiter=SEPARATOR)[0]
    column, axis = graph.constant([-1, 1], "int64"), graph.constant([2], "int64")
    places = [graph.constant([place], "int64") for place in range(3)]
    words, numbers = (
        graph.add("Reshape", [graph.add("Slice", [parts, start, stop, axis]), column])
        for start, stop in pairwise(places)
    )
    return words, numbers


def place_in_graph(graph: OnnxGraph, numbers: str, axes: Axes) -> str:
    """`Axes.apply` [N, K] of the numbers [N, 1] of readings."""
    size = len(axes.mean)
    none = graph.add("Equal", [numbers, graph.constant([[""]])])
    whole = graph.add("Where", [none, graph.constant([[" ".join(["0"] * size)]]), numbers])
    split = graph.add_many("StringSplit", [whole], outputs=2, delimiter=" ")[0]
    shaped = graph.add("Reshape", [split, graph.constant([-1, size], "int64")])
    centred = graph.add("Sub", [graph.cast(shaped, "float32"), graph.constant(axes.mean.reshape(1, -1))])
    placed = graph.add("MatMul", [centred, graph.constant(axes.directions)])
    return graph.add("Mul", [placed, graph.cast(graph.add("Not", [none]), "float32")])


def joined(words: Sequence[str], numbers: Sequence[str]) -> list[str]:
    """Readings of the words of texts that are not missing, and the numbers of their vectors."""
    return [
        f"{word}{SEPARATOR}{vector}" if vector else word or " "
        for word, vector in zip(words, numbers, strict=True)
    ]
