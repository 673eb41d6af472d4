"""Two real runs, side by side: paired on the rows that both were tested on, and where they are not."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.api.compare import as_json, compare
from declarative_ml.api.run import RunReport
from declarative_ml.api.workspace import Workspace
from declarative_ml.core.errors import DataError, UsageError
from declarative_ml.report.compare import finding, render_comparison
from declarative_ml.report.comparison import Comparison


class Two:
    """Runs of one table in one workspace."""

    def __init__(self, flowers: Any, run: Any, folder: Path) -> None:
        self._flowers, self._run = flowers, run
        self.workspace = Workspace(folder / "a" / ".dml")

    def make(self, **sections: Any) -> RunReport:
        report: RunReport = self._run(self._flowers(**sections))
        assert report.error is None
        return report

    def compare(self, first: RunReport, second: RunReport) -> Comparison:
        return compare(first.result["run"], second.result["run"], self.workspace)


@pytest.fixture
def two(flowers: Any, run: Any, tmp_path: Path) -> Two:
    return Two(flowers, run, tmp_path)


def test_the_same_rows_are_paired(two: Two) -> None:
    first = two.make(exclude=["length", "width"])
    second = two.make(evaluate={"slices": ["colour"]})
    found = two.compare(first, second)
    assert found.pairing == "Both were tested on the same 18 rows."
    told = as_json(found)
    metrics = first.result["metrics"]["test"], second.result["metrics"]["test"]
    for name, values in told["paired"].items():
        assert values["difference"] == pytest.approx(metrics[1][name] - metrics[0][name])
        assert values["low"] <= values["high"]
        assert told["metrics"]["test"][name][:2] == [metrics[0][name], metrics[1][name]]
    assert set(told["paired"]) == set(metrics[0])
    assert told["options"]["exclude"] == [["length", "width"], []]
    assert told["columns"]["length"] == [None, "number"]
    assert told["dropped"]["length"] == ["excluded by the spec", None]
    assert set(told["slices"]) == {item for item in told["slices"] if item.startswith("colour = ")} != set()
    assert (
        sum(told["agreement"][name] for name in ("both_right", "first_only", "second_only", "both_wrong"))
        == 18
    )
    assert all(value > 0 for value in told["latency"])
    assert told["data"]["fingerprints"][0] == told["data"]["fingerprints"][1]
    assert not told["same_model"]
    json.dumps(told, allow_nan=False)


def test_disagreements_are_rows_of_the_table(two: Two) -> None:
    found = two.compare(two.make(exclude=["length", "width"]), two.make())
    lines = (two.workspace.root.parent / "flowers.csv").read_text().splitlines()
    header = lines[0].split(",")
    assert len(found.disagreements) > 3
    assert list(found.disagreements) == sorted(found.disagreements, key=lambda item: -item.apart)
    for item in found.disagreements:
        cells = dict(zip(header, lines[item.row].split(","), strict=True))
        assert item.truth == cells["kind"]
        assert set(item.values) == {"length", "width", "colour", "seen", "wild"}
        assert item.values["colour"] == cells["colour"]
        assert float(item.values["length"]) == float(cells["length"])


def test_only_rows_that_were_test_rows_of_both(two: Two) -> None:
    split = {"method": "random", "validation": 0.2, "test": 0.4}
    wide = {"source": "flowers.csv", "split": split}
    found = two.compare(two.make(), two.make(data=wide))
    assert found.shared is not None
    tested = found.first.content.rows["test"], found.second.content.rows["test"]
    assert 0 < len(found.shared.truth) <= min(tested)
    assert f"({tested[0]} and {tested[1]} each)" in found.pairing
    assert found.first.content.truth is not None


def test_a_table_in_another_order_is_matched_by_the_hashes_of_its_rows(two: Two) -> None:
    first = two.make()
    data = two.workspace.root.parent / "flowers.csv"
    header, *rows = data.read_text().splitlines()
    data.write_text("\n".join([header, *reversed(rows)]) + "\n")
    found = two.compare(first, two.make(model={"type": "linear", "penalty": 100.0}))
    assert found.pairing == "Both were tested on the same 18 rows."
    assert found.shared is not None
    lines = data.read_text().splitlines()
    truth = ["abc"[code] for code in found.shared.truth]
    assert [lines[row + 1].split(",")[5] for row in found.shared.rows] == truth


def test_another_seed_shares_some_rows(two: Two) -> None:
    found = two.compare(two.make(), two.make(seed=7))
    assert found.shared is not None
    assert found.pairing == f"{len(found.shared.truth)} rows were test rows of both (18 and 18 each)."


def test_another_target_is_another_question(two: Two) -> None:
    found = two.compare(two.make(), two.make(target="wild"))
    assert found.shared is None
    assert found.pairing.startswith("The two have different targets")
    assert as_json(found)["metrics"]["test"]["roc_auc"][0] is not None
    assert "Different" not in render_comparison(found)


def test_other_data_are_not_paired(two: Two) -> None:
    first = two.make()
    data = two.workspace.root.parent / "flowers.csv"
    data.write_text(data.read_text() + "1,1,red,2024-01-01,no,a\n")
    found = two.compare(first, two.make())
    assert found.shared is None
    assert found.pairing == "The two were learned from different data, so their test rows are not the same."
    assert finding(found).tone == "plain"
    assert "for the first" in finding(found).sentence


def test_a_cleaned_store_leaves_what_bundle_and_record_hold(two: Two) -> None:
    first, second = two.make(), two.make(evaluate={"slices": ["colour"]}, model="lightgbm")
    shutil.rmtree(two.workspace.root / "store")
    found = two.compare(first, second)
    assert found.pairing == f"The answers of {first.result['run']} on its test rows are not in a store here."
    assert found.shared is None
    told = as_json(found)
    difference = told["metrics"]["test"]["log_loss"][2]
    assert math.isfinite(difference)
    assert (told["paired"], told["disagreements"], told["agreement"]) == ({}, [], None)
    assert told["options"]["model.type"] == ["linear", "lightgbm"]
    assert "Results" in render_comparison(found)


def test_bundles_elsewhere_and_bundles_of_runs(two: Two, tmp_path: Path) -> None:
    first, second = two.make(), two.make(model={"type": "linear", "penalty": 100.0})
    by_path = compare(first.result["bundle"], second.result["bundle"], Workspace(tmp_path / "empty"))
    assert by_path.pairing == "Both were tested on the same 18 rows."
    assert by_path.first.label == first.result["run"]
    copy = tmp_path / "copy"
    shutil.copytree(first.result["bundle"], copy)
    found = compare(str(copy), second.result["run"], two.workspace)
    assert found.options is None
    assert found.first.label == str(copy)
    assert f"{copy} on its test rows" in found.pairing
    assert "options are not compared" in render_comparison(found)


def test_a_model_and_itself(two: Two) -> None:
    first, second = two.make(), two.make(owner="garden")
    found = two.compare(first, second)
    assert found.same_model
    assert finding(found).sentence == "The two are one and the same model, byte for byte."
    assert found.disagreements == []
    assert found.options == {"owner": [None, "garden"]}


def test_what_cannot_be_compared(two: Two, run: Any, flowers: Any, tmp_path: Path) -> None:
    partial = run(flowers(), until="split")
    with pytest.raises(UsageError, match="made no bundle"):
        compare(partial.result["run"], partial.result["run"], two.workspace)
    with pytest.raises(UsageError, match="no run 'nowhere'"):
        compare("nowhere", "latest", two.workspace)
    good = two.make()
    bundle = Path(good.result["bundle"])
    (bundle / "card.json").unlink()
    with pytest.raises(DataError, match=r"card\.json is missing"):
        compare(str(bundle), str(bundle), two.workspace)


def test_the_verb(two: Two, dml: Any, tmp_path: Path) -> None:
    first, second = two.make(exclude=["length", "width"]), two.make()
    names = [report.result["run"] for report in (first, second)]
    page = tmp_path / "compare.html"
    shown = dml("compare", *names, "--store", two.workspace.root, "-o", page)
    assert shown.code == 0, shown.err
    assert "Both were tested on the same 18 rows." in shown.out
    line = next(line for line in shown.out.splitlines() if line.startswith("test log_loss"))
    assert len(line.split()) == 8  # part, metric, two values, difference, interval of three words
    assert "length: None -> number" in shown.out
    assert page.read_text().lstrip().startswith("<!doctype html>")
    told = json.loads(dml("compare", *names, "--store", two.workspace.root, "--format", "json").out)
    assert told["runs"] == names
    assert {"difference", "low", "high"} == set(told["paired"]["log_loss"])
