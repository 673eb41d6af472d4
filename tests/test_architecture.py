"""Promises about structure: light verbs stay light, imports point down, the wheel holds what people need."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from declarative_ml.behaviour import BEHAVIOURS
from declarative_ml.cli import VERBS, module_of
from declarative_ml.core.component import Component, Shelf
from declarative_ml.deployers import DEPLOYERS
from declarative_ml.features import FEATURES
from declarative_ml.models import MODELS
from declarative_ml.sources import SOURCES
from declarative_ml.steps import STEPS
from declarative_ml.trackers import TRACKERS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "declarative_ml"
HEAVY = {"torch", "spacy", "onnx", "onnxruntime", "mlflow", "pandas", "sklearn", "scipy", "shap", "lightgbm"}
HEAVY |= {"matplotlib", "numba", "optuna", "kubernetes"}

SPEC = """
name: light
data: {source: table.csv, sql: "SELECT *, a * 2 AS b FROM source"}
features: {a: number, b: {type: number, scale: quantile}, c: category, d: date}
target: y
deploy: {image: registry.example.com/light:1}
model: {type: ensemble, members: [linear, {type: lightgbm, rounds: 5}, {type: mlp, epochs: 2}]}
tune: {trials: 3, space: {mlp.dropout: {low: 0.0, high: 0.5}}}
"""
TABLE = "a,c,d,y\n" + "".join(f"{n},x{n % 3},2024-01-{n % 28 + 1:02d},{'yn'[n % 2]}\n" for n in range(40))

PROBE = """
import json, sys
from declarative_ml.cli import main
sys.argv[0] = "dml"
try:
    main()
except SystemExit as end:
    modules = sorted({name.partition(".")[0] for name in sys.modules})
    print(json.dumps({"code": end.code or 0, "modules": modules}))
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    (tmp_path / "table.csv").write_text(TABLE)
    (tmp_path / "spec.yaml").write_text(SPEC)
    return tmp_path / "spec.yaml"


def loaded_by(*arguments: str, folder: Path) -> set[str]:
    """The top-level modules in memory when `dml ARGUMENTS` has ended well."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["code"] == 0, done.stderr
    return set(seen["modules"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["run", "--help"],
        ["validate", "spec.yaml"],
        ["validate", "spec.yaml", "--no-data"],
        ["plan", "spec.yaml"],
        ["plan", "spec.yaml", "--format", "mermaid"],
        ["plan", "spec.yaml", "--format", "json", "-o", "plan.json"],
        ["why", "split", "spec.yaml"],
        ["schema"],
        ["schema", "bundle"],
        ["migrate", "spec.yaml"],
        ["runs"],
        ["doctor"],
        ["deploy", "spec.yaml"],
        ["deploy", "spec.yaml", "--render", "k8s"],
    ],
    ids=" ".join,
)
def test_light_verbs_load_nothing_heavy(arguments: list[str], spec: Path) -> None:
    assert loaded_by(*arguments, folder=spec.parent) & HEAVY == set()


def test_help_loads_no_pydantic_and_no_numpy(tmp_path: Path) -> None:
    assert loaded_by("--help", folder=tmp_path) & {"pydantic", "numpy", "pyarrow", "duckdb", "yaml"} == set()


def imported_by(code: str, folder: Path) -> set[str]:
    """The top-level modules in memory after `code`."""
    seen = "sorted({name.partition('.')[0] for name in sys.modules})"
    probe = f"{code}\nimport json, sys\nprint(json.dumps({seen}))"
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_package_alone_costs_nothing(tmp_path: Path) -> None:
    third_party = {"pydantic", "numpy", "pyarrow", "duckdb", "yaml", "click", "rich", "pygments"}
    assert imported_by("import declarative_ml", tmp_path) & (HEAVY | third_party) == set()


def test_planning_from_python_loads_nothing_heavy(spec: Path) -> None:
    code = """
import declarative_ml as dml
spec = dml.load("spec.yaml")
assert dml.validate("spec.yaml").ok and len(dml.plan(spec)) > 5
dml.plan(spec)._repr_html_(), spec._repr_html_(), dml.why("split", spec), dml.runs(), dml.doctor()
"""
    assert imported_by(code, spec.parent) & HEAVY == set()


def test_the_probe_sees_heavy_libraries(spec: Path) -> None:
    """The check above can fail: a run loads what it needs."""
    modules = loaded_by("run", "spec.yaml", "--until", "baseline.assemble", "--quiet", folder=spec.parent)
    assert {"onnx", "onnxruntime", "scipy"} <= modules


def test_imports_point_down_only() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "shelf", [FEATURES, MODELS, SOURCES, TRACKERS, BEHAVIOURS, DEPLOYERS], ids=lambda shelf: shelf.kind
)
def test_shelves_load(shelf: Shelf[Component]) -> None:
    for name in shelf:
        component = shelf.load(name)
        assert component.model_fields["type"].default == name
        assert component.__doc__, f"{name} says nothing about itself"


def test_every_step_kind_has_its_module() -> None:
    for kind, module in STEPS.items():
        path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
        assert "def run(context: StepContext) -> None:" in path.read_text(), kind


def test_every_verb_has_its_module() -> None:
    for verb in VERBS:
        assert (PACKAGE / "cli" / f"{module_of(verb)}.py").is_file(), verb


MODULES = sorted(PACKAGE.rglob("*.py"))


def test_modules_are_short_and_named_after_what_they_know() -> None:
    long = {str(path): count for path in MODULES if (count := len(path.read_text().splitlines())) > 500}
    assert long == {}
    assert [path for path in MODULES if path.stem in ("utils", "helpers", "common", "misc")] == []


def test_nothing_executes_data() -> None:
    """No pickle, joblib, eval, exec or unsafe loader anywhere in the product."""
    found = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                names = [f"{node.func.id}()"]
            bad = {"pickle", "joblib", "marshal", "shelve", "dill", "cloudpickle", "eval()", "exec()"}
            found += [f"{path}: {name}" for name in names if name.partition(".")[0] in bad]
    assert found == []


@pytest.mark.slow
def test_wheel_holds_what_people_need(tmp_path: Path) -> None:
    source = tmp_path / "source"
    _copy_without_leftovers(source)
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(source)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    assert len(list((tmp_path / "dist").glob("*.tar.gz"))) == 1
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {"declarative_ml/py.typed", "declarative_ml/report/templates/report.html"}
    wanted |= {"declarative_ml/schemas/spec.v1.json"}
    wanted |= {f"declarative_ml/specs/{path.name}" for path in (ROOT / "specs").glob("*.yaml")}
    wanted |= {path.relative_to(ROOT).as_posix() for path in MODULES}
    assert wanted - names == set()
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert [name for name in names if name.startswith(("tests/", "examples/", "benchmarks/"))] == []


def _copy_without_leftovers(target: Path) -> None:
    left_out = shutil.ignore_patterns(".*", "*.egg-info", "build", "dist", "__pycache__", "tests", "docs")
    shutil.copytree(ROOT, target, ignore=left_out)
