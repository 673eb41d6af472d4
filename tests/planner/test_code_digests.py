from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import declarative_ml
from declarative_ml.models import MODELS
from declarative_ml.planner import code
from declarative_ml.planner.code import code_digests
from declarative_ml.steps import STEPS


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the package that the digests are read from, free to be edited."""
    source = Path(declarative_ml.__file__).parent
    root = tmp_path / "declarative_ml"
    shutil.copytree(source, root, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "_ROOT", root)
    _forget()
    yield root
    _forget()


def _forget() -> None:
    code._read.cache_clear()
    code._path.cache_clear()


def _train(model: str) -> dict[str, str]:
    return code_digests([STEPS["train"], MODELS.module(model)])


@pytest.mark.parametrize(
    ("module", "ages"),
    [
        ("models.lightgbm", True),
        ("models.tree_graph", True),
        ("steps.train", True),
        ("learning.dataset", True),
        ("models.mlp", False),
        ("report.page", False),
        ("steps.report", False),
        ("cli.run", False),
        ("core.errors", False),
        ("api.predict", False),
    ],
)
def test_a_changed_byte_ages_only_what_imports_it(module: str, ages: bool, copied: Path) -> None:
    before = _train("lightgbm")
    path = copied.joinpath(*module.split(".")).with_suffix(".py")
    path.write_text(path.read_text() + "# changed\n")
    _forget()
    after = _train("lightgbm")
    assert (after != before) is ages
    if ages:
        assert {name for name in before if before[name] != after[name]} == {f"declarative_ml.{module}"}


def test_lazy_imports_are_followed() -> None:
    assert "declarative_ml.learning.torch_loop" in _train("mlp")
    assert "declarative_ml.learning.splits" in code_digests([STEPS["split"]])


@pytest.mark.parametrize("kind", STEPS)
def test_every_step_reads_code_of_its_own_and_none_of_the_verbs(kind: str) -> None:
    found = code_digests([STEPS[kind]])
    assert STEPS[kind] in found
    assert not [name for name in found if name.startswith(("declarative_ml.cli", "declarative_ml.api"))]


@pytest.mark.parametrize("model", list(MODELS))
def test_a_model_does_not_depend_on_its_shelf_mates(model: str) -> None:
    others = {MODELS.module(name) for name in MODELS} - {MODELS.module(model)}
    assert not others & set(code_digests([MODELS.module(model)]))


def test_an_unknown_module_is_an_error() -> None:
    with pytest.raises(ModuleNotFoundError, match="nothing"):
        code_digests(["declarative_ml.nothing"])


def test_a_change_of_an_imported_package_is_seen(copied: Path) -> None:
    before: dict[str, Any] = _train("linear")
    path = copied / "models" / "__init__.py"
    path.write_text(path.read_text() + "# changed\n")
    _forget()
    assert _train("linear") != before
