from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from declarative_ml.core.errors import DataError
from declarative_ml.learning.dataset import CodeColumn, Dataset, Layout
from declarative_ml.learning.task import Task
from declarative_ml.models.base import FitContext
from declarative_ml.models.lightgbm import LightGBM
from declarative_ml.models.tree_graph import parse_trees

BINARY = Task(target="y", type="binary", classes=("no", "yes"))
THREE = Task(target="y", type="multiclass", classes=("a", "b", "c"))
NUMBER = Task(target="y", type="number")


def make_data(task: Task, rows: int = 400, seed: int = 0) -> Dataset:
    random = np.random.default_rng(seed)
    raw = random.normal(size=(rows, 3)).astype(np.float32)
    codes = random.integers(0, 12, (rows, 1)).astype(np.int32)
    value = raw[:, 0] + (codes[:, 0] % 3 == 0) + random.normal(size=rows) / 3
    targets = {
        "binary": (value > 0).astype(np.int64),
        "multiclass": np.digitize(value, [-0.5, 0.8]).astype(np.int64),
        "number": value.astype(np.float64),
    }
    layout = Layout(raw=("a", "b", "c"), codes=(CodeColumn(name="k", cardinality=12),))
    return Dataset(layout, raw, np.zeros((rows, 0), np.float32), codes, targets[task.type])


def context(task: Task, **changes: object) -> FitContext:
    return replace(FitContext(task=task, seed=1, threads=1, scratch=Path()), **changes)


def tree_count(state: dict[str, np.ndarray]) -> int:
    return len(parse_trees(state["model"].tobytes().decode()))


@pytest.mark.parametrize("task", [BINARY, THREE, NUMBER], ids=lambda task: task.type)
def test_early_stopping_keeps_the_best_round(task: Task) -> None:
    model = LightGBM(early_stopping=5, learning_rate=0.3)
    fitted = model.fit(make_data(task), make_data(task, 200, seed=1), context(task))
    losses = [point["validation"] for point in fitted.curve]
    best = fitted.work["rounds"]
    assert best == int(np.argmin(losses)) + 1
    assert len(losses) == best + 5
    assert tree_count(fitted.state) == best * task.width


def test_the_validation_rows_stop_and_nothing_else() -> None:
    model = LightGBM(rounds=12)
    alone = model.fit(make_data(BINARY), None, context(BINARY, work={"rounds": 12, "fit_rows": 400}))
    watched = model.fit(make_data(BINARY), make_data(BINARY, 200, seed=1), context(BINARY))
    assert watched.work["rounds"] == 12
    assert np.array_equal(alone.state["model"], watched.state["model"])


def test_rounds_caps_and_sets_them() -> None:
    assert LightGBM(rounds=9).fit(make_data(BINARY), None, context(BINARY)).work["rounds"] == 9
    unvalidated = LightGBM(learning_rate=0.25).fit(make_data(BINARY), None, context(BINARY))
    assert unvalidated.work["rounds"] == 20


@pytest.mark.parametrize("task", [BINARY, THREE, NUMBER], ids=lambda task: task.type)
def test_total_leaves_bound_all_trees_together(task: Task) -> None:
    model = LightGBM(total_leaves=120, num_leaves=8)
    fitted = model.fit(make_data(task), make_data(task, 200, seed=1), context(task))
    trees = parse_trees(fitted.state["model"].tobytes().decode())
    assert len(trees) == fitted.work["rounds"] * task.width
    assert 60 <= sum(len(tree.leaf) for tree in trees) <= 120
    few, many = (LightGBM(total_leaves=count).defaults(400, task) for count in (100, 100_000))
    assert few["learning_rate"] > many["learning_rate"] == LightGBM().defaults(400, task)["learning_rate"]


def test_a_refit_keeps_the_options_that_the_fold_chose_by_rows() -> None:
    model, data = LightGBM(), make_data(NUMBER, rows=300)
    work = {"rounds": 10, "fit_rows": 100_000}
    large = model.fit(data, None, context(NUMBER, work=work))
    small = model.fit(data, None, context(NUMBER, work={**work, "fit_rows": 300}))
    assert not np.array_equal(large.state["model"], small.state["model"])


def test_the_bytes_do_not_name_the_thread_count() -> None:
    states = [
        LightGBM(rounds=5).fit(make_data(NUMBER), None, context(NUMBER, threads=n)).state for n in (1, 2)
    ]
    assert np.array_equal(states[0]["model"], states[1]["model"])


def test_the_seed_matters() -> None:
    states = [LightGBM(rounds=5).fit(make_data(NUMBER), None, context(NUMBER, seed=n)).state for n in (1, 2)]
    assert not np.array_equal(states[0]["model"], states[1]["model"])


