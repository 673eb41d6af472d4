"""Iceberg tables, written by PyIceberg into a catalog in SQLite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from declarative_ml.core.errors import DataError, MissingDependency
from declarative_ml.sources.iceberg import IcebergSource

Source = Callable[..., IcebergSource]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    catalogs = pytest.importorskip("pyiceberg.catalog", reason="the extra `iceberg` is not installed")
    folder = tmp_path_factory.mktemp("iceberg")
    address = f"sqlite:///{folder / 'passage.db'}"
    made = catalogs.load_catalog("default", uri=address, warehouse=(folder / "lake").as_uri())
    made.create_namespace("shop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DML_TEST_CATALOG", address)
        yield made
    made.engine.dispose()


@pytest.fixture(scope="module")
def orders(catalog: Any) -> list[Any]:
    """A table of three snapshots, the last of which deletes a row; returns its snapshots."""
    kinds = pa.schema([("n", pa.int32()), ("shop", pa.string()), ("list", pa.list_(pa.int32()))])
    table = catalog.create_table("shop.orders", schema=kinds)
    for n, shop in (([1, 2], ["a", "b"]), ([3], ["a"])):
        table.append(pa.table({"n": n, "shop": shop, "list": [[1]] * len(n)}, schema=kinds))
    table.delete("n = 1")
    catalog.create_table("shop.empty", schema=kinds)
    return list(table.snapshots())


def source(**options: Any) -> IcebergSource:
    fields = {"table": "shop.orders", "uri": "${env:DML_TEST_CATALOG}", "select": ["n", "shop"]}
    return IcebergSource.model_validate(fields | options)


def rows(source: IcebergSource) -> list[tuple[Any, ...]]:
    read = pa.Table.from_batches(list(source.batches()))
    assert read.column_names == source.columns()
    return sorted(tuple(row.values()) for row in read.to_pylist())


def test_snapshots(orders: list[Any]) -> None:
    first, second = orders[0], orders[1]
    assert rows(source()) == [(2, "b"), (3, "a")]
    assert rows(source(snapshot=first.snapshot_id)) == [(1, "a"), (2, "b")]
    moment = datetime.fromtimestamp(second.timestamp_ms / 1000, UTC)
    bound, facts = source(as_of=moment).bound({})
    assert facts == {"snapshot": second.snapshot_id}
    assert isinstance(bound, IcebergSource)
    assert rows(bound) == [(1, "a"), (2, "b"), (3, "a")]
    assert bound.described() == f"the Iceberg table shop.orders, snapshot {second.snapshot_id}"
    again, same = source().bound({"snapshot": first.snapshot_id})
    assert (again, same) == (source(snapshot=first.snapshot_id), {"snapshot": first.snapshot_id})
    assert rows(source(select=["shop"], snapshot=first.snapshot_id)) == [("a",), ("b",)]
    assert source().bound({})[1] == {"snapshot": orders[-1].snapshot_id}
    key = {"table": "shop.orders", "catalog": "default", "select": ["n", "shop"]}
    assert source().options_for_key() == key


def test_what_cannot_be_read(orders: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for options, message in (
        ({"snapshot": 9}, "the Iceberg table shop.orders, snapshot 9 is not there"),
        ({"as_of": "2001-01-01T00:00:00Z"}, "the Iceberg table shop.orders has no snapshot"),
        ({"table": "shop.empty"}, "the Iceberg table shop.empty has no snapshot"),
        ({"table": "shop.none"}, "the Iceberg table shop.none cannot be read: Table does not exist"),
        ({"select": ["m"]}, "has no column 'm', which `select` names"),
        ({"select": []}, "the Iceberg table shop.orders: column 'list'"),
    ):
        with pytest.raises(DataError, match=message):
            rows(source(**options))
    monkeypatch.setenv("DML_TEST_CATALOG", "sqlite:////none/passage.db")
    with pytest.raises(DataError, match="cannot be read: unable to open database file") as caught:
        source().columns()
    assert "passage" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"snapshot": 1, "as_of": "2024-01-01T00:00:00Z"}, "give either 'snapshot' or 'as_of'"),
        ({"as_of": "2024-01-01"}, "write a moment with its zone"),
        ({"table": "orders"}, "should match pattern"),
        ({"uri": "sqlite:///a.db"}, "a secret is given in clear"),
    ],
)
def test_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        source(**options)


@pytest.mark.slow
def test_a_run_records_the_snapshot(
    catalog: Any,
    tmp_path: Path,
    write_flowers: Callable[..., Path],
    flowers: Callable[..., Path],
    run: Callable[..., Any],
) -> None:
    from pyarrow import csv

    rows = csv.read_csv(write_flowers(tmp_path / "flowers.csv"))
    table = catalog.create_table("shop.flowers", schema=rows.schema)
    table.append(rows)
    options = {"type": "iceberg", "table": "shop.flowers", "uri": "${env:DML_TEST_CATALOG}"}
    split = {"method": "random", "validation": 0.2}
    spec = flowers(data={"source": options, "split": split}, model="linear")
    report = run(spec)
    assert report.error is None, report.error
    (lock,) = spec.parent.rglob("run.lock.json")
    assert f'"snapshot": {table.current_snapshot().snapshot_id}' in lock.read_text()
    assert "passage" not in lock.read_text()


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from declarative_ml.core import optional

    monkeypatch.setattr(optional, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="pyiceberg is not installed") as caught:
        source().columns()
    assert "declarative-ml[iceberg]" in str(caught.value.hint)
