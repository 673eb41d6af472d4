"""What a change of the spec, the data or the place makes run again, and what stays cached."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.api.run import RunReport

SHIPPED = {"package", "verify", "report"}
JUDGED = {"evaluate", "segments", *SHIPPED}


def _ran(report: RunReport) -> set[str]:
    assert report.error is None, report.error
    return {step["id"] for step in report.result["steps"] if step["status"] == "run"}


def _cached(report: RunReport) -> set[str]:
    assert report.error is None, report.error
    return {step["id"] for step in report.result["steps"] if step["status"] == "cached"}


FITS = {"train.linear.fold0", "train.linear.final"}

CHANGES: list[tuple[str, dict[str, Any], set[str]]] = [
    ("a slice", {"evaluate": {"slices": ["colour"]}}, JUDGED),
    ("a metric", {"evaluate": {"metric": "accuracy"}}, JUDGED),
    ("the description", {"description": "Flowers of the field"}, SHIPPED),
    ("the owner", {"owner": "garden"}, SHIPPED),
    (
        "the model's options",
        {"model": {"type": "linear", "penalty": 0.5}},
        {*FITS, "assemble", *JUDGED},
    ),
    ("refit", {"refit": False}, {"assemble", *JUDGED}),
    ("imbalance", {"imbalance": "weights"}, {*FITS, "assemble", *JUDGED}),
    ("oversample", {"imbalance": "oversample"}, {*FITS, "assemble", *JUDGED}),
    (
        "an excluded column",
        {"exclude": ["wild"]},
        {"profile", "prepare", *FITS, "assemble", *JUDGED},
    ),
]


@pytest.mark.parametrize(
    ("sections", "runs"), [case[1:] for case in CHANGES], ids=[case[0] for case in CHANGES]
)
def test_a_change_runs_what_depends_on_it_and_nothing_else(
    sections: dict[str, Any], runs: set[str], flowers: Any, run: Any
) -> None:
    run(flowers())
    again = _ran(run(flowers(**sections)))
    assert runs - {"assemble", *JUDGED} <= again <= runs  # a step before may happen to make the same bytes
    assert "report" in again


def test_the_threshold_never_trains_again(flowers: Any, run: Any, tmp_path: Path) -> None:
    path = flowers(target="wild")
    first = run(path)
    changed = run(flowers(target="wild", evaluate={"threshold": {"value": 0.8}}))
    assert _ran(changed) == {"assemble", *JUDGED}
    assert changed.result["model_digest"] != first.result["model_digest"]


def test_nothing_changed(flowers: Any, run: Any) -> None:
    first = run(flowers())
    again = run(flowers())
    assert again.unchanged
    assert again.folder == first.folder
    assert again.result["model_digest"] == first.result["model_digest"]
    assert len(list(first.folder.parent.iterdir())) == 1


def test_the_same_data_elsewhere_is_cached(flowers: Any, run: Any, tmp_path: Path) -> None:
    store = str(tmp_path / "shared")
    first = run(flowers("here"), store=store)
    second = run(flowers("there"), store=store)
    assert _ran(second) <= {"report"}
    assert second.result["model_digest"] == first.result["model_digest"]


def test_bytes_that_change_no_value_stop_at_the_table(flowers: Any, run: Any) -> None:
    path = flowers()
    run(path)
    data = path.parent / "flowers.csv"
    data.write_text(data.read_text().replace(",red,", ',"red",'))
    assert _ran(run(path)) == {"acquire.source"}


def test_a_changed_value_runs_everything(flowers: Any, run: Any) -> None:
    path = flowers()
    first = run(path)
    data = path.parent / "flowers.csv"
    data.write_text(data.read_text().replace(",red,", ",pink,"))
    second = run(path)
    assert _cached(second) <= {"evaluate"}
    assert second.result["model_digest"] != first.result["model_digest"]


def test_row_order_does_not_matter(flowers: Any, run: Any) -> None:
    path = flowers()
    first = run(path)
    data = path.parent / "flowers.csv"
    header, *rows = data.read_text().splitlines()
    data.write_text("\n".join([header, *reversed(rows)]) + "\n")
    second = run(path)
    assert "acquire.source" in _ran(second)
    assert second.result["model_digest"] == first.result["model_digest"]


def test_going_back_to_an_earlier_spec_runs_nothing(flowers: Any, run: Any) -> None:
    first = run(flowers())
    run(flowers(evaluate={"slices": ["colour"]}))
    back = run(flowers())
    assert _ran(back) == set()
    assert back.result["model_digest"] == first.result["model_digest"]
    assert Path(back.result["bundle"]).is_dir()


@pytest.mark.parametrize(
    ("wanted", "runs"),
    [
        ([], {"acquire.source", "split", "profile", "prepare", *FITS, "assemble", *JUDGED}),
        (["evaluate"], {"evaluate"}),
        (["train"], FITS),
        (["train.linear"], FITS),
    ],
    ids=["everything", "an id", "a kind", "the start of an id"],
)
def test_fresh_runs_what_it_names_and_the_result_is_the_same(
    wanted: list[str], runs: set[str], flowers: Any, run: Any
) -> None:
    first = run(flowers())
    again = run(flowers(), fresh=wanted)
    assert runs <= _ran(again) <= {*runs, "report"}
    assert again.result["model_digest"] == first.result["model_digest"]


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_artifact_is_made_again(damage: str, flowers: Any, run: Any) -> None:
    path = flowers()
    first = run(path)
    store = path.parent / ".dml" / "store" / "artifacts"
    for model in store.glob("*/*/model.onnx"):
        if damage == "cut":
            model.write_bytes(model.read_bytes()[:-10])
        else:
            model.unlink()
    second = run(path)
    assert _ran(second) >= {"assemble", "package"}
    assert second.result["model_digest"] == first.result["model_digest"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"key": 1}', b'{"files": 3}', b"\xff\xfe"])
def test_a_damaged_record_is_made_again(content: bytes, flowers: Any, run: Any) -> None:
    path = flowers()
    first = run(path)
    for record in (path.parent / ".dml" / "store" / "actions").glob("*/*.json"):
        if json.loads(record.read_text())["step"] == "split":
            record.write_bytes(content)
    second = run(path)
    assert _ran(second) == {"split"}
    assert second.result["model_digest"] == first.result["model_digest"]


@pytest.mark.parametrize("name", ["digests.json", "run.json"])
def test_a_damaged_note_of_the_workspace_does_not_matter(name: str, flowers: Any, run: Any) -> None:
    path = flowers()
    first = run(path)
    for note in (path.parent / ".dml").rglob(name):
        note.write_bytes(b'{"half": ')
    second = run(path)
    assert _ran(second) == set()
    assert second.result["model_digest"] == first.result["model_digest"]


def test_a_project_that_moves_keeps_its_history(flowers: Any, run: Any, dml: Any, tmp_path: Path) -> None:
    first = run(flowers("before"))
    (tmp_path / "before").rename(tmp_path / "after")
    path = tmp_path / "after" / "spec.yaml"
    outcome = dml("predict", path, path.parent / "flowers.csv", "-o", tmp_path / "out.csv")
    assert outcome.code == 0, outcome.err
    again = run(path)
    assert again.unchanged
    assert again.result["model_digest"] == first.result["model_digest"]
    assert Path(again.result["bundle"]).is_dir()
    assert Path(again.result["report"]).is_file()
