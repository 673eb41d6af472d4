from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from apm_intake import Intake
from service_bundles import train_guests
from service_client import Client
from service_process import Running, serving

from declarative_ml.serving.app import Application
from declarative_ml.serving.exchange import Limits
from declarative_ml.serving.fleet import Fleet
from declarative_ml.serving.model import ServedModel
from declarative_ml.serving.service import Service
from declarative_ml.store.bundle import Bundle


@pytest.fixture(scope="session")
def bundle_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bundle]:
    """The bundle that predicts `stays` (yes, no), `kind` (1, 2, 3) or `spent` (with intervals)."""
    trained: dict[str, Bundle] = {}

    def bundle(target: str) -> Bundle:
        if target not in trained:
            trained[target] = train_guests(tmp_path_factory.mktemp(target), target)
        return trained[target]

    return bundle


@pytest.fixture(scope="session")
def running(bundle_of: Callable[[str], Bundle]) -> Iterator[Running]:
    """A process that serves the bundle for `stays`, with short times for slow clients."""
    with serving(bundle_of("stays").path, "--timeout", "3s") as found:
        yield found


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="session")
def client_of(bundle_of: Callable[[str], Bundle], runner: asyncio.Runner) -> Iterator[Callable[..., Client]]:
    services = []

    def client(*targets: str, limits: Limits | None = None, token: str | None = None) -> Client:
        models = [ServedModel(bundle_of(target)) for target in targets]
        service = Service(Fleet.of(models), limits or Limits(), token=token.encode() if token else None)
        services.append(service)
        return Client(Application(service), runner)

    yield client
    for service in services:
        service.close()


@pytest.fixture(scope="session")
def stays(client_of: Callable[..., Client]) -> Client:
    return client_of("stays")


@pytest.fixture(scope="session")
def apm_specs() -> Path:
    """The JSON Schemas of Elastic's intake: $DML_SHARED/specs-data, else ../shared/specs-data."""
    shared = Path(os.environ.get("DML_SHARED") or Path(__file__).parents[3] / "shared")
    folder = shared / "specs-data" / "elastic-apm-intake-v2"
    if not folder.is_dir():
        pytest.skip(f"the schemas of Elastic's intake are not in {shared}; set DML_SHARED")
    return folder


@pytest.fixture
def intake(apm_specs: Path) -> Iterator[Intake]:
    with Intake(apm_specs / "schemas") as found:
        yield found


@pytest.fixture(scope="session")
def row() -> dict[str, Any]:
    return {"age": 41.5, "fare": 12, "town": "Oslo", "member": "yes", "seen": "2024-05-04"}


@pytest.fixture(scope="session")
def rows(bundle_of: Callable[[str], Bundle]) -> list[dict[str, Any]]:
    """Rows as a client sends them, with gaps."""
    import csv

    path = Path(bundle_of("stays").path).parents[3] / "guests.csv"
    with path.open(encoding="utf-8", newline="") as stream:
        table = list(csv.DictReader(stream))
    return [
        {
            "age": float(line["age"]) if line["age"] else None,
            "fare": float(line["fare"]),
            "town": line["town"] or None,
            "member": line["member"] or None,
            "seen": line["seen"],
        }
        for line in table
    ]
