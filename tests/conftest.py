from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of shared tables: $DML_SHARED/data, else ../shared/data beside the repository."""
    shared = Path(os.environ.get("DML_SHARED") or Path(__file__).parents[2] / "shared")
    if not (shared / "data").is_dir():
        pytest.skip(f"the shared tables are not in {shared}; set DML_SHARED")
    return shared / "data"
