import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from declarative_ml.core.errors import DataError
from declarative_ml.scoring import scorer as scorer_module
from declarative_ml.scoring.scorer import Scorer, Unfit, missing_columns
from declarative_ml.store.bundle import Bundle, write_bundle

ROWS = [
    {"age": 50, "visits": 1, "city": "Rome"},
    {"age": None, "visits": 0, "city": "Oslo"},
    {"age": "20", "visits": "2", "city": "Bern"},
    {"age": 31.5, "visits": 0, "city": "Atlantis"},
    {"age": "?", "visits": 0, "city": None},
]
MARGINS = [4.0, 0.5, -2.5, 0.075, 0.0]


def test_numbers_are_what_the_graph_computes(make_scorer):
    scored = make_scorer("number").predict_rows(ROWS)
    assert scored.prediction == pytest.approx(MARGINS, abs=1e-6)
    assert scored.prediction.dtype == np.float32
    assert scored.probabilities is None
    assert len(scored) == 5


def test_classes_come_with_probabilities_and_the_graphs_threshold(make_scorer):
    scored = make_scorer("binary", ("no", "yes")).predict_rows(ROWS)
    positive = 1 / (1 + np.exp(-np.array(MARGINS)))
    assert scored.probabilities == pytest.approx(np.stack([1 - positive, positive], axis=1), abs=1e-6)
    assert scored.prediction.tolist() == ["yes", "yes", "no", "no", "no"]


def test_multiclass_probabilities_follow_the_order_of_the_classes(make_scorer):
    scorer = make_scorer("multiclass", ("low", "mid", "high"))
    scored = scorer.predict_rows(ROWS[:3])
    assert scored.prediction.tolist() == ["high", "high", "low"]
    assert scored.probabilities.shape == (3, 3)
    assert scored.probabilities.sum(axis=1) == pytest.approx(1.0)
    assert scorer.positive_index is None


@pytest.mark.parametrize(
    ("classes", "rule", "expected"),
    [
        (("0", "1"), {"type": "integer"}, [1, 0]),
        (("-1", "10"), {"type": "integer"}, [10, -1]),
        (("false", "true"), {"type": "boolean"}, [True, False]),
        (("no", "yes"), {"type": "boolean"}, ["yes", "no"]),
        (("0", "1"), {"type": "text"}, ["1", "0"]),
        (("0", "1"), None, ["1", "0"]),
        (("<5", "5"), {"type": "integer"}, [5, "<5"]),
    ],
)
def test_labels_come_back_in_the_type_of_the_target(make_scorer, classes, rule, expected):
    scored = make_scorer("binary", classes, target_rule=rule).predict_rows([ROWS[0], ROWS[2]])
    assert scored.prediction.tolist() == expected
    assert [type(label) for label in scored.prediction] == [type(label) for label in expected]


def test_rows_columns_and_raw_arrays_agree(make_scorer):
    scorer = make_scorer("binary", ("no", "yes"))
    by_rows = scorer.predict_rows(ROWS).probabilities
    columns = {name: [row[name] for row in ROWS] for name in scorer.columns}
    assert np.array_equal(scorer.predict_columns(columns).probabilities, by_rows)
    raw = {
        "age": np.array([50, np.nan, 20, 31.5, np.nan], np.float32),
        "visits": np.array([[1], [0], [2], [0], [0]], np.float64),
        "city": np.array(["Rome", "Oslo", "Bern", "Atlantis", ""]),
    }
    assert np.array_equal(scorer.predict_raw(raw).probabilities, by_rows)


def test_large_inputs_are_cut_and_give_the_same_answers(make_scorer, monkeypatch):
    scorer = make_scorer("binary", ("no", "yes"))
    whole = scorer.predict_rows(ROWS * 3)
    monkeypatch.setattr(scorer_module, "BATCH_ROWS", 4)
    seen = []
    run = scorer._quick_run

    def watched(names, feed):
        seen.append(len(feed["age"]))
        return run(names, feed)

    scorer._quick_run = watched
    cut = scorer.predict_rows(ROWS * 3)
    assert seen == [4, 4, 4, 3]
    assert cut.prediction.tolist() == whole.prediction.tolist()
    assert cut.probabilities == pytest.approx(whole.probabilities, abs=1e-7)


