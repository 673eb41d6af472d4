"""Faults of the world outside: no room, no right to read, a source that dies. Each ends in a clear error,
leaves nothing half-made, and the same command goes on."""

from __future__ import annotations

import errno
import gzip
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import database_servers
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from declarative_ml.core.disk import is_full
from declarative_ml.core.errors import DataError
from declarative_ml.sources.file import FileSource
from declarative_ml.sources.sql import SqlSource


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EFBIG, "File too large"), True),
        (OSError("Error writing bytes to file. Detail: [errno 28] No space left on device"), True),
        (RuntimeError("database or disk is full"), True),
        (OSError(errno.ENOENT, "No such file"), False),
        (OSError("9000 requested and 3056 written"), True),
        (ValueError("28"), False),
    ],
)
def test_a_full_disk_is_known_by_its_words(error: Exception, full: bool) -> None:
    assert is_full(error) is full
    wrapped = RuntimeError("step failed")
    wrapped.__cause__ = error
    assert is_full(wrapped) is full


@contextmanager
def _somebody() -> Iterator[None]:
    """A user without rights, if it is root who runs the tests."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("name", ["data.csv", "data.csv.gz", "data.jsonl", "data.parquet", "data.arrow"])
def test_the_right_to_read_is_lost(name: str, tmp_path: Path) -> None:
    path, table = tmp_path / name, pa.table({"x": ["1"]})
    if name.endswith("parquet"):
        parquet.write_table(table, path)
    elif name.endswith("arrow"):
        feather.write_feather(table, path)
    else:
        content = b'{"x": "1"}\n' if "json" in name else b"x\n1\n"
        path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    source = FileSource(path=str(path))
    assert [batch.num_rows for batch in source.batches()] == [1]  # and everything is imported
    path.chmod(0)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == tmp_path.owner() and not folder.stat().st_mode & 0o1000:
            folder.chmod(folder.stat().st_mode | 0o055)
    with _somebody(), pytest.raises(DataError, match=f"{name} may not be read: permission denied"):
        list(source.batches())


def test_a_file_that_is_half_rewritten_is_told_as_that(flowers: Any, run: Any) -> None:
    path = flowers()
    data = path.parent / "flowers.csv"
    before = data.read_text()

    class Meddler(list[Any]):
        def append(self, event: Any) -> None:
            if (event.step, event.kind) == ("acquire.source", "start"):
                data.write_text(before[: len(before) // 2] + '"')

    report = run(path, Meddler(), until="acquire")
    assert isinstance(report.error, DataError)
    assert "changed while it was being read" in report.error.message
    data.write_text(before)
    assert run(path, until="acquire").error is None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for half a megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no disk can be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
def test_a_full_disk_ends_the_run_which_goes_on_when_there_is_room(
    small_disk: Path, tmp_path: Path, write_flowers: Any, spawn: Any
) -> None:
    write_flowers(tmp_path / "flowers.csv", 9_000)

    def finish(workspace: Path) -> tuple[int, str, str]:
        spec = {
            "name": "flowers",
            "data": {"source": str(tmp_path / "flowers.csv")},
            "target": "kind",
            "model": "linear",
            "explain": False,
            "track": {"register": "flowers"},
        }
        workspace.mkdir(exist_ok=True)
        (workspace / "spec.yaml").write_text(json.dumps(spec))
        process = spawn("run", workspace / "spec.yaml", "--format", "json", "-q")
        out, error = process.communicate(timeout=300)
        return process.returncode, out, error

    code, _, error = finish(small_disk)
    assert code == 6, error
    assert "there is no room left on the disk" in error
    assert "finished steps are kept" in error
    assert "Traceback" not in error
    store = small_disk / ".dml" / "store"
    assert not list(store.glob("building/*"))
    subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
    code, out, error = finish(small_disk)
    assert code == 0, error
    calm = finish(tmp_path / "calm")
    assert json.loads(out)["model_digest"] == json.loads(calm[1])["model_digest"]


@pytest.mark.slow
def test_a_database_that_ends_the_session_midway(monkeypatch: pytest.MonkeyPatch) -> None:
    dbapi = pytest.importorskip("adbc_driver_postgresql.dbapi")
    with database_servers.postgresql() as address, dbapi.connect(address) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "CREATE TABLE long AS SELECT n, md5(n::text) AS t FROM generate_series(1, 3000000) AS n"
        )
        connection.commit()
        monkeypatch.setenv("DML_TEST_DATABASE", address)
        batches = SqlSource(url="${env:DML_TEST_DATABASE}", table="long").batches()
        next(batches)
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND backend_type = 'client backend'"
        )
        with pytest.raises(DataError) as caught:
            for _ in batches:
                pass
        cursor.close()
    assert database_servers.PASSWORD not in str(caught.value)
