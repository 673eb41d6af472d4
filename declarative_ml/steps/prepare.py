"""Learn each feature's statistics on the training rows, then encode every row into the arrays of a Dataset.

raw.npy scaled.npy codes.npy target.npy [weight.npy]   rows in the order of the split
[terms.*.npy]   where a feature has terms; see learning.terms
encoding.json   layout, and per feature: name, options, state, field, reading
readings/       see steps.readings
reference.json  training histograms for drift, background rows for explanations
check.npy       positions (in split order) of the rows on which parity is proven
"""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import TYPE_CHECKING, Any

from declarative_ml.core.atomic import write_json
from declarative_ml.core.errors import DataError
from declarative_ml.core.schema import ColumnRule
from declarative_ml.features import FEATURES
from declarative_ml.features.base import Feature, State
from declarative_ml.learning.dataset import Layout
from declarative_ml.learning.disk_rows import DiskRows, RowWriter
from declarative_ml.learning.terms import TermWriter
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.divided import in_table, of_part
from declarative_ml.steps.in_order import in_order
from declarative_ml.steps.readings import blocks_as_read, rows_as_read, write_readings
from declarative_ml.steps.split import TRAIN
from declarative_ml.steps.table import blocks, read_column
from declarative_ml.steps.training_rows import training_blocks

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from scipy.sparse import csr_matrix

    from declarative_ml.learning.statistics import Accumulator

CHECK_ROWS = 2_000


def run(context: StepContext) -> None:
    """Write the encoded dataset."""
    options = context.read("profile", "features.json")["features"]
    features = {name: FEATURES.parse(fields) for name, fields in options.items()}
    _check_numbers(context, features)
    wanted = {name: feature.reading() for name, feature in features.items()}
    readings = write_readings(context, {name: item for name, item in wanted.items() if item is not None})
    statistics = _gather(context, features)
    states = {name: _fit(name, feature, statistics[name]) for name, feature in features.items()}
    layouts = {name: feature.layout(name, states[name]) for name, feature in features.items()}
    layout = sum(layouts.values(), start=Layout())
    _encode(context, features, states, layouts, layout)
    _targets(context)
    write_json(
        context.out / "encoding.json",
        {
            "layout": layout.model_dump(mode="json"),
            "features": [
                {
                    "name": name,
                    "options": feature.options(),
                    "state": states[name],
                    "field": feature.field(states[name]),
                    "reading": readings[name].model_dump(mode="json") if name in readings else None,
                }
                for name, feature in features.items()
            ],
        },
    )
    histograms = {
        name: feature.reference(statistics[name], states[name]) for name, feature in features.items()
    }
    write_json(
        context.out / "reference.json", {"columns": histograms, "background": _background(context, features)}
    )


def _fit(name: str, feature: Feature, statistics: Accumulator) -> State:
    try:
        return feature.fit(statistics)
    except DataError as error:
        raise DataError(f"the column {name!r}: {error.message}", hint=error.hint) from error


def _check_numbers(context: StepContext, features: dict[str, Feature]) -> None:
    """Name the rows where a column that the spec calls a number holds something else."""
    import pyarrow as pa

    from declarative_ml.core.columns import apply_rule

    rule = ColumnRule(type="number")
    wanted = [name for name, feature in features.items() if feature.raw_dtype == "float32"]
    for start, block in blocks(context.inputs["table"]):
        for name in wanted:
            column = block.column(name)
            if pa.types.is_string(column.type):
                apply_rule(column, rule, column=name, first_row=start + 1)
            elif pa.types.is_temporal(column.type):
                raise DataError(
                    f"column '{name}' holds dates, not numbers", hint="use the feature type date for it"
                )


def _gather(context: StepContext, features: dict[str, Feature]) -> dict[str, Any]:
    from declarative_ml.core.columns import raw_column

    gathered = {name: feature.accumulator() for name, feature in features.items()}
    found = blocks_as_read(context.inputs["table"], context.out)
    for taken, hashes, done in training_blocks(context, found):
        for name, feature in features.items():
            gathered[name].update(raw_column(taken.column(name), feature.raw_dtype), hashes)
        context.progress(0.4 * done, f"statistics · {done:.0%} of the rows")
    return gathered


