from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from declarative_ml.core.errors import DataError
from declarative_ml.scoring.table import score_batches, score_fields

TEXT = {
    "id": ["1", "2", "3"],
    "age": ["50", "?", " 20 "],
    "visits": ["1", "0", "2"],
    "city": ["Rome", "Oslo", "Bern"],
}
TYPED = {
    "id": [1, 2, 3],
    "age": [50.0, None, 20.0],
    "visits": pa.array([1, 0, 2], pa.int32()),
    "city": pa.array(["Rome", "Oslo", "Bern"]).dictionary_encode(),
}


def score(scorer, *batches, **options) -> pa.Table:
    return pa.Table.from_batches(list(score_batches(scorer, iter(map(pa.record_batch, batches)), **options)))


@pytest.mark.parametrize("columns", [TEXT, TYPED])
def test_text_and_typed_batches_give_the_same_numbers(make_scorer, columns):
    found = score(make_scorer("number"), columns)
    assert found.column_names == ["prediction"]
    assert found["prediction"].type == pa.float32()
    assert found["prediction"].to_pylist() == pytest.approx([4.0, 0.5, -2.5], abs=1e-6)


def test_intervals_stand_beside_the_number(make_scorer):
    scorer = make_scorer("number", interval=0.9)
    found = score(scorer, TEXT, TEXT, keep=["id"])
    assert found.column_names == ["id", "prediction", "lower", "upper"]
    assert [found[name].type for name in ("lower", "upper")] == [pa.float32()] * 2
    assert found["lower"].to_pylist() == pytest.approx([2.0, 0.25, -3.75] * 2, abs=1e-6)
    assert found["upper"].to_pylist() == pytest.approx([8.0, 1.0, 0.0] * 2, abs=1e-6)
    assert score(scorer, {name: values[:0] for name, values in TEXT.items()}).num_rows == 0
    with pytest.raises(DataError, match=r"cannot keep the column\(s\) 'upper': predictions take these names"):
        score_fields(scorer, pa.schema([("upper", pa.string())]), ["upper"])


def test_binary_output_has_the_positive_probability_and_keeps_columns_in_order(make_scorer):
    found = score(make_scorer("binary", ("no", "yes")), TEXT, TEXT, keep=["city", "id"])
    names = ["city", "id", "prediction", "probability", "probability_no", "probability_yes"]
    assert found.column_names == names
    assert found["id"].to_pylist() == ["1", "2", "3"] * 2
    assert found["prediction"].to_pylist() == ["yes", "yes", "no"] * 2
    assert found["probability"].to_pylist() == found["probability_yes"].to_pylist()
    assert found["probability"].to_pylist()[:2] == pytest.approx(1 / (1 + np.exp([-4.0, -0.5])), abs=1e-6)


def test_multiclass_output_has_the_predicted_classes_probability(make_scorer):
    found = score(make_scorer("multiclass", ("a", "b", "c")), TEXT).to_pylist()
    for row in found:
        assert row["probability"] == row[f"probability_{row['prediction']}"]


@pytest.mark.parametrize(
    ("classes", "rule", "kind"),
    [
        (("0", "1"), "integer", pa.int64()),
        (("false", "true"), "boolean", pa.bool_()),
        (("no", "yes"), "text", pa.string()),
        (("<5", "5"), "integer", pa.string()),
    ],
)
def test_labels_have_the_arrow_type_of_the_target(make_scorer, classes, rule, kind):
    scorer = make_scorer("binary", classes, target_rule={"type": rule})
    found = score(scorer, TEXT)["prediction"]
    assert found.type == kind
    assert str(found[0].as_py()).lower() == classes[1]


def test_values_that_do_not_fit_are_named_with_rows_over_all_batches(make_scorer):
    bad = {**TEXT, "age": ["50", "old", "20"]}
    with pytest.raises(DataError, match="column 'age', row 5: 'old' is not a number"):
        score(make_scorer("number"), TEXT, bad)


def test_values_that_do_not_fit_count_as_missing_on_request(make_scorer):
    bad = {**TEXT, "age": ["50", "old", "20"], "visits": ["1", "0", "few"]}
    misfits: Counter[str] = Counter()
    found = score(make_scorer("number"), TEXT, bad, strict=False, misfits=misfits)
    assert found["prediction"].to_pylist()[4] == pytest.approx(0.5)
    assert misfits == {"age": 1, "visits": 1}


def test_batches_and_rows_agree_on_odd_values(make_scorer):
    scorer = make_scorer("number")
    odd = {
        "age": ["1e2", "+3", "1e400", "", "3.5"],
        "visits": ["1.5", "2.0", "007", "-1", "0"],
        "city": [" Rome", "rome", "NA", "", "Bern"],
    }
    rows = [dict(zip(odd, cells)) for cells in zip(*odd.values())]
    by_rows = scorer.predict_rows(rows, strict=False)
    misfits: Counter[str] = Counter()
    found = score(scorer, odd, strict=False, misfits=misfits)
    assert np.array_equal(found["prediction"].to_numpy(), by_rows.prediction, equal_nan=True)
    assert misfits == Counter(bad.column for bad in by_rows.unfit)


def test_a_missing_column_is_named_with_the_nearest(make_scorer):
    renamed = {("Age" if name == "age" else name): values for name, values in TEXT.items()}
    with pytest.raises(DataError, match="the data lacks the column\\(s\\) 'age'") as caught:
        score(make_scorer("number"), renamed)
    assert "'Age': did you mean 'age'?" in caught.value.hint


@pytest.mark.parametrize(
    ("columns", "keep", "message"),
    [
        (TEXT, ["nope"], r"cannot keep the column\(s\) 'nope': not in the data"),
        ({**TEXT, "prediction": [1, 2, 3]}, ["prediction"], "predictions take these names"),
    ],
)
def test_columns_that_cannot_be_kept_are_refused(make_scorer, columns, keep, message):
    with pytest.raises(DataError, match=message):
        score(make_scorer("number"), columns, keep=keep)


def test_an_empty_batch_keeps_the_schema(make_scorer):
    scorer = make_scorer("binary", ("no", "yes"))
    empty = {name: pa.array([], pa.string()) for name in TEXT}
    found = score(scorer, empty, keep=["id"])
    assert found.num_rows == 0
    assert list(found.schema) == score_fields(scorer, pa.record_batch(empty).schema, ["id"])