@pytest.mark.parametrize(
    ("kind", "classes"), [("number", ()), ("binary", ("n", "y")), ("multiclass", ("a", "b", "c"))]
)
def test_no_rows_give_no_answers(make_scorer, kind, classes):
    scored = make_scorer(kind, classes).predict_rows([])
    assert len(scored) == 0
    if classes:
        assert scored.probabilities.shape == (0, len(classes))


@pytest.mark.parametrize(
    ("row", "message", "hint"),
    [
        ({"age": 1, "visits": 1}, "row 2 lacks the column(s) 'city'", "Send null where a value is not known"),
        (
            {"age": 1, "visits": 1, "cty": "x"},
            "row 2 lacks the column(s) 'city'",
            "'cty': did you mean 'city'?",
        ),
        (
            {"age": 1, "visits": 1, "city": "x", "ages": 3},
            "row 2 has columns that the model does not take: 'ages'",
            "'ages': did you mean 'age'?",
        ),
        (
            {"age": 1, "visits": 1, "city": "x", "zzz": 3},
            "does not take: 'zzz'",
            "It takes age, visits, city.",
        ),
        (
            {"age": "old", "visits": 1, "city": "x"},
            "1 value(s) do not fit: column 'age', row 2: 'old' is not a number",
            "send null",
        ),
        ({"age": 1, "visits": "many", "city": "x"}, "row 2: 'many' is not an integer", "send null"),
        ({"age": [1], "visits": 1, "city": "x"}, "column 'age', row 2: [1] is not a number", "send null"),
        ([1, 2, "x"], "row 2 is [1, 2, 'x'], not an object", None),
    ],
)
def test_rows_that_do_not_fit_are_refused_with_their_place(make_scorer, row, message, hint):
    with pytest.raises(DataError) as caught:
        make_scorer("number").predict_rows([ROWS[0], row])
    assert message in caught.value.message
    assert hint is None or hint in caught.value.hint


def test_only_the_first_misfits_are_listed(make_scorer):
    with pytest.raises(DataError, match=r"8 value\(s\) do not fit.*row 5: 'x' is not a number; and 3 more"):
        make_scorer("number").predict_columns({"age": ["x"] * 8, "visits": [0] * 8, "city": [""] * 8})


def test_misfits_count_as_missing_when_not_strict(make_scorer):
    rows = [{"age": "old", "visits": 0, "city": "Oslo"}, ROWS[0]]
    scored = make_scorer("number").predict_rows(rows, strict=False)
    assert scored.prediction == pytest.approx([0.5, 4.0], abs=1e-6)
    assert scored.unfit == (Unfit(0, "age", "old"),)


def test_extra_columns_are_passed_over_on_request(make_scorer):
    rows = [{**ROWS[0], "id": 7}]
    assert make_scorer("number").predict_rows(rows, ignore_extra=True).prediction == pytest.approx([4.0])


def test_the_bundles_own_spellings_of_missing_count(make_scorer):
    scorer = make_scorer("number", missing=["-"])
    assert scorer.predict_rows([{"age": "-", "visits": 0, "city": "-"}]).prediction == pytest.approx([0.0])


def test_columns_of_unequal_length_are_refused(make_scorer):
    with pytest.raises(DataError, match=r"unequal numbers of rows \(age: 2, visits: 1, city: 1\)"):
        make_scorer("number").predict_columns({"age": [1, 2], "visits": [1], "city": ["x"]})


def test_raw_arrays_must_hold_every_column(make_scorer):
    with pytest.raises(DataError, match="the data lacks the column\\(s\\) 'visits', 'city'"):
        make_scorer("number").predict_raw({"age": np.zeros(1, np.float32)})


