"""Write a table of any number of rows x 19 mixed columns, made by drawing rows of a real one.

The 15 columns of a real table (its rows drawn anew and their weights moved a little), and four more: a
category of 100,000 levels by Zipf's law, a text of four to nine words, a moment, and an amount with missing
values. Blocks are written as they are made, each from the seed and its number: memory does not grow, and the
first rows of a larger table are those of a smaller one.

    python benchmarks/big_table.py adult/data.csv big.parquet --rows 5000000 [--seed 0]

The extension chooses the format: .csv or .parquet.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, parquet

BLOCK = 65_536
LEVELS = 100_000
_WORDS = 3_000
_SYLLABLES = ("ba", "co", "di", "fe", "gu", "la", "mi", "no", "pe", "ra", "si", "tu", "ve", "wo", "za")


def blocks(real: pa.Table, rows: int, seed: int) -> Iterator[pa.RecordBatch]:
    """The rows in blocks of BLOCK."""
    words = pa.array(_vocabulary())
    for number, start in enumerate(range(0, rows, BLOCK)):
        yield _block(real, words, min(BLOCK, rows - start), np.random.default_rng([seed, number]))


def _vocabulary() -> list[str]:
    random = np.random.default_rng(0)
    found: dict[str, None] = {}
    while len(found) < _WORDS:
        found["".join(random.choice(_SYLLABLES, random.integers(2, 5)))] = None
    return list(found)


def _block(real: pa.Table, words: pa.Array, rows: int, random: np.random.Generator) -> pa.RecordBatch:
    drawn = real.take(pa.array(random.integers(0, len(real), rows))).combine_chunks()
    columns = {name: drawn.column(name).combine_chunks() for name in drawn.column_names}
    if "fnlwgt" in columns:  # so that few rows are equal
        weights = columns["fnlwgt"].to_numpy().astype(np.float64) * random.uniform(0.9, 1.1, rows)
        columns["fnlwgt"] = pa.array(weights.astype(np.int64))
    ranks = np.minimum(random.zipf(1.2, rows) - 1, LEVELS - 1)
    # Half by Zipf's law, half evenly: every level occurs.
    ranks = np.where(random.random(rows) < 0.5, ranks, random.integers(0, LEVELS, rows))
    columns["merchant"] = pc.binary_join_element_wise(
        "M", pc.utf8_lpad(pa.array(ranks).cast(pa.string()), 6, "0"), ""
    )
    columns["note"] = _texts(words, rows, random)
    days = random.integers(0, 3650 * 86_400, rows) + 1_420_070_400
    columns["opened"] = pc.strftime(pa.array(days, pa.timestamp("s")), "%Y-%m-%d %H:%M:%S")
    amounts = np.round(random.lognormal(4.0, 1.5, rows), 2)
    columns["amount"] = pa.array(amounts, mask=random.random(rows) < 0.05)
    target = real.column_names[-1]
    names = [*(name for name in columns if name != target), target]
    return pa.RecordBatch.from_arrays([columns[name] for name in names], names=names)


def _texts(words: pa.Array, rows: int, random: np.random.Generator) -> pa.Array:
    places = np.minimum(random.zipf(1.4, (rows, 9)) - 1, _WORDS - 1)
    lengths = random.integers(4, 10, rows)
    parts = [
        pc.if_else(pa.array(lengths > place), words.take(pa.array(places[:, place])), "")
        for place in range(9)
    ]
    return pc.utf8_rtrim_whitespace(pc.binary_join_element_wise(*parts, " "))


def write(real: Path, output: Path, rows: int, seed: int) -> None:
    """Write `rows` rows made of those of `real` (CSV) to `output`."""
    table = csv.read_csv(real)
    made = blocks(table, rows, seed)
    first = next(made)
    if output.suffix == ".csv":
        writer = csv.CSVWriter(output, first.schema)
    else:
        writer = parquet.ParquetWriter(output, first.schema)
    with writer:
        writer.write_batch(first)
        for block in made:
            writer.write_batch(block)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "real", type=Path, help="a real table with a header, CSV; its last column is the target"
    )
    parser.add_argument("output", type=Path)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    write(arguments.real, arguments.output, arguments.rows, arguments.seed)


if __name__ == "__main__":
    main()
