"""A conversion in its own process, held against model.onnx; and the same in a run and on the command line."""

import contextlib
import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from declarative_ml.api.convert import convert as convert_bundle
from declarative_ml.api.convert import formats, parse_format
from declarative_ml.api.planning import make_plan
from declarative_ml.api.run import RunOptions, run_spec
from declarative_ml.cli import dml
from declarative_ml.core.errors import SpecError, StepFailed, UsageError
from declarative_ml.formats import FORMATS
from declarative_ml.formats.conversion import convert
from declarative_ml.formats.parity import Parity, expected_of, measure, nasty_rows
from declarative_ml.spec.load import load_spec
from declarative_ml.store.bundle import Bundle
from tests.formats.tickets import train, write_tickets

FLOAT16 = {"format": "onnx", "quantize": "float16"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train(tmp_path_factory.mktemp("conversion"), "solved", "mlp")


def test_what_answers_alike_ships_with_its_proof(trained, tmp_path):
    found = convert(trained[1], FORMATS.parse("onnx-core"), tmp_path / "core")
    assert (found.status, found.ships, found.parity.disagreements) == ("ok", True, 0)
    assert found.parity.max_difference <= found.parity.tolerance == 1e-5
    assert found.parity.rows > found.parity.nasty_rows > 20
    assert found.bytes == sum(path.stat().st_size for path in (tmp_path / "core").iterdir())
    assert sorted(path.name for path in (tmp_path / "core").iterdir()) == ["core.onnx", "encoder.onnx"]


def test_a_relative_folder_is_where_the_caller_stands(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = convert(trained[1], FORMATS.parse("onnx"), Path("here"))
    assert found.status == "ok" and (tmp_path / "here" / "model.onnx").is_file()


def test_an_endless_difference_can_be_written_down(trained):
    parity = measure(trained[1], lambda rows: np.full_like(expected_of(trained[1], rows), np.nan), 1e-5)
    written = json.dumps(parity.model_dump(mode="json"), allow_nan=False)
    assert Parity.model_validate_json(written) == parity and not parity.holds


def test_what_differs_does_not_ship(trained, tmp_path):
    wanted = FORMATS.parse({**FLOAT16, "tolerance": 1e-12})
    found = convert(trained[1], wanted, tmp_path / "half")
    assert found.status == "differs" and found.parity.max_difference > 1e-12
    assert "differ from model.onnx by up to" in found.reason and "tolerance" in found.reason
    assert list(tmp_path.iterdir()) == []


def test_a_converter_that_breaks_is_told_by_its_last_words(trained, tmp_path):
    found = convert(replace(trained[1], content=b"no graph"), FORMATS.parse("onnx-core"), tmp_path / "x")
    assert found.status == "failed" and "status 1" in found.reason and "no word" not in found.reason
    assert list(tmp_path.iterdir()) == []


def test_nasty_rows_hold_every_kind_of_value_for_every_column(trained):
    original = trained[1]
    rows = nasty_rows(original)
    for column in original.inputs:
        values = rows[column.name][:, 0]
        if column.dtype == "float32":
            assert np.isnan(values).any() and np.isinf(values).any() and (values > 1e38).any()
        else:
            assert "" in values and "never seen ☃" in values


@pytest.mark.parametrize(
    ("change", "largest", "labels"),
    [
        (lambda answers: answers, 0.0, 0),
        (lambda answers: answers[:, ::-1], None, None),
        (lambda answers: np.full_like(answers, np.nan), float("inf"), None),
    ],
)
def test_measure_finds_what_differs(trained, change, largest, labels):
    original = trained[1]
    parity = measure(original, lambda rows: change(expected_of(original, rows)), 1e-5)
    assert parity.holds is (largest == 0.0)
    if largest is not None:
        assert parity.max_difference == largest
    assert (parity.disagreements == 0) is (labels == 0) or largest == float("inf")


def test_every_format_says_what_it_is_for():
    found = {item.name: item for item in formats()}
    assert list(found) == list(FORMATS)
    for name, item in found.items():
        assert item.about and not item.about.endswith("."), name
        kind = FORMATS.load(name)
        assert bool(kind.libraries) is bool(kind.modules), f"{name}: what its files depend on"
        assert item.extra or {"duckdb"} >= set(kind.modules), name


@pytest.mark.parametrize(
    ("name", "options", "message", "hint"),
    [
        ("onx", {}, "there is no format 'onx'", "onnx-core"),
        ("onnx", {"quantise": "x"}, "onnx: quantise: Extra inputs", "quantize"),
        ("onnx", {"quantize": "int3"}, "onnx: quantize: Input should be", "quantize"),
        ("onnx", {"tolerance": 0}, "onnx: tolerance: Input should be greater than 0", "tolerance"),
    ],
)
def test_wrong_formats_and_options_are_named(name, options, message, hint):
    with pytest.raises(UsageError) as error:
        parse_format(name, options)
    assert message in str(error.value) and hint in error.value.hint


def test_a_bundle_is_converted_into_a_new_folder_only(trained, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        convert_bundle(Bundle.open(trained[0]), FORMATS.parse("onnx"), tmp_path / "there")


def spec(folder, convert):
    write_tickets(folder / "tickets.csv")
    (folder / "s.yaml").write_text(
        "name: tickets\ndata: {source: tickets.csv}\ntarget: solved\nexclude: [kind, cost, note]\n"
        f"model: linear\nexplain: false\ntrack: false\nconvert: {json.dumps(convert)}\n"
    )
    return folder / "s.yaml"


def test_a_run_converts_reports_and_ships(tmp_path):
    path = spec(tmp_path, ["onnx-core", FLOAT16])
    report = run_spec(load_spec(path), RunOptions())
    assert isinstance(report.error, StepFailed) and "onnx-float16: nothing would be smaller" in str(
        report.error
    )
    assert report.result["status"] == "ok"
    assert {item["name"]: item["status"] for item in report.result["conversions"]} == {
        "onnx-core": "ok",
        "onnx-float16": "refused",
    }
    bundle = Bundle.open(report.result["bundle"], verify=True)
    shipped = [name for name in bundle.manifest.files if name.startswith("formats/")]
    assert shipped == ["formats/onnx-core/core.onnx", "formats/onnx-core/encoder.onnx"]
    page = (report.folder / "report.html").read_text()
    assert "<h2>Formats</h2>" in page and "nothing would be smaller" in page
    again = run_spec(load_spec(path), RunOptions())
    assert again.unchanged and isinstance(again.error, StepFailed)


def test_the_command_line_converts_a_spec_and_tells_how_near_it_is(tmp_path):
    path = spec(tmp_path, "onnx")
    assert run_spec(load_spec(path), RunOptions()).error is None
    runner = CliRunner()
    out = str(tmp_path / "core")
    told = runner.invoke(dml, ["convert", str(path), "--to", "onnx-core", "-o", out, "--format", "json"])
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert (found["status"], found["path"], found["parity"]["disagreements"]) == ("ok", out, 0)
    listed = json.loads(runner.invoke(dml, ["formats", "--format", "json"]).stdout)
    assert {"onnx", "onnx-core"} <= {item["name"] for item in listed}


def test_a_format_stands_in_a_spec_once(tmp_path):
    path = spec(tmp_path, ["onnx", {"format": "onnx", "tolerance": 0.1}])
    with pytest.raises(SpecError) as error:
        load_spec(path)
    assert "onnx stands there twice" in str([problem.message for problem in error.value.problems])


class Interrupted(Exception):
    pass


def test_an_interrupt_ends_the_converter_and_leaves_nothing(trained, tmp_path):
    def tick():
        raise Interrupted

    with pytest.raises(Interrupted):
        convert(trained[1], FORMATS.parse("onnx-core"), tmp_path / "core", tick=tick)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_converter_says_nothing_of_the_model(trained, tmp_path):
    def tick():
        for place in tmp_path.glob(".core.*"):
            for status in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    if str(place) in status.read_text():
                        os.kill(int(status.parent.name), signal.SIGKILL)

    with pytest.raises(StepFailed, match="ended by signal 9"):
        convert(trained[1], FORMATS.parse("onnx-core"), tmp_path / "core", tick=tick)
    assert list(tmp_path.iterdir()) == []


def test_a_column_with_the_name_of_a_tensor_is_refused_by_name(tmp_path):
    lines = ["scaled,other,y", *(f"{row % 17},{'ab'[row % 2]},{row % 2}" for row in range(120))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    (tmp_path / "s.yaml").write_text(
        "name: names\ndata: {source: t.csv}\ntarget: y\nmodel: linear\nexplain: false\ntrack: false\n"
        "convert: [onnx-core, onnx]\n"
    )
    report = run_spec(load_spec(tmp_path / "s.yaml"), RunOptions())
    found = {item["name"]: (item["status"], item["reason"]) for item in report.result["conversions"]}
    assert found["onnx"][0] == "ok" and found["onnx-core"][0] == "refused"
    assert "called raw, scaled or codes" in found["onnx-core"][1]


def test_a_conversion_ages_with_the_runtime_that_it_copies(tmp_path):
    (tmp_path / "tf.min.js").write_text("one")
    assert FORMATS.parse({"format": "tfjs", "runtime": str(tmp_path / "tf.min.js")}).reads() == (
        tmp_path / "tf.min.js",
    )
    assert FORMATS.parse({"format": "tfjs", "runtime": str(tmp_path / "absent.js")}).reads() == ()
    path = spec(tmp_path, [{"format": "tfjs", "runtime": str(tmp_path / "tf.min.js")}])
    plan = make_plan(load_spec(path))
    assert plan["convert.tfjs"].files == (str(tmp_path / "tf.min.js"),)