@pytest.mark.parametrize(("factor", "offset"), [(1e9, 5e9), (1e-6, 0.0), (1.0, -1e7)])
def test_the_unit_of_a_number_does_not_matter(factor: float, offset: float) -> None:
    data = make_data(NUMBER)
    other = replace(data, target=data.target * factor + offset)
    model = LightGBM(rounds=20, lambda_l1=0.5)
    plain = model.predict(model.fit(data, None, context(NUMBER)).state, data, NUMBER)
    scaled = model.predict(model.fit(other, None, context(NUMBER)).state, data, NUMBER)
    np.testing.assert_allclose((scaled - offset) / factor, plain, atol=1e-3)


def test_only_the_proportions_of_weights_matter() -> None:
    data = make_data(BINARY)
    weight = np.random.default_rng(3).random(len(data)).astype(np.float32)
    model = LightGBM(rounds=10)
    small = model.fit(replace(data, weight=weight), None, context(BINARY)).state
    large = model.fit(replace(data, weight=weight * 1024), None, context(BINARY)).state
    assert np.array_equal(small["model"], large["model"])


@pytest.mark.parametrize(
    ("task", "target"),
    [(NUMBER, 7.5), (BINARY, 1), (THREE, 2)],
    ids=["constant", "one class of two", "one class of three"],
)
def test_a_target_that_never_changes(task: Task, target: float) -> None:
    data = make_data(task)
    constant = replace(data, target=np.full_like(data.target, target))
    fitted = LightGBM(rounds=5).fit(constant, None, context(task))
    margins = LightGBM().predict(fitted.state, data, task)
    if task is NUMBER:
        assert np.allclose(margins, target)
    elif task is BINARY:
        assert (margins > 3).all()
    else:
        assert (margins.argmax(axis=1) == target).all()


def test_few_rows() -> None:
    data = make_data(BINARY, rows=8)
    fitted = LightGBM(rounds=5).fit(data, None, context(BINARY))
    assert LightGBM().predict(fitted.state, data, BINARY).shape == (8, 1)


def test_no_columns() -> None:
    data = replace(make_data(BINARY), layout=Layout(), raw=np.zeros((400, 0)), codes=np.zeros((400, 0)))
    with pytest.raises(DataError, match="lightgbm has no column to split on") as caught:
        LightGBM().fit(data, None, context(BINARY))
    assert caught.value.hint == "give it a number, date or category column, or choose the model linear"


def test_importance_finds_the_columns_that_matter() -> None:
    data = make_data(NUMBER)
    model = LightGBM(rounds=30)
    found = model.importance(model.fit(data, None, context(NUMBER)).state, data.layout)
    assert list(found) == ["a", "b", "c", "k"]
    assert sum(found.values()) == pytest.approx(1.0)
    assert found["a"] > 0.3
    assert found["k"] > 3 * found["b"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rounds": 0}, "greater than or equal to 1"),
        ({"learning_rate": 0}, "greater than 0"),
        ({"num_leaves": 1}, "greater than or equal to 2"),
        ({"feature_fraction": 1.5}, "less than or equal to 1"),
        ({"depth": 3}, "Extra inputs are not permitted"),
    ],
)
def test_bad_options(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LightGBM.model_validate(options)


def test_the_import_is_light_and_leaves_the_full_library_to_others() -> None:
    program = """
import sys
from declarative_ml.models.lightgbm_import import import_lightgbm
assert "lightgbm" not in sys.modules
library = import_lightgbm()
assert library is import_lightgbm()
assert not {"sklearn", "pandas", "lightgbm"} & sys.modules.keys()
import lightgbm
assert lightgbm is not library
lightgbm.LGBMClassifier(n_estimators=1)
"""
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root)


def late() -> float:
    """A deadline that has passed."""
    return -1.0


def test_at_the_deadline_the_best_so_far_is_kept() -> None:
    data, held_out = make_data(BINARY), make_data(BINARY, 200, seed=1)
    cut = LightGBM(rounds=50).fit(data, held_out, context(BINARY, deadline=late))
    assert (cut.cut, cut.work["rounds"], tree_count(cut.state)) == (True, 1, 1)
    whole = LightGBM(rounds=1).fit(data, held_out, context(BINARY, deadline=late))
    assert not whole.cut
    refit = LightGBM().fit(data, None, context(BINARY, work={"rounds": 9, "fit_rows": 400}, deadline=late))
    assert (refit.cut, refit.work["rounds"]) == (True, 1)


def test_random_thresholds_give_other_trees() -> None:
    data = make_data(BINARY)
    usual, extra = (
        LightGBM(rounds=5, extra_trees=on).fit(data, None, context(BINARY)) for on in (False, True)
    )
    assert not np.array_equal(usual.state["model"], extra.state["model"])
