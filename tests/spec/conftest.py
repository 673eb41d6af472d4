from collections.abc import Callable
from pathlib import Path

import pytest

from declarative_ml.core.errors import Problem, SpecError
from declarative_ml.spec.load import LoadedSpec, load_spec

HEADER = "customerID,tenure,Contract,MonthlyCharges,importance,signup,Churn\n1,2,Month,3.5,1,2024-01-01,Yes\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "table.csv").write_text(HEADER)
    return tmp_path


@pytest.fixture
def load(folder: Path) -> Callable[..., LoadedSpec]:
    """Write a spec and load it; `minimal` puts the required keys that the text lacks in front."""

    def load_text(text: str, *, minimal: bool = True, **options: object) -> LoadedSpec:
        path = folder / "spec.yaml"
        path.write_text(complete(text) if minimal else text)
        return load_spec(path, **options)

    return load_text


@pytest.fixture
def problems(load: Callable[..., LoadedSpec]) -> Callable[..., list[Problem]]:
    """The problems of a spec: those of the SpecError, or the warnings of a valid spec."""

    def problems_of(text: str, **options: object) -> list[Problem]:
        try:
            return list(load(text, **options).problems)
        except SpecError as error:
            return list(error.problems)

    return problems_of


def complete(text: str) -> str:
    required = {"name": "name: churn\n", "data": "data: {source: table.csv}\n", "target": "target: Churn\n"}
    lines = text.splitlines()
    missing = [
        line for key, line in required.items() if not any(each.startswith(f"{key}:") for each in lines)
    ]
    return text + ("" if text.endswith("\n") or not text else "\n") + "".join(missing)
