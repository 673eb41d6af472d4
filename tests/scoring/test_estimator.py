"""The wrapper that looks like scikit-learn's estimators, over hand-made bundles."""

from datetime import date

import numpy as np
import pandas
import pyarrow as pa
import pytest

from declarative_ml.core.errors import DataError
from declarative_ml.scoring.estimator import Estimator

COLUMNS = {"age": [20.0, 40.0, None], "visits": [0, 3, 1], "city": ["Bern", "Rome", None]}
ROWS = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]
FRAME = pandas.DataFrame(COLUMNS)

TABLES = {
    "dict of columns": COLUMNS,
    "dict of arrays": {name: np.array(values, dtype=object) for name, values in COLUMNS.items()},
    "list of dicts": ROWS,
    "pandas": FRAME,
    "pandas, other order, one column more": FRAME.assign(other=1)[["other", "city", "age", "visits"]],
    "pandas, other index": FRAME.set_index(pandas.Index([9, 9, 2])),
    "pandas with NA": FRAME.astype({"visits": "Int64"}).convert_dtypes(),
    "pyarrow table": pa.table(COLUMNS),
    "pyarrow batch": pa.RecordBatch.from_pydict(COLUMNS),
    "numpy": np.array([[row[name] for name in COLUMNS] for row in ROWS], dtype=object),
}


@pytest.fixture
def estimator(binary_bundle):
    return Estimator(binary_bundle.path)


@pytest.mark.parametrize("kind", TABLES)
def test_every_kind_of_table_is_read_alike(estimator, kind):
    expected = estimator.scorer.predict_rows(ROWS)
    np.testing.assert_array_equal(estimator.predict_proba(TABLES[kind]), expected.probabilities)
    assert estimator.predict(TABLES[kind]).tolist() == expected.prediction.tolist()


def test_polars_is_read_too(estimator):
    polars = pytest.importorskip("polars")
    found = estimator.predict_proba(polars.DataFrame(COLUMNS))
    np.testing.assert_array_equal(found, estimator.predict_proba(ROWS))


def test_it_tells_its_columns_and_classes(estimator):
    assert estimator.feature_names_in_.tolist() == ["age", "visits", "city"]
    assert estimator.n_features_in_ == 3
    assert estimator.classes_.tolist() == ["no", "yes"]
    assert estimator.predict_proba([]).shape == (0, 2)
    chosen = estimator.classes_[(estimator.predict_proba(ROWS)[:, 1] >= 0.6).astype(int)]
    assert estimator.predict(ROWS).tolist() == chosen.tolist()


def test_a_number_has_predictions_alone(make_scorer):
    estimator = Estimator(make_scorer("number").bundle.path)
    assert estimator.predict(ROWS).dtype == np.float32
    with pytest.raises(AttributeError, match="'answer' is a number"):
        estimator.predict_proba(ROWS)
    assert not hasattr(estimator, "classes_")


def test_labels_have_the_type_that_they_had(make_scorer):
    scorer = make_scorer("multiclass", ("0", "1", "2"), target_rule={"type": "integer"})
    estimator = Estimator(scorer.bundle.path)
    assert estimator.classes_.dtype == np.int64
    assert estimator.predict(ROWS).dtype == np.int64


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (FRAME.drop(columns="city"), "lacks the column.s. 'city'"),
        ({"age": [1], "visits": [2]}, "lacks the column.s. 'city'"),
        ([ROWS[0], {"age": 1, "city": ""}], "row 2 lacks the column.s. 'visits'"),
        ([[1, 2, "Bern"]], r"row 1 is \[1, 2, 'Bern'\], not a mapping"),
        (np.zeros((2, 4)), "the array has 4 columns, the model takes 3"),
        (np.zeros(3), r"the array has 1 dimension\(s\), not 2"),
        ({**COLUMNS, "age": [1, 2, "old"]}, "column 'age', row 3: 'old' is not a number"),
        ({**COLUMNS, "age": [1, date(2024, 1, 1), 2]}, "column 'age', row 2"),
        ({**COLUMNS, "age": [1]}, "unequal numbers of rows"),
        ("Bern", "a str is no table"),
        (7, "a int is no table"),
    ],
)
def test_what_does_not_fit_is_named(estimator, table, message):
    with pytest.raises(DataError, match=message):
        estimator.predict(table)


def test_names_that_are_no_texts_are_read_as_such(estimator):
    frame = FRAME.copy()
    frame.columns = [pandas.Index([name], dtype=object)[0] for name in COLUMNS]
    assert estimator.predict(frame.assign(**{"2": 0})).tolist() == estimator.predict(FRAME).tolist()


def test_columns_of_one_name_are_refused(estimator):
    twice = pandas.concat([FRAME, FRAME[["age"]]], axis=1)
    with pytest.raises(DataError, match="several columns called 'age'"):
        estimator.predict(twice)