def _encode(
    context: StepContext,
    features: dict[str, Feature],
    states: dict[str, Any],
    layouts: dict[str, Layout],
    layout: Layout,
) -> None:
    """Encode the rows block by block into arrays on disk, in the order of the split."""
    import numpy as np

    from declarative_ml.core.columns import raw_column

    split = context.inputs["split"]
    place, rows = DiskRows(split / "place.npy"), len(DiskRows(split / "order.npy"))
    encoders = {name: feature.block_encoder(states[name]) for name, feature in features.items()}
    done, found = 0, blocks_as_read(context.inputs["table"], context.out)
    columns = (block.select(list(features)) for _, block in found)
    with ExitStack() as stack:
        writers = _writers(context, layout, rows, stack)
        terms_writer = stack.enter_context(_term_writer(context, features, states, layout, rows))
        for block in in_order(columns, place, rows, context.scratch / "rows.arrow"):
            encoded = {
                name: encode(raw_column(block.column(name), features[name].raw_dtype))
                for name, encode in encoders.items()
            }
            for kind, writer in writers.items():
                wide = [getattr(part, kind) for name, part in encoded.items() if getattr(layouts[name], kind)]
                writer.add(np.concatenate(wide, axis=1))
            if terms_writer is not None:
                terms_writer.add(_beside([part.terms for part in encoded.values() if part.terms is not None]))
            done += block.num_rows
            context.progress(0.4 + 0.5 * done / rows, f"{done:,} of {rows:,} rows")


def _writers(context: StepContext, layout: Layout, rows: int, stack: ExitStack) -> dict[str, RowWriter]:
    """The files of `raw`, `scaled` and `codes`, to be filled; those without columns are there already."""
    import numpy as np

    kinds = {"raw": np.float32, "scaled": np.float32, "codes": np.int32}
    found = {}
    for name, dtype in kinds.items():
        path, width = context.out / f"{name}.npy", len(getattr(layout, name))
        if width:
            found[name] = stack.enter_context(RowWriter(path, (rows, width), dtype))
        else:
            np.save(path, np.zeros((rows, 0), dtype=dtype))
    return found


def _term_writer(
    context: StepContext, features: dict[str, Feature], states: dict[str, Any], layout: Layout, rows: int
) -> AbstractContextManager[TermWriter | None]:
    """The files of `terms`, to be written; None where no feature has any."""
    import numpy as np

    if not layout.terms:
        return nullcontext()
    digests = [feature.term_digests(states[name]) for name, feature in features.items()]
    return TermWriter(context.out, rows, np.concatenate(digests))


def _beside(terms: list[csr_matrix]) -> csr_matrix:
    from scipy.sparse import hstack

    return terms[0] if len(terms) == 1 else hstack(terms, format="csr")


def _targets(context: StepContext) -> None:
    import numpy as np

    split = context.inputs["split"]
    shutil.copyfile(split / "target.npy", context.out / "target.npy")
    order, name = DiskRows(split / "order.npy"), context.params["weight"]
    if name is not None:
        weights = _weights(read_column(context.inputs["table"], name), np.asarray(order), name)
        np.save(context.out / "weight.npy", weights)
    np.save(context.out / "check.npy", _check_rows(context, len(order)))


def _weights(column: pa.ChunkedArray, order: np.ndarray, name: str) -> np.ndarray:
    import numpy as np
    import pyarrow as pa

    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise DataError(
            f"the weight column '{name}' is {column.type}, not a number", hint="shape it in data.sql"
        )
    weights = column.cast(pa.float64()).fill_null(np.nan).to_numpy()[order]
    if not np.isfinite(weights).all() or (weights < 0).any() or weights.sum() <= 0:
        raise DataError(
            f"the weight column '{name}' has missing, negative or infinite values, or zeros only",
            hint="a weight is a number from 0 on, and not all are 0: correct it, or shape it in data.sql",
        )
    return np.asarray(weights)


def _check_rows(context: StepContext, rows: int) -> np.ndarray:
    """Rows for the parity proof: the first in hash order are as good as a random sample."""
    import numpy as np

    return np.arange(min(rows, CHECK_ROWS))


def _background(context: StepContext, features: dict[str, Feature]) -> dict[str, list[Any]]:
    """Training rows that stand for 'unknown' in explanations: the first in hash order."""
    from declarative_ml.core.columns import raw_column

    split = context.inputs["split"]
    rows = in_table(split, of_part(split, TRAIN)[: context.params["background"]])
    table = rows_as_read(context.inputs["table"], context.out, rows, list(features)).combine_chunks()
    background = {}
    for name, feature in features.items():
        values = raw_column(table.column(name).combine_chunks(), feature.raw_dtype).to_pylist()
        finite = [None if value is None or value != value else value for value in values]
        background[name] = finite
    return background
