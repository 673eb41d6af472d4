"""Tables of several kinds of sources, joined by `data.sql`."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_a_database_and_a_folder_are_joined(
    tmp_path: Path,
    write_flowers: Callable[..., Path],
    flowers: Callable[..., Path],
    run: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with write_flowers(tmp_path / "flowers.csv").open() as stream:
        header, *lines = csv.reader(stream)
    measured = [name for name in header if name != "kind"]
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute(f"CREATE TABLE measured (id, {', '.join(measured)})")
        marks = ", ".join("?" * (len(measured) + 1))
        rows = [
            (number, *(line[header.index(name)] for name in measured)) for number, line in enumerate(lines)
        ]
        connection.executemany(f"INSERT INTO measured VALUES ({marks})", rows)
    connection.close()
    monkeypatch.setenv("DML_TEST_DB", f"sqlite:///{tmp_path / 'a.db'}")
    for part in (0, 1):
        folder = tmp_path / "kinds" / f"part={part}"
        folder.mkdir(parents=True)
        named = [
            f"{number},{line[header.index('kind')]}"
            for number, line in enumerate(lines)
            if number % 2 == part
        ]
        (folder / "kinds.csv").write_text("\n".join(["id,kind", *named]) + "\n")
    spec = flowers(
        data={
            "sources": {
                "measured": {"type": "sql", "url": "${env:DML_TEST_DB}", "table": "measured"},
                "kinds": str(tmp_path / "kinds"),
            },
            "sql": "SELECT measured.* EXCLUDE (id), part, kind FROM measured JOIN kinds USING (id)",
        },
        model="linear",
    )
    report = run(spec)
    assert report.error is None, report.error
    assert report.result["metrics"]["test"]["accuracy"] > 0.5
    steps = {step["id"] for step in report.result["steps"]}
    assert {"acquire.measured", "acquire.kinds", "sql"} <= steps
