"""Every planted fault is met as docs/data-faults.md says: with a place, a note, or the very values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from planted_faults import FAULTS, PAGE, Fault, page

from declarative_ml.core.columns import raw_column, typed_batches
from declarative_ml.core.errors import DataError
from declarative_ml.sources.file import FileSource
from declarative_ml.sources.inference import RuleInference

READ = [fault for fault in FAULTS if not fault.refused]
REFUSED = [fault for fault in FAULTS if fault.refused]


@pytest.mark.parametrize("fault", REFUSED, ids=lambda fault: fault.name)
def test_a_fault_is_refused_with_its_place(fault: Fault, tmp_path: Path) -> None:
    source = FileSource(path=str(fault.write(tmp_path)), **fault.options)
    with pytest.raises(DataError) as caught:
        list(source.batches())
    assert fault.refused in caught.value.message
    assert str(tmp_path / fault.file) in caught.value.message
    assert "\0" not in caught.value.message


@pytest.mark.parametrize("fault", READ, ids=lambda fault: fault.name)
def test_what_is_read_is_what_is_there(fault: Fault, tmp_path: Path) -> None:
    source = FileSource(path=str(fault.write(tmp_path)), **fault.options)
    inference = RuleInference()
    for batch in source.batches():
        inference.update(batch)
    schema = inference.schema()
    read = pa.Table.from_batches(list(typed_batches(source.batches(), schema)))
    for name, (kind, values) in fault.reads.items():
        assert schema.columns[name].type == kind
        column = read.column(name).combine_chunks()
        texts = pc.if_else(pc.is_valid(column), raw_column(column, "string"), None)
        assert texts.to_pylist()[-len(values) :] == values
    if fault.note:
        assert fault.note in "\n".join(inference.notes)
    else:
        assert inference.notes == []


def test_the_page_has_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tests/sources/planted_faults.py"


def test_no_fault_stands_there_twice() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 30


def _spec(folder: Path, source: dict[str, Any]) -> Path:
    spec = {"name": "faults", "data": {"source": source}, "target": "y", "model": "linear", "track": False}
    path = folder / "spec.yaml"
    path.write_text(json.dumps(spec), encoding="utf-8")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("fault", REFUSED, ids=lambda fault: fault.name)
def test_a_run_ends_with_5_and_leaves_nothing(fault: Fault, dml: Any, tmp_path: Path) -> None:
    fault.write(tmp_path)
    done = dml("run", _spec(tmp_path, {"type": "file", "path": fault.file, **fault.options}), "-q")
    assert done.code == 5, done.err
    assert "Traceback" not in done.err
    assert not list(tmp_path.glob(".dml/store/building/*"))
    assert not list(tmp_path.glob(".dml/store/actions/*/*.json"))


def test_a_query_does_not_lose_the_notes(dml: Any, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("x,y\n" + "7,a\n" * 30 + "n.d.,b\n")
    spec = _spec(tmp_path, {"type": "file", "path": "data.csv"})
    assert dml("run", spec, "-q", "--until", "sql", "--set", "data.sql=SELECT y, x FROM source").code == 0
    found = [json.loads(path.read_text()) for path in tmp_path.glob(".dml/store/**/info.json")]
    assert len(found) == 2
    assert all("(row 31: 'n.d.')" in info["notes"][0] for info in found)


@pytest.mark.slow
def test_an_encoding_break_in_row_1_234_567(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    with path.open("wb") as stream:
        stream.write(b"x,y\n" + b"1,plain\n" * 1_234_566 + b"2,caf\xe9\n" + b"3,plain\n" * 5)
    with pytest.raises(DataError, match=r"is not utf-8: line 1234568 holds b'2,caf\\xe9\\n'"):
        list(FileSource(path=str(path)).batches())
