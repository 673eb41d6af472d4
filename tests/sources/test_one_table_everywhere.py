"""The adult table from every kind of source gives the very same model, in whatever order its rows arrive."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import database_servers
import duckdb
import pytest
from spark_server import spark
from web_server import Web

pytestmark = pytest.mark.slow

ROWS = 3_000
_NUMBERS = ("age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hours_per_week")


@pytest.fixture(scope="module")
def adult(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    lines = (shared_data / "adult" / "data.csv").read_text().splitlines()[: ROWS + 1]
    path = tmp_path_factory.mktemp("adult") / "adult.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def table(adult: Path) -> Any:
    """The rows from the last to the first, typed, as pyarrow.Table."""
    whole = duckdb.read_csv(str(adult)).to_arrow_table()
    return whole.take(list(range(whole.num_rows))[::-1])


@pytest.fixture(scope="module")
def model_digest(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    from declarative_ml.api.run import RunOptions, run_spec
    from declarative_ml.spec.load import load_spec

    def train(source: Any) -> str:
        folder = tmp_path_factory.mktemp("run")
        spec = {
            "name": "adult",
            "data": {"source": source},
            "target": "income",
            "model": "linear",
            "track": False,
            "explain": {"rows": 5, "background": 5},
        }
        (folder / "spec.yaml").write_text(json.dumps(spec))
        report = run_spec(load_spec(folder / "spec.yaml", data=True), RunOptions())
        assert report.error is None, report.error
        return str(report.result["model_digest"])

    return train


@pytest.fixture(scope="module")
def expected(adult: Path, model_digest: Callable[..., str]) -> str:
    return model_digest(str(adult))


def columns(kinds: dict[str, str], table: Any) -> str:
    return ", ".join(f"{name} {kinds['n' if name in _NUMBERS else 't']}" for name in table.column_names)


def fill_sqlite(table: Any, folder: Path) -> str:
    with sqlite3.connect(folder / "a.db") as connection:
        connection.execute(f"CREATE TABLE adult ({columns({'n': 'integer', 't': 'text'}, table)})")
        marks = ", ".join("?" * table.num_columns)
        connection.executemany(f"INSERT INTO adult VALUES ({marks})", zip(*table.to_pydict().values()))
    connection.close()
    return f"sqlite:///{folder / 'a.db'}"


def fill_duckdb(table: Any, folder: Path) -> str:
    with duckdb.connect(str(folder / "a.duckdb")) as connection:
        connection.register("rows", table)
        connection.execute("CREATE TABLE adult AS SELECT * FROM rows")
    return f"duckdb:///{folder / 'a.duckdb'}"


def fill_postgresql(table: Any, address: str) -> None:
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(address) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest("adult", table, mode="create")
        connection.commit()


def fill_mariadb(table: Any, address: str) -> None:
    import sqlalchemy

    engine = sqlalchemy.create_engine(address.replace("mysql:", "mysql+pymysql:"))
    with engine.begin() as connection:
        kinds = {"n": "bigint", "t": "varchar(60)"}
        connection.exec_driver_sql(f"CREATE TABLE adult ({columns(kinds, table)})")
        marks = ", ".join(["%s"] * table.num_columns)
        rows = list(zip(*table.to_pydict().values()))
        connection.exec_driver_sql(f"INSERT INTO adult VALUES ({marks})", rows)
    engine.dispose()


_SQL = {"type": "sql", "url": "${env:DML_TEST_ADULT}", "table": "adult"}


@pytest.mark.parametrize("kind", ["sqlite", "duckdb", "postgresql", "mariadb"])
def test_databases(
    kind: str,
    table: Any,
    expected: str,
    model_digest: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if kind in ("sqlite", "duckdb"):
        monkeypatch.setenv("DML_TEST_ADULT", globals()[f"fill_{kind}"](table, tmp_path))
        assert model_digest(_SQL) == expected
        return
    if kind == "mariadb":
        pytest.importorskip("pymysql", reason="the extra `mysql` is not installed")
    with getattr(database_servers, kind)() as address:
        globals()[f"fill_{kind}"](table, address)
        monkeypatch.setenv("DML_TEST_ADULT", address)
        assert model_digest(_SQL) == expected
    assert os.environ["DML_TEST_ADULT"] == address


def test_objects_in_s3(
    adult: Path, expected: str, model_digest: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = pytest.importorskip("moto.server", reason="moto is not installed")
    from pyarrow import fs

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    served = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    served.start()
    try:
        host, port = served.get_host_and_port()
        at = {"region": "us-east-1"}
        place = f"{host}:{port}"
        store = fs.S3FileSystem(endpoint_override=place, scheme="http", allow_bucket_creation=True, **at)
        store.create_dir("lake")
        header, *lines = adult.read_text().splitlines(keepends=True)
        for number, part in enumerate((lines[2_000:], lines[:2_000])):
            with store.open_output_stream(f"lake/adult/{number}.csv") as stream:
                stream.write("".join([header, *part]).encode())
        remote = {"type": "remote", "path": "s3://lake/adult/", "endpoint": f"http://{place}", **at}
        assert model_digest(remote) == expected
    finally:
        served.stop()


def test_a_page_of_the_web(adult: Path, expected: str, model_digest: Callable[..., str]) -> None:
    with Web() as web:
        web.pages["/adult.csv"] = (200, {"ETag": '"1"'}, adult.read_bytes())
        assert model_digest(web.address("/adult.csv")) == expected


def test_messages_of_kafka(table: Any, expected: str, model_digest: Callable[..., str]) -> None:
    kafka = pytest.importorskip("confluent_kafka", reason="the extra `kafka` is not installed")
    producer = kafka.Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "x", "log_level": 0})
    brokers = producer.list_topics(timeout=10).brokers.values()
    for number, row in enumerate(table.to_pylist()):
        producer.produce("adult", json.dumps(row).encode(), partition=number % 3)
    assert producer.flush(30) == 0
    servers = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    assert model_digest({"type": "kafka", "servers": servers, "topic": "adult"}) == expected


def test_a_sheet_of_excel(
    table: Any, expected: str, model_digest: Callable[..., str], tmp_path: Path
) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl writes the book")
    pytest.importorskip("fastexcel", reason="the extra `excel` is not installed")
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    sheet.append(table.column_names)
    for row in zip(*table.to_pydict().values()):
        sheet.append(list(row))
    book.save(tmp_path / "adult.xlsx")
    assert model_digest(str(tmp_path / "adult.xlsx")) == expected


def test_a_delta_table(table: Any, expected: str, model_digest: Callable[..., str], tmp_path: Path) -> None:
    deltalake = pytest.importorskip("deltalake", reason="the extra `delta` is not installed")
    deltalake.write_deltalake(str(tmp_path / "adult"), table)
    assert model_digest({"type": "delta", "path": str(tmp_path / "adult")}) == expected


def test_an_export_of_label_studio(
    table: Any, expected: str, model_digest: Callable[..., str], tmp_path: Path
) -> None:
    tasks = []
    for number, row in enumerate(table.to_pylist()):
        region = {"from_name": "income", "to_name": "age", "type": "choices"}
        region["value"] = {"choices": [row.pop("income")]}
        tasks.append({"id": number, "data": row, "annotations": [{"id": number, "result": [region]}]})
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    assert model_digest({"type": "label-studio", "path": str(tmp_path / "export.json")}) == expected


def test_a_dataset_of_hugging_face(
    table: Any,
    expected: str,
    model_digest: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    datasets = pytest.importorskip("datasets", reason="the library datasets is not installed")
    datasets.disable_progress_bars()
    dataset = datasets.Dataset(table.combine_chunks()).class_encode_column("income")
    dataset.save_to_disk(tmp_path / "adult", num_shards=2)
    assert model_digest({"type": "huggingface", "path": str(tmp_path / "adult")}) == expected


def test_an_iceberg_table(
    table: Any,
    expected: str,
    model_digest: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    catalogs = pytest.importorskip("pyiceberg.catalog", reason="the extra `iceberg` is not installed")
    address = f"sqlite:///{tmp_path / 'catalog.db'}"
    catalog = catalogs.load_catalog("default", uri=address, warehouse=(tmp_path / "lake").as_uri())
    catalog.create_namespace("shop")
    catalog.create_table("shop.adult", schema=table.schema).append(table)
    catalog.engine.dispose()
    monkeypatch.setenv("DML_TEST_ADULT", address)
    iceberg = {"type": "iceberg", "table": "shop.adult", "uri": "${env:DML_TEST_ADULT}"}
    assert model_digest(iceberg) == expected


def test_a_query_of_spark(
    table: Any,
    expected: str,
    model_digest: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pyarrow import parquet

    parquet.write_table(table, tmp_path / "adult.parquet")
    with spark(tmp_path) as address:
        monkeypatch.setenv("DML_TEST_ADULT", address)
        query = f"SELECT * FROM parquet.`{tmp_path / 'adult.parquet'}`"
        assert model_digest({"type": "spark", "url": "${env:DML_TEST_ADULT}", "query": query}) == expected
