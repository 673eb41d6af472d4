import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from declarative_ml.core.errors import DataError, Problem, SpecError
from declarative_ml.sources.file import FileSource
from declarative_ml.spec.document import FilesSplit
from declarative_ml.spec.load import LoadedSpec, load_spec

Load = Callable[..., LoadedSpec]
Problems = Callable[..., list[Problem]]


def test_a_short_spec_is_filled_with_defaults(load: Load, folder: Path) -> None:
    loaded = load("")
    spec = loaded.spec
    assert (spec.name, spec.target.column, spec.model.type, spec.features) == (
        "churn",
        "Churn",
        "lightgbm",
        "auto",
    )
    assert isinstance(spec.data.source, FileSource)
    assert spec.data.source.path == str(folder / "table.csv")
    assert (spec.data.split.method, spec.evaluate.threshold.value, spec.seed) == ("random", 0.5, 42)
    assert loaded.problems == ()


def test_paths_of_separate_files_are_relative_to_the_spec(load: Load, folder: Path) -> None:
    spec = load("data: {source: table.csv, split: {method: files, test: t.csv, validation: 0.1}}").spec
    assert isinstance(spec.data.split, FilesSplit)
    assert isinstance(spec.data.split.test, FileSource)
    assert spec.data.split.test.path == str(folder / "t.csv")
    assert spec.data.split.validation == 0.1


@pytest.mark.parametrize("line", ["positive: 1", "positive: '1'"])
def test_a_number_where_text_is_needed_is_taken_as_written(line: str, load: Load) -> None:
    assert load(f"target: {{column: Churn, {line}}}").spec.target.positive == "1"


def test_texts_that_look_like_numbers_stay_as_written(load: Load) -> None:
    spec = load("exclude: [2019, 1.50, true, 010]\ndescription: 0x1F").spec
    assert spec.exclude == ("2019", "1.50", "true", "010")
    assert spec.description == "0x1F"


def test_whole_numbers_may_be_written_with_an_exponent(load: Load) -> None:
    spec = load("seed: 1e3\nmodel: {type: mlp, epochs: 2e1, learning_rate: 1}").spec
    assert (spec.seed, spec.members[0].epochs, spec.members[0].learning_rate) == (1000, 20, 1.0)


_PROFILES = """
model: {type: mlp, epochs: 5}
exclude: [customerID]
profiles:
  prod: {model: lightgbm, exclude+: [signup], seed: 7}
  quick: {model: {type: mlp, epochs: 1}}
"""


def test_a_profile_is_laid_over_the_spec(load: Load) -> None:
    spec = load(_PROFILES, profile="prod").spec
    assert (spec.model.type, spec.exclude, spec.seed) == ("lightgbm", ("customerID", "signup"), 7)
    assert load(_PROFILES, profile="quick").spec.members[0].epochs == 1
    assert load(_PROFILES).spec.members[0].epochs == 5


def test_overrides_come_last(load: Load) -> None:
    overrides = ("seed=9", "target=tenure", "model.type=linear", "data.split.test=0.3")
    spec = load(_PROFILES, profile="prod", overrides=overrides).spec
    assert (spec.seed, spec.target.column, spec.model.type) == (9, "tenure", "linear")
    assert spec.data.split.test == 0.3


def test_a_problem_of_an_override_names_the_override(problems: Problems) -> None:
    found = problems("", overrides=["model.typ=mlp", "sed=1"])
    assert {(p.file, p.line) for p in found} == {("--set model.typ=mlp", 0), ("--set sed=1", 0)}
    assert "did you mean 'seed'?" in [p.hint for p in found]


def test_a_problem_of_a_profile_is_found_where_it_is_written(problems: Problems) -> None:
    text = "seed: 1\nprofiles:\n  prod:\n    sed: 2\n"
    for profile in ("prod", None):
        found = problems(text, profile=profile)
        assert [(p.code, p.line, p.column, p.path) for p in found] == [("DML012", 4, 5, "sed")]


def test_other_profiles_may_hold_references_that_are_unset_now(load: Load) -> None:
    load("profiles: {prod: {seed: '${env:DML_UNSET}', track: {uri: '${env:DML_UNSET}'}}}")


@pytest.mark.parametrize(
    ("text", "profile", "message", "hint"),
    [
        ("profiles: {prod: {seed: 1}}", "prdo", "unknown profile 'prdo'", "the spec has prod"),
        ("", "prod", "unknown profile 'prod'", "the spec has no 'profiles'"),
    ],
)
def test_an_unknown_profile(text: str, profile: str, message: str, hint: str, problems: Problems) -> None:
    assert [(p.code, p.message, p.hint) for p in problems(text, profile=profile)] == [
        ("DML010", message, hint)
    ]


def test_every_problem_is_reported_at_once_in_the_order_of_lines(problems: Problems) -> None:
    text = """name: Telco
data:
  source: table.csv
  split: {method: tim}
features:
  tenure:
  MonthlyCharges: {type: number, missing: med}
target: {colum: Churn}
model: {type: mlp, epochs: 0}
refit: NO
seed: 1
seed: 2
slices: [Contract]
owner: ${env:DML_UNSET}
"""
    found = problems(text)
    assert [(p.line, p.code) for p in found] == [
        (1, "DML018"), (4, "DML016"), (6, "DML019"), (7, "DML016"), (8, "DML012"),
        (9, "DML017"), (10, "DML015"), (12, "DML004"), (13, "DML012"), (14, "DML009"),
    ]  # fmt: skip


