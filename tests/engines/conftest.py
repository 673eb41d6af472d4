from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.api.run import RunOptions, RunReport, run_spec
from declarative_ml.engines.events import Event
from declarative_ml.spec.load import load_spec


@pytest.fixture
def flowers(tmp_path: Path, write_flowers: Callable[..., Path]) -> Callable[..., Path]:
    """Write a spec over the table of flowers: a linear model, no explanation, no tracking."""

    def write(folder: str = "a", **sections: Any) -> Path:
        (tmp_path / folder).mkdir(exist_ok=True)
        data = tmp_path / folder / "flowers.csv"
        if not data.exists():
            write_flowers(data)
        whole = {
            "name": "flowers",
            "data": {"source": "flowers.csv", "split": {"method": "random", "validation": 0.2}},
            "target": "kind",
            "model": "linear",
            "explain": False,
            "track": False,
            "resources": {"cpu": 1},
        }
        path = tmp_path / folder / "spec.yaml"
        path.write_text(json.dumps({**whole, **sections}))
        return path

    return write


@pytest.fixture
def run() -> Callable[..., RunReport]:
    """Run a spec and collect its events in the list `events`."""

    def start(path: Path, events: list[Event] | None = None, **options: Any) -> RunReport:
        heard = events if events is not None else []
        return run_spec(load_spec(path, data=True), RunOptions(listener=heard.append, **options))

    return start
