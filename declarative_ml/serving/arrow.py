"""Arrow streams as bodies. What a client claims of itself is checked before it is believed."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from declarative_ml.scoring.scorer import Predictions
from declarative_ml.serving.exchange import Limits, Refusal
from declarative_ml.serving.model import ServedModel

if TYPE_CHECKING:
    import pyarrow as pa

_HEADER, _COMPRESSION, _DATA = 2, 3, 1
"""Places of the fields in Arrow's tables Message, RecordBatch and DictionaryBatch (format/Message.fbs, format
version 1.5)."""


def read_arrow(body: bytes, limits: Limits) -> pa.RecordBatch:
    """The rows of an IPC stream as one batch. Raises Refusal: 400 for a damaged stream, 413 for too many
    rows, 415 for compressed buffers, whose size nobody knows before they are unpacked."""
    import pyarrow as pa

    try:
        _refuse_compressed(body)
        with pa.ipc.open_stream(body) as reader:
            batches, rows = [], 0
            for batch in reader:
                rows += batch.num_rows
                if rows > limits.rows:
                    raise Refusal(413, f"the stream has more than {limits.rows:,} rows")
                batch.validate(full=True)
                _refuse_inflated(batch, limits)
                batches.append(batch)
            table = pa.Table.from_batches(batches, reader.schema).combine_chunks()
    except (pa.ArrowException, OSError, ValueError, struct.error) as error:
        first = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise Refusal(400, f"the body is not an Arrow stream: {first}") from None
    if len(set(table.schema.names)) != len(table.schema.names):
        raise Refusal(400, "two columns of the stream have the same name")
    found = table.to_batches()
    return found[0] if found else pa.RecordBatch.from_pylist([], schema=table.schema)


def _refuse_inflated(batch: pa.RecordBatch, limits: Limits) -> None:
    """A text that many rows point at is copied for each of them."""
    if sum(map(_text_bytes, batch.columns)) > limits.body_bytes:
        raise Refusal(413, f"the texts of the rows are longer than {limits.body_bytes:,} bytes")


def _text_bytes(column: pa.Array) -> int:
    """Bytes of the texts of a column where rows may share them: dictionaries and views."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string_view(column.type):
        # A view is 16 bytes, of which the first four are the length (format/Columnar.rst).
        lengths = np.frombuffer(column.buffers()[1] or b"", "<i4")[::4]
        return int(lengths[column.offset : column.offset + len(column)].sum(dtype=np.int64))
    if not pa.types.is_dictionary(column.type) or not _is_text(column.type.value_type):
        return 0
    return (
        pc.sum(pc.binary_length(column.dictionary.cast(pa.large_string())).take(column.indices)).as_py() or 0
    )


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _refuse_compressed(body: bytes) -> None:
    import pyarrow as pa

    for message in pa.ipc.MessageReader.open_stream(body):
        if message.type in _PATHS and _is_compressed(message.metadata.to_pybytes(), _PATHS[message.type]):
            raise Refusal(415, "the stream has compressed buffers", hint="write it without compression")


_PATHS = {"record batch": (_HEADER,), "dictionary": (_HEADER, _DATA)}
"""From a message to its RecordBatch."""


def _is_compressed(metadata: bytes, path: Sequence[int]) -> bool:
    """Whether the record batch of a message's flatbuffer names a compression."""
    table = struct.unpack_from("<I", metadata, 0)[0]
    for step in path:
        place = _field(metadata, table, step)
        if place is None:
            return False
        table = place + struct.unpack_from("<I", metadata, place)[0]
    return _field(metadata, table, _COMPRESSION) is not None


def _field(content: bytes, table: int, number: int) -> int | None:
    """Where the field of a flatbuffer's table lies; None where it is absent."""
    fields = table - struct.unpack_from("<i", content, table)[0]
    size = struct.unpack_from("<H", content, fields)[0]
    place = 4 + 2 * number
    offset = struct.unpack_from("<H", content, fields + place)[0] if place < size else 0
    return table + offset if offset else None


def write_arrow(model: ServedModel, batch: pa.RecordBatch, scored: Predictions) -> bytes:
    """The columns that `dml predict` writes, as a stream."""
    import pyarrow as pa

    from declarative_ml.scoring.table import answer_batch

    answers = answer_batch(model.scorer, batch.schema, scored)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, answers.schema) as writer:
        writer.write_batch(answers)
    content: bytes = sink.getvalue().to_pybytes()
    return content
