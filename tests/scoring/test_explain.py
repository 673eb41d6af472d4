import json

import numpy as np
import pytest

from declarative_ml.core.errors import DataError
from declarative_ml.scoring.explain import background_rows, explain_inputs

ROWS = [{"age": 50, "visits": 1, "city": "Rome"}, {"age": None, "visits": 0, "city": "Atlantis"}]


def test_a_number_is_explained_in_its_own_unit(make_scorer):
    scorer = make_scorer("number")
    found = explain_inputs(scorer, scorer.raw_rows(ROWS)[0])
    assert found.names == ("age", "visits", "city")
    assert found.method == "exact"
    # background margins: -0.5 - 1.0, 0.5 * 4 + 2.0, 0.0 + 0.0
    assert found.base == pytest.approx([(-1.5 + 4.0 + 0.0) / 3], abs=1e-6)
    assert found.base + found.values.sum(axis=1) == pytest.approx(np.array([[4.0], [0.0]]), abs=1e-6)
    # the city only adds: its own effect less the mean effect of the background's cities
    assert found.values[:, 2, 0] == pytest.approx([2.0 - 1 / 3, 0.0 - 1 / 3], abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "classes", "outputs"), [("binary", ("n", "y"), 1), ("multiclass", ("a", "b", "c"), 3)]
)
def test_classes_are_explained_as_probabilities(make_scorer, kind, classes, outputs):
    scorer = make_scorer(kind, classes)
    inputs, _ = scorer.raw_rows(ROWS)
    found = explain_inputs(scorer, inputs)
    assert found.values.shape == (2, 3, outputs)
    assert found.base + found.values.sum(axis=1) == pytest.approx(scorer.explained_output(inputs), abs=1e-6)
    if kind == "multiclass":
        assert found.values.sum(axis=2) == pytest.approx(np.zeros((2, 3)), abs=1e-6)


def test_background_rows_come_with_missing_values(make_scorer):
    found = background_rows(make_scorer("number"))
    assert found["age"].dtype == np.float32
    assert np.array_equal(found["age"], [[20.0], [40.0], [np.nan]], equal_nan=True)
    assert found["city"].tolist() == [["Bern"], ["Rome"], [""]]


def test_a_bundle_without_background_rows_says_so(make_scorer):
    scorer = make_scorer("number")
    (scorer.bundle.path / "reference.json").write_text(json.dumps({"columns": {}}))
    with pytest.raises(DataError, match="no background rows for 'age', 'visits', 'city'") as caught:
        explain_inputs(scorer, scorer.raw_rows(ROWS)[0])
    assert "explain.background" in caught.value.hint
