"""Bodies of requests to raw columns, and predictions to bodies: JSON rows or columns, Arrow streams, CSV.

An answer has the form of its request.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec

from declarative_ml.core.errors import DataError
from declarative_ml.scoring.scorer import Predictions
from declarative_ml.serving.batching import Asked
from declarative_ml.serving.exchange import JSON, Answer, Call, Limits, Refusal, as_json
from declarative_ml.serving.model import ServedModel, answer_columns, answer_rows

ARROW = b"application/vnd.apache.arrow.stream"
CSV = b"text/csv"
MEDIA = (JSON, ARROW, CSV)

_decode = msgspec.json.Decoder().decode


def read_asked(model: ServedModel, call: Call, limits: Limits) -> Asked:
    """Raises Refusal: 400 for what is no JSON, CSV or Arrow, 413 for too many rows, 415 for another type, 422
    for columns or values that the model does not take."""
    media = call.media()
    if media not in (JSON, b"text/json"):
        return _read_other(model, call.body, media, limits)
    body = read_json(call.body)
    if not isinstance(body, dict) or not ({"rows"} == body.keys() or {"columns"} == body.keys()):
        raise Refusal(
            400,
            "the body is not an object with 'rows' or 'columns'",
            hint='send {"rows": [{"column": value, …}]}',
        )
    if "rows" in body:
        return read_rows(model, body["rows"], limits)
    return _read_columns(model, body["columns"], limits)


def read_json(body: bytes) -> Any:
    """The value of a JSON body. Raises Refusal 400."""
    try:
        return _decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise Refusal(400, f"the body is not JSON: {error}") from None


def read_rows(model: ServedModel, rows: Any, limits: Limits, name: str = "rows") -> Asked:
    """Rows as objects; the answer is `{"predictions": [...], "model": {...}}`."""
    if not isinstance(rows, list):
        raise Refusal(400, f"'{name}' is not a list of objects", hint='send {"rows": [{"column": value, …}]}')
    _require(len(rows), limits)
    return Asked(
        len(rows),
        lambda scored: as_json({"predictions": answer_rows(model, scored), "model": model.about}),
        table=rows,
    )


def read_instances(model: ServedModel, call: Call, limits: Limits) -> Asked:
    """The body that Vertex AI sends. Raises Refusal."""
    body = read_json(call.body)
    if not isinstance(body, dict) or "instances" not in body:
        raise Refusal(400, "the body is not an object with 'instances'")
    return read_rows(model, body["instances"], limits, "instances")


def _read_columns(model: ServedModel, columns: Any, limits: Limits) -> Asked:
    if not isinstance(columns, dict) or not all(isinstance(values, list) for values in columns.values()):
        raise Refusal(
            400, "'columns' is not an object of lists", hint='send {"columns": {"column": [value, …]}}'
        )
    rows = _equal_length(columns)
    _require(rows, limits)
    raw = fitting(lambda: model.scorer.raw_columns(columns)[0])
    return Asked(
        rows,
        lambda scored: as_json({"columns": answer_columns(model, scored), "model": model.about}),
        raw=raw,
    )


def _read_other(model: ServedModel, body: bytes, media: bytes, limits: Limits) -> Asked:
    if media == CSV:
        return _read_csv(model, body, limits)
    if media == ARROW:
        from declarative_ml.serving.arrow import read_arrow

        batch = read_arrow(body, limits)
        return _of_batch(model, batch, limits)
    known = ", ".join(item.decode() for item in MEDIA)
    raise Refusal(415, f"the content type {_shown(media)} is not read here", hint=f"send {known}")


def _of_batch(model: ServedModel, batch: Any, limits: Limits) -> Asked:
    from declarative_ml.scoring.table import raw_inputs
    from declarative_ml.serving.arrow import write_arrow

    _require(batch.num_rows, limits)
    columns = fitting(lambda: raw_inputs(model.scorer, batch))
    return Asked(
        batch.num_rows, lambda scored: Answer(write_arrow(model, batch, scored), media=ARROW), raw=columns
    )


def _read_csv(model: ServedModel, body: bytes, limits: Limits) -> Asked:
    try:
        lines = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise Refusal(400, f"the body is not CSV in UTF-8: {error}") from None
    table = [line for line in lines if line]
    names = table[0] if table else []
    if len(set(names)) != len(names):
        raise Refusal(400, "two columns of the CSV have the same name")
    for number, line in enumerate(table[1:], 1):
        if len(line) != len(names):
            raise Refusal(400, f"row {number} has {len(line)} cells, the header has {len(names)}")
    _require(len(table) - 1, limits)
    cells = {name: [line[place] for line in table[1:]] for place, name in enumerate(names)}
    columns = fitting(lambda: model.scorer.raw_columns(cells)[0])
    return Asked(len(table) - 1, lambda scored: Answer(_write_csv(model, scored), media=CSV), raw=columns)


def _write_csv(model: ServedModel, scored: Predictions) -> bytes:
    found = answer_columns(model, scored)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(found)
    writer.writerows(zip(*found.values(), strict=True))
    return text.getvalue().encode()


def fitting(read: Callable[[], Any]) -> Any:
    """What `read` gives; a DataError of it is the client's: 422."""
    try:
        return read()
    except DataError as error:
        raise Refusal(422, error.message, hint=error.hint) from None


def _equal_length(columns: Mapping[str, Sequence[Any]]) -> int:
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name}: {length}" for name, length in islice(lengths.items(), 20))
        raise Refusal(422, f"the columns have unequal numbers of rows ({listed})")
    return next(iter(lengths.values()), 0)


def _require(rows: int, limits: Limits) -> None:
    if rows < 1:
        raise Refusal(422, "there are no rows", hint="send one row at least")
    if rows > limits.rows:
        raise Refusal(
            413,
            f"there are {rows:,} rows, at most {limits.rows:,} are taken",
            hint="send them in several requests",
        )


def _shown(text: bytes) -> str:
    return repr(text.decode("latin-1"))[:80]
