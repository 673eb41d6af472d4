"""What every import promises: a spec that validates, and each key of the config in exactly one group."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from import_cases import IMPORT, Case, case, cases, damaged, leaf_paths, mutated, write_patients

from declarative_ml.api.import_report import Imported
from declarative_ml.core.errors import DataError, SpecError, UsageError
from declarative_ml.spec.load import load_spec

CASES = cases("ludwig", "igel")
MINIMAL = {
    "ludwig": "input_features: [{name: a, type: number}]\noutput_features: [{name: y, type: binary}]\n",
    "igel": "model: {type: classification, algorithm: RandomForest}\ntarget: [y]\n",
}


@pytest.fixture(params=CASES, ids=lambda found: f"{found.tool}-{found.path.stem}")
def config(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture
def imported(config: Case, tmp_path: Path) -> Imported:
    return config.run(tmp_path / "spec.yaml", data=config.table(tmp_path))


@pytest.fixture(params=sorted(MINIMAL))
def minimal(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    """The smallest config of each tool."""
    path = tmp_path / "config.yaml"
    path.write_text(MINIMAL[request.param])
    return Case(request.param, path)


def listed(report: dict[str, Any]) -> list[str]:
    return sorted(entry["theirs"] for name in ("carried", "changed", "left_out") for entry in report[name])


def test_there_are_enough_kinds_of_configs() -> None:
    assert len(cases("ludwig")) >= 12
    assert len(cases("igel")) >= 6
    homes = {"ludwig": "ludwig-ai/ludwig", "igel": "nidhaloff/igel"}
    for found in CASES:
        assert found.path.read_text().startswith(f"# After the structure of {homes[found.tool]}")


def test_every_key_is_in_exactly_one_group(imported: Imported, config: Case) -> None:
    assert listed(imported.as_dict()) == sorted(leaf_paths(config.config))
    assert all(entry.why for entry in [*imported.changed, *imported.left_out])
    assert all(entry.ours for entry in [*imported.carried, *imported.changed])
    assert [entry.theirs for entry in imported.left_out if entry.why == "no counterpart"] == []


def test_places_lead_to_the_key(imported: Imported, config: Case) -> None:
    lines = config.path.read_text().splitlines()
    for entry in imported.entries:
        key = next(part for part in reversed(entry.keys) if isinstance(part, str))
        assert key in lines[entry.place.line - 1], entry


def test_the_spec_is_valid_for_the_data(imported: Imported) -> None:
    assert load_spec(imported.path, data=True).problems == ()
    assert (imported.path.parent / ".dml" / "spec.v1.json").is_file()
    assert imported.named_data


def test_ours_is_what_the_spec_says(imported: Imported) -> None:
    """Where the report names an option of the model with its value, the spec has that value."""
    spec = yaml.safe_load(imported.text)
    model = spec["model"] if isinstance(spec["model"], dict) else {"type": spec["model"]}
    for entry in [*imported.carried, *imported.changed]:
        option, _, value = entry.ours.partition(": ")
        if option.startswith("model.") and " " not in value.strip("[]0123456789, "):
            assert model[option.removeprefix("model.")] == yaml.safe_load(value), entry


def test_without_data_the_spec_names_a_placeholder(config: Case, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    alone = tmp_path / "elsewhere" / config.path.name
    alone.write_text(config.path.read_text())
    imported = Case(config.tool, alone).run(tmp_path / "spec.yaml")
    assert load_spec(imported.path).spec.name == config.path.stem.replace("_", "-")
    assert "data.csv" in imported.text
    assert "no --data was given" in imported.notes[0]
    assert not imported.named_data


def test_a_config_may_name_its_data_itself(tmp_path: Path) -> None:
    """igel's `input`, from the folder of the config."""
    found = case("igel", "support_vectors")
    (tmp_path / "igel.yaml").write_text(found.path.read_text())
    write_patients(tmp_path / "patients.csv")
    imported = Case("igel", tmp_path / "igel.yaml").run(tmp_path / "specs" / "spec.yaml")
    assert yaml.safe_load(imported.text)["data"]["source"] == "../patients.csv"
    assert load_spec(imported.path, data=True).problems == ()


