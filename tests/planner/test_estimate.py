from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.api.planning import make_plan
from declarative_ml.planner.estimate import Facts, estimates, look, too_little, tree_rows
from declarative_ml.planner.training import BASELINE_ROWS
from declarative_ml.spec.load import LoadedSpec, load_spec

ROWS = 5_000
WORDS = "the sea was calm and we went on with our work until it rained".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Numbers, dates, levels, names of which few repeat, and texts; as CSV and as Parquet."""
    from pyarrow import csv, parquet

    drawn = random.Random(0)
    folder = tmp_path_factory.mktemp("tables")
    with (folder / "t.csv").open("w") as stream:
        stream.write("size,day,colour,shop,note,y\n")
        for _ in range(ROWS):
            note = " ".join(drawn.choices(WORDS, k=9))
            day = f"2024-{drawn.randint(1, 12):02d}-{drawn.randint(1, 28):02d}"
            cells = [
                f"{drawn.random():.6f}",
                day,
                drawn.choice("rgb"),
                f"S{drawn.randrange(10**6):06d}",
                note,
            ]
            stream.write(",".join([*cells, drawn.choice("ab")]) + "\n")
    parquet.write_table(csv.read_csv(folder / "t.csv"), folder / "t.parquet")
    return folder


def spec_over(table: Path, folder: Path, name: str = "t.csv", **sections: Any) -> LoadedSpec:
    whole = {"name": "t", "data": {"source": str(table / name)}, "target": "y", **sections}
    (folder / "spec.yaml").write_text(json.dumps(whole))
    return load_spec(folder / "spec.yaml", data=True)


@pytest.mark.parametrize(("name", "exact"), [("t.csv", False), ("t.parquet", True)])
def test_a_sample_tells_rows_and_columns(name: str, exact: bool, table: Path, tmp_path: Path) -> None:
    facts = look(spec_over(table, tmp_path, name).spec)
    assert facts is not None
    assert facts.exact == exact
    assert facts.rows == (ROWS if exact else pytest.approx(ROWS, rel=0.02))
    assert (facts.columns, facts.codes, facts.terms) == (6, 2, 1)
    assert facts.bytes == (table / name).stat().st_size
    assert facts.raw > 100 and facts.scaled > 100  # most of them are the text's


def test_features_that_are_named_count_alone(table: Path, tmp_path: Path) -> None:
    facts = look(spec_over(table, tmp_path, features={"size": "number", "colour": "category"}).spec)
    assert facts is not None
    assert (facts.raw, facts.codes, facts.terms) == (1, 1, 0)


def test_statistics_of_categories_count_for_trees(table: Path, tmp_path: Path) -> None:
    native, target = (
        look(spec_over(table, tmp_path, model={"type": "lightgbm", "categories": way}).spec)
        for way in ("native", "both")
    )
    assert native is not None and target is not None
    assert (native.statistics, target.statistics) == (0, 2)


def test_nothing_is_known_behind_sql(table: Path, tmp_path: Path) -> None:
    data = {"source": str(table / "t.csv"), "sql": "SELECT * FROM source"}
    assert look(spec_over(table, tmp_path, data=data).spec) is None


def facts_of(rows: int) -> Facts:
    return Facts(rows, True, 180 * rows, 19, raw=70, scaled=75, codes=9, terms=1)


@pytest.mark.parametrize(
    ("model", "rows", "ceiling", "expected"),
    [
        ("lightgbm", 100_000, 1 << 30, None),
        ("lightgbm", 20_000_000, 64 << 30, None),
        ("linear", 20_000_000, 1 << 30, None),
        ("mlp", 20_000_000, 1 << 30, None),
    ],
)
def test_rows_that_fit_are_not_drawn_from(model: str, rows: int, ceiling: int, expected: None) -> None:
    assert tree_rows(facts_of(rows), model, ceiling) is expected


def test_trees_get_as_many_rows_as_memory_has_room_for() -> None:
    small, large = (tree_rows(facts_of(20_000_000), "lightgbm", size << 30) for size in (1, 2))
    assert small is not None and large is not None
    assert 1_000_000 < small < large < 20_000_000 and not small % 10_000


def test_the_plan_says_how_many_rows_trees_learn_from(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = make_plan(spec_over(table, tmp_path))
    assert "rows" not in free["train.lightgbm.final"].params
    monkeypatch.setattr("declarative_ml.planner.estimate._TREES", {"lightgbm": (1, 400_000)})
    monkeypatch.setattr("declarative_ml.planner.estimate._ROUND", 100)
    held = make_plan(spec_over(table, tmp_path, resources={"memory": "1Gi"}))
    step = held["train.lightgbm.final"]
    assert 100 <= step.params["rows"] < ROWS
    assert f"of the rows, {step.params['rows']:,} at most" in step.title
    assert held["baseline.train"].params["rows"] == free["baseline.train"].params["rows"] == BASELINE_ROWS


def test_trials_learn_from_as_many_rows_as_fits(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("declarative_ml.planner.estimate._TREES", {"lightgbm": (1, 400_000)})
    monkeypatch.setattr("declarative_ml.planner.estimate._ROUND", 100)
    plan = make_plan(
        spec_over(table, tmp_path, model="lightgbm", tune={"trials": 2}, resources={"memory": "1Gi"})
    )
    fit, trial = plan["train.lightgbm.final"], plan["tune.lightgbm.trial1"]
    assert trial.params["rows"] == fit.params["rows"]
    assert f"of the rows, {fit.params['rows']:,} at most" in trial.title


def test_the_student_of_auto_learns_from_as_many_rows_as_memory_has_room_for(
    table: Path, tmp_path: Path
) -> None:
    sections = {"model": {"type": "auto", "max_size": "1MB"}, "resources": {"memory": "512Mi"}}
    loaded = spec_over(table, tmp_path, **sections)
    wide = Facts(1_000_000, True, 1 << 30, 400, raw=300, scaled=600, codes=100, terms=0)
    plan = make_plan(loaded, facts=wide)
    step = plan["train.distilled.final"]
    assert 1_000 <= step.params["rows"] < 100_000
    assert estimates(plan, wide, 512 << 20)[step.id].peak_bytes <= 512 << 20
    narrow = make_plan(loaded, facts=facts_of(1_000_000))["train.distilled.final"]
    assert step.params["rows"] < narrow.params["rows"] <= 100_000


@pytest.mark.parametrize("model", ["linear", "mlp"])
def test_twenty_million_rows_are_not_refused_one_gibibyte(model: str, table: Path, tmp_path: Path) -> None:
    plan = make_plan(spec_over(table, tmp_path, model=model))
    assert too_little(estimates(plan, facts_of(20_000_000), 1 << 30), 1 << 30) is None


def test_memory_grows_with_rows_only_where_it_has_to(table: Path, tmp_path: Path) -> None:
    plan = make_plan(spec_over(table, tmp_path, model="linear"))
    few, many = (estimates(plan, facts_of(rows), 1 << 30) for rows in (1_000_000, 2_000_000))
    assert few["explain"].peak_bytes == many["explain"].peak_bytes
    for step in ("split", "train.linear.final"):
        grown = many[step].peak_bytes - few[step].peak_bytes
        assert 0 < grown < 150 * 1_000_000
        assert many[step].seconds > few[step].seconds


@pytest.mark.parametrize(
    ("rows", "measured"),
    [
        (100_000, {"acquire.source": 1.7, "split": 1.3, "profile": 1.8, "prepare": 8.1}),
        (1_000_000, {"acquire.source": 5.1, "split": 2.2, "profile": 1.8, "prepare": 13.2}),
        (3_000_000, {"acquire.source": 17.9, "split": 5.3, "profile": 4.2, "prepare": 24.4}),
    ],
)
def test_seconds_are_at_most_twice_or_half_those_measured(
    rows: int, measured: dict[str, float], table: Path, tmp_path: Path
) -> None:
    """Processor seconds of benchmarks/memory.py on the table of benchmarks/big_table.py."""
    found = estimates(make_plan(spec_over(table, tmp_path)), facts_of(rows))
    for step, seconds in measured.items():
        assert 0.5 < found[step].seconds / seconds < 2.0, step


@pytest.mark.parametrize("model", ["linear", "mlp", "lightgbm"])
def test_five_million_rows_are_not_refused_one_gibibyte(model: str, table: Path, tmp_path: Path) -> None:
    plan = make_plan(spec_over(table, tmp_path, model=model))
    most = tree_rows(facts_of(5_000_000), model, 1 << 30)
    steps = [
        step.model_copy(update={"params": {**step.params, "rows": most}})
        if step.kind == "train" and step.params["model"]["type"] == model
        else step
        for step in plan.steps
    ]
    found = estimates(plan.model_copy(update={"steps": tuple(steps)}), facts_of(5_000_000), 1 << 30)
    assert too_little(found, 1 << 30) is None


def test_too_little_names_the_step_and_what_it_needs(table: Path, tmp_path: Path) -> None:
    found = estimates(make_plan(spec_over(table, tmp_path)), facts_of(5_000_000), 512 << 20)
    short = too_little(found, 512 << 20)
    assert short is not None and short[1] > 512 << 20 and not short[1] % (64 << 20)
    assert found[short[0]].peak_bytes == max(item.peak_bytes for item in found.values())
    assert too_little(found, short[1]) is None


def test_plan_and_run_refuse_before_any_work(table: Path, tmp_path: Path, dml: Any) -> None:
    spec_over(table, tmp_path, resources={"memory": "512Mi"}, track=False)
    for verb in ("plan", "run"):
        ended = dml(verb, tmp_path / "spec.yaml")
        assert ended.code == 3
        assert "error DML210  resources.memory: 512Mi is too little" in ended.err + ended.out
        assert "write memory: " in ended.err + ended.out
    assert not (tmp_path / ".dml" / "runs").exists()


def test_plan_shows_the_estimates(table: Path, tmp_path: Path, dml: Any) -> None:
    spec_over(table, tmp_path, model="linear", track=False)
    shown = dml("plan", tmp_path / "spec.yaml").out
    assert "memory and seconds are estimated from a sample of them" in shown
    assert "rows of 6 columns" in shown
    assert shown.count(" rows · ") >= 6
