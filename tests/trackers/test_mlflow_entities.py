import math

import pytest

from declarative_ml.trackers import mlflow_entities as entities


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("test.roc_auc", "test.roc_auc"),
        ("recall@10 %", "recall_10 _"),
        ("a//b", "a/b"),
        ("/a/../b/", "a/_/b"),
        ("größe/ä b:c", "größe/ä b:c"),
        ("", "_"),
        ("x" * 300, "x" * 250),
    ],
)
def test_safe_name(name: str, expected: str) -> None:
    assert entities.safe_name(name) == expected


def test_safe_names_pass_mlflow_s_own_check() -> None:
    validation = pytest.importorskip("mlflow.utils.validation")
    for name in (
        "a/../b",
        "x" * 999,
        "",
        "é@#$%^&*()",
        "train.lightgbm.fold0/validation_loss",
        "a\nb",
        "./a",
        ".",
        "x" * 249 + "/y",
    ):
        validation._validate_metric_name(entities.safe_name(name))


def test_flatten_nests_with_dots_and_keeps_short_text() -> None:
    params = {
        "model": {"type": "mlp", "layers": [256, 128], "dropout": 0.0},
        "members": [{"type": "a"}, {"type": "b", "x": None}],
        "empty": {},
        "none": None,
        "blank": "",
        "flag": False,
        "sql": "s" * 1000,
    }
    flat = entities.flatten(params)
    assert flat.pop("sql") == "s" * 499 + "…"
    assert flat == {
        "model.type": "mlp",
        "model.layers": "[256, 128]",
        "model.dropout": "0.0",
        "members.0.type": "a",
        "members.1.type": "b",
        "flag": "false",
    }


def test_flatten_keeps_names_apart_that_become_equal() -> None:
    assert entities.flatten({"a@": 1, "a#": 2}) == {"a_": "1", "a__2": "2"}


def test_final_points_leave_out_what_is_not_finite() -> None:
    points = entities.final_points({"test.auc": 0.5, "test.bad": math.nan, "test.worse": -math.inf})
    assert points == [("test.auc", 0.5, 0)]


def test_curve_points_name_step_and_series() -> None:
    curves = {
        "train.mlp.fold0": [{"step": 1, "train": 0.5, "validation": 0.6}, {"step": 2, "train": math.nan}]
    }
    assert entities.curve_points(curves) == [
        ("train.mlp.fold0/train_loss", 0.5, 1),
        ("train.mlp.fold0/validation_loss", 0.6, 1),
    ]


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (1000, [1000]), (2001, [1000, 1000, 1])])
def test_batches(count: int, sizes: list[int]) -> None:
    assert [len(batch) for batch in entities.batches(list(range(count)), 1000)] == sizes


@pytest.mark.parametrize(("name", "folder"), [("adult", "adult"), ("a/b c", "a-b-c"), ("..", "-")])
def test_folder_name(name: str, folder: str) -> None:
    assert entities.folder_name(name) == folder