# What goes wrong.


@pytest.mark.parametrize(
    ("content", "kind", "message", "hint"),
    [
        (b"a: [1", SpecError, "1 problem", "a config of"),
        (b"a: 1\na: 2", SpecError, "1 problem", "a config of"),
        (b"a: !!python/name:os.system x", SpecError, "1 problem", "a config of"),
        (b"model: {learning_rate: .inf}", SpecError, "1 problem", "a config of"),
        (b"", UsageError, "config.yaml is empty", "YAML config of"),
        (b"# nothing\n", UsageError, "config.yaml is empty", "YAML config of"),
        (b"- 1\n- 2", UsageError, "config.yaml holds a list, not a mapping", "YAML config"),
        (b"just words", UsageError, "config.yaml holds a text, not a mapping", "YAML config"),
        (b"\xff\xfe", UsageError, "config.yaml is not UTF-8: byte 1", "UTF-8"),
        (b"\x7fELF\x02\x01\x01" + bytes(80), SpecError, "1 problem", "a config of"),
        (b"a" * 10_000_000, UsageError, "config.yaml is larger than 1,000,000 bytes", "is it the data?"),
        (None, UsageError, "there is no file config.yaml", "did you mean"),
    ],
    ids=lambda value: repr(value)[:24] if isinstance(value, bytes) else None,
)
@pytest.mark.parametrize("tool", sorted(IMPORT))
def test_what_is_no_config_is_refused(
    tool: str,
    content: bytes | None,
    kind: type[UsageError | SpecError],
    message: str,
    hint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("confg.yaml").write_text("")
    if content is not None:
        Path("config.yaml").write_bytes(content)
    with pytest.raises(kind) as caught:
        IMPORT[tool](Path("config.yaml"), Path("spec.yaml"))
    assert message in caught.value.message
    assert hint in str(caught.value.hint)
    assert not Path("spec.yaml").exists()


@pytest.mark.parametrize(
    ("table", "message", "hint"),
    [
        (None, "there is no file", "config.yaml"),
        ("", "is empty", ""),
        ("a,Y\n1,0\n", r"has no column 'y' \(config.yaml:2\)", "did you mean 'Y'?"),
        ("b\n1\n", "has no column", "the data has b"),
    ],
)
def test_data_that_does_not_fit_is_refused(
    minimal: Case, table: str | None, message: str, hint: str, tmp_path: Path
) -> None:
    data = tmp_path / "table.csv"
    if table is not None:
        data.write_text(table)
    with pytest.raises(DataError, match=message) as caught:
        minimal.run(tmp_path / "spec.yaml", data=str(data))
    assert hint in str(caught.value.hint)
    assert not (tmp_path / "spec.yaml").exists()


def test_the_output_is_not_overwritten_unless_asked(minimal: Case, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        minimal.run(tmp_path / "spec.yaml")
    assert (tmp_path / "spec.yaml").read_text() == "mine"
    minimal.run(tmp_path / "spec.yaml", force=True)
    assert (tmp_path / "spec.yaml").read_text() != "mine"


@pytest.mark.parametrize(("name", "example"), [("My Model", "my-model"), ("é", "my-model"), ("-a", "name a")])
def test_a_name_that_no_spec_can_have_is_refused(
    minimal: Case, name: str, example: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="lower-case letters, digits and hyphens") as caught:
        minimal.run(tmp_path / "spec.yaml", name=name)
    assert example in str(caught.value.hint)
    assert not (tmp_path / "spec.yaml").exists()


@pytest.mark.parametrize("seed", range(50))
@pytest.mark.parametrize("tool", sorted(IMPORT))
def test_whatever_a_config_holds_it_is_imported_or_refused(
    tool: str, seed: int, tmp_path: Path, dml: Callable[..., Any]
) -> None:
    """Two configs a seed, with or without data: no traceback, a fitting exit code, a spec that validates."""
    source = random.Random(f"{tool} {seed}")
    for number, found in enumerate(source.sample(cases(tool), 2)):
        junk = mutated(found.config, source)
        config, spec = tmp_path / f"{number}.yaml", tmp_path / f"spec{number}.yaml"
        config.write_text(json.dumps(junk))
        data = ["--data", found.table(tmp_path, 40)] if source.random() < 0.3 else []
        done = dml("import", tool, config, "-o", spec, "--format", "json", *data)
        assert done.code in (0, 2, 3, 5, 7), done.err
        assert "Traceback" not in done.err
        assert done.code == 0 or "hint:" in done.err
        if done.code == 0:
            assert listed(json.loads(done.out)) == sorted(leaf_paths(junk))
            checked = dml("validate", spec, *([] if data else ["--no-data"]))
            assert checked.code == 0, checked.out


@pytest.mark.parametrize("seed", range(50))
@pytest.mark.parametrize("tool", sorted(IMPORT))
def test_damaged_files_are_imported_or_refused(tool: str, seed: int, tmp_path: Path) -> None:
    source = random.Random(f"{tool} {seed}")
    config = tmp_path / "config.yaml"
    config.write_text(damaged(source.choice(cases(tool)).path.read_text(), source))
    try:
        imported = Case(tool, config).run(tmp_path / "spec.yaml")
    except (UsageError, SpecError) as error:
        assert error.hint
        assert not (tmp_path / "spec.yaml").exists()
    else:
        assert load_spec(imported.path).spec.target.column


# The command.


def test_the_command_prints_the_report(tmp_path: Path, dml: Callable[..., Any]) -> None:
    found, spec = case("ludwig", "particles_tabnet"), tmp_path / "spec.yaml"
    arguments = ("import", "ludwig", found.path, "--data", found.table(tmp_path), "-o", spec)
    text = dml(*arguments).out
    for part in (
        "carried over\n  line  Ludwig  →  spec.yaml\n", "changed\n", "left out\n  line  Ludwig\n",
        "there is no tabnet", f"next: dml run {spec}",
    ):  # fmt: skip
        assert part in text
    assert max(map(len, text.splitlines()[2:-1])) <= 110
    again = dml(*arguments)
    assert (again.code, "exists already" in again.err) == (2, True)
    report = json.loads(dml(*arguments, "--force", "--format", "json", "--name", "tabs").out)
    assert set(report) == {"tool", "config", "spec", "carried", "changed", "left_out", "notes"}
    assert report["changed"][0]["line"] > 0
    assert "name: tabs" in spec.read_text()
    assert dml(*arguments, "--force", "-q").out == ""


def test_without_data_the_command_says_what_comes_first(
    minimal: Case, tmp_path: Path, dml: Callable[..., Any]
) -> None:
    done = dml("import", minimal.tool, minimal.path, "-o", tmp_path / "spec.yaml")
    assert "next: name your data in it, then: dml run" in done.out


def test_a_broken_config_ends_without_a_traceback(tmp_path: Path, dml: Callable[..., Any]) -> None:
    (tmp_path / "config.yaml").write_text("input_features: [\n")
    outcome = dml("import", "ludwig", tmp_path / "config.yaml", "-o", tmp_path / "spec.yaml")
    assert outcome.code == 3
    assert "config.yaml:2:1" in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    ("tool", "name", "least"),
    [
        ("ludwig", "titanic_gbm", 0.6),
        ("ludwig", "bikes_datetime", 0.35),
        ("igel", "logistic_regression", 0.7),
        ("igel", "boosting_options", 0.7),
    ],
)
def test_imported_specs_run(
    tool: str, name: str, least: float, tmp_path: Path, dml: Callable[..., Any]
) -> None:
    """Binary, multiclass and regression by each model, from the config to test metrics."""
    found, spec = case(tool, name), tmp_path / "spec.yaml"
    done = dml("import", tool, found.path, "--data", found.table(tmp_path, 240), "-o", spec)
    assert done.code == 0, done.err
    assert dml("validate", spec).code == 0
    options = ("--set", "explain=none", "--set", "track=false", "--set", "resources.cpu=1")
    outcome = dml("run", spec, "--format", "json", "-q", *options)
    assert outcome.code == 0, outcome.err
    metrics = json.loads(outcome.out)["metrics"]["test"]
    assert metrics.get("r2", metrics.get("roc_auc")) > least