def test_explained_output_is_the_positive_probability_the_probabilities_or_the_number(make_scorer):
    binary, many, number = (
        make_scorer("binary", ("no", "yes")),
        make_scorer("multiclass", ("a", "b", "c")),
        make_scorer("number"),
    )
    raw, _ = number.raw_rows(ROWS)
    assert np.array_equal(binary.explained_output(raw)[:, 0], binary.predict_raw(raw).probabilities[:, 1])
    assert many.explained_output(raw).shape == (5, 3)
    assert number.explained_output(raw)[:, 0] == pytest.approx(MARGINS, abs=1e-6)


def rewritten(bundle: Bundle, **changes) -> Bundle:
    fields = bundle.manifest.model_dump(mode="json")
    for computed in ("format", "model_digest", "files"):
        fields.pop(computed)
    write_bundle(bundle.path, {**fields, **changes}, {})
    return Bundle.open(bundle.path)


def test_a_graph_that_is_no_graph_is_refused(binary_bundle):
    (binary_bundle.path / "model.onnx").write_bytes(b"\x08\x07nonsense")
    with pytest.raises(DataError, match=r"model\.onnx cannot be loaded"):
        Scorer(binary_bundle)


def test_a_graph_that_takes_other_columns_than_the_manifest_says_is_refused(binary_bundle):
    inputs = binary_bundle.manifest.model_dump(mode="json")["inputs"][:2]
    with pytest.raises(DataError, match=r"model\.onnx takes .*'city'.* the manifest says"):
        Scorer(rewritten(binary_bundle, inputs=inputs))


def test_a_graph_without_ends_cannot_serve_intervals(make_scorer):
    assert make_scorer("number").predict_rows([{"age": 50, "visits": 1, "city": "Rome"}]).lower is None
    with pytest.raises(DataError, match="has no output lower, upper"):
        Scorer(rewritten(make_scorer("number").bundle, interval=0.9))


def test_rows_come_back_with_their_interval(make_scorer):
    scored = make_scorer("number", interval=0.9).predict_rows([{"age": 50, "visits": 1, "city": "Rome"}])
    found = [float(values[0]) for values in (scored.lower, scored.prediction, scored.upper)]
    assert found == pytest.approx([2.0, 4.0, 8.0])


def test_a_graph_without_probabilities_cannot_serve_classes(make_scorer):
    number = make_scorer("number").bundle
    task = {"target": "answer", "type": "binary", "classes": ["no", "yes"]}
    with pytest.raises(DataError, match="has no output probabilities"):
        Scorer(rewritten(number, task=task))


BLOCKED = (
    "torch mlflow pandas shap sklearn lightgbm pyarrow duckdb matplotlib onnx scipy jinja2 rich yaml click"
)


def test_scoring_and_explaining_need_onnxruntime_and_numpy_only(binary_bundle, tmp_path):
    program = f"""
        import sys

        class Block:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in {BLOCKED.split()!r}:
                    raise ImportError(f"{{name}} is blocked")

        sys.meta_path.insert(0, Block())
        from declarative_ml.scoring.explain import explain_inputs
        from declarative_ml.scoring.scorer import Scorer
        assert "onnxruntime" not in sys.modules
        from declarative_ml.store.bundle import Bundle

        scorer = Scorer(Bundle.open({str(binary_bundle.path)!r}, verify=True))
        rows = {ROWS!r}
        print(*scorer.predict_rows(rows).prediction)
        print(explain_inputs(scorer, scorer.raw_rows(rows)[0]).method)
    """
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert run.stderr == ""
    assert run.stdout.split() == ["yes", "yes", "no", "no", "no", "exact"]


def test_of_many_absent_columns_some_are_named():
    message = missing_columns([f"c{number}" for number in range(256)], "row 1").message
    assert message.endswith("'c18', 'c19' and 236 more")