def test_checks_speak_of_what_is_sound_in_a_bad_spec(problems: Problems) -> None:
    text = """seeed: 7
model: {type: ensemble, members: [mlp, {type: linear, penalti: 1}]}
features: {tenure: nmber, Contrakt: category}
evaluate: {metric: rmse, metrics: [auc, f1]}
target: {column: Churn, type: binary}
"""
    found = problems(text, data=True)
    assert [(p.line, p.code) for p in found] == [
        (1, "DML012"), (2, "DML012"), (3, "DML016"), (3, "DML201"), (4, "DML101"), (4, "DML016"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["features: {tenure: nmber}", "data: {source: table.csv, key: [x], split: hash}", "data: {source: 5}"],
)
def test_a_fault_has_no_echo(text: str, problems: Problems) -> None:
    assert len(problems(text, data=True)) == 1


def test_the_error_carries_warnings_too_and_counts_errors(load: Load) -> None:
    text = "track: {enabled: false, register: x}\nexclude: [Churn]"
    with pytest.raises(SpecError, match=r"1 problem\(s\) in the spec") as caught:
        load(text)
    assert {p.severity for p in caught.value.problems} == {"error", "warning"}
    assert caught.value.exit_code == 3


def test_warnings_do_not_stop(load: Load) -> None:
    assert [p.code for p in load("track: {enabled: false, register: x}").problems] == ["DML109"]


@pytest.mark.parametrize(
    ("content", "code", "line", "message"),
    [
        (b"name: caf\xe9\n", "DML002", 1, "byte 0xe9 is not UTF-8"),
        ("name: x\n".encode("utf-16"), "DML002", 1, "byte 0xff is not UTF-8"),
        (b"# ok\n\nname: \xff\n", "DML002", 3, "byte 0xff is not UTF-8"),
        (b"x" * 1_000_001, "DML007", 0, "the spec is larger than 1,000,000 bytes"),
        (b"", "DML008", 1, "the spec is empty"),
        (b"# only a comment\n", "DML008", 1, "the spec is empty"),
        (b"---\n...\n", "DML008", 1, "the spec is empty"),
        (b"- a\n- b\n", "DML008", 1, "a spec is a mapping of keys to values, but this is a list"),
        (b"churn\n", "DML008", 1, "a spec is a mapping of keys to values, but this is a single value"),
    ],
)
def test_files_that_are_no_spec(content: bytes, code: str, line: int, message: str, folder: Path) -> None:
    path = folder / "spec.yaml"
    path.write_bytes(content)
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    assert [(p.code, p.line, p.message) for p in caught.value.problems] == [(code, line, message)]


def test_a_missing_file_names_its_neighbour(folder: Path) -> None:
    (folder / "spec.yaml").write_text("name: x")
    with pytest.raises(SpecError) as caught:
        load_spec(folder / "spce.yaml")
    problem = caught.value.problems[0]
    assert (problem.code, problem.message) == ("DML001", "cannot read the spec: no such file")
    assert problem.hint == f"did you mean {folder / 'spec.yaml'}?"


def test_a_folder_is_no_spec(folder: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(folder)
    assert caught.value.problems[0].message == "cannot read the spec: is a directory"


def test_byte_order_mark_and_crlf_change_nothing(load: Load, folder: Path) -> None:
    digest = load("seed: 7").digest
    text = "\ufeff" + "seed: 7\nname: churn\ndata: {source: table.csv}\ntarget: Churn\n".replace("\n", "\r\n")
    (folder / "spec.yaml").write_bytes(text.encode())
    assert load_spec(folder / "spec.yaml").digest == digest


def test_with_data_unknown_columns_are_problems(problems: Problems) -> None:
    found = problems("target: Chrun\nweight: Importance", data=True)
    assert [(p.code, p.line, p.hint) for p in found] == [
        ("DML201", 1, "did you mean 'Churn'?"), ("DML201", 2, "did you mean 'importance'?"),
    ]  # fmt: skip
    assert problems("target: Chrun\nweight: Importance") == []


def test_unreadable_data_alone_keeps_its_own_error(load: Load) -> None:
    with pytest.raises(DataError):
        load("data: {source: none.csv}", data=True)


def test_unreadable_data_beside_other_problems_is_one_more(problems: Problems) -> None:
    found = problems("data: {source: none.csv}\nexclude: [Churn]", data=True)
    assert [(p.code, p.line) for p in found] == [("DML202", 1), ("DML102", 2)]


_LIGHT = """
import sys, time
started = time.process_time()
from declarative_ml.spec.load import load_spec
load_spec(sys.argv[1], data=True)
heavy = "torch spacy onnxruntime onnx mlflow pandas sklearn scipy shap lightgbm matplotlib duckdb pyarrow"
print(" ".join(name for name in heavy.split() if name in sys.modules))
"""


def test_reading_a_spec_and_a_csv_header_loads_nothing_heavy(load: Load, folder: Path) -> None:
    load(
        "features: {tenure: number, signup: date}\nmodel: {type: ensemble, members: [mlp, lightgbm, linear]}"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", _LIGHT, str(folder / "spec.yaml")]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    assert result.stdout.split() == []
