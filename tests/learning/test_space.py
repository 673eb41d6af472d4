from typing import Any

import pytest
from pydantic import ValidationError

from declarative_ml.learning.space import Dimension, Span


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "a range needs 'low' and 'high'"),
        ({"high": 3}, "a range needs 'low' and 'high'"),
        ({"low": 3, "high": 3}, "low must be below high"),
        ({"low": 0, "high": 1, "log": True}, "'low' must be above 0"),
        ({"low": 1, "high": 9, "log": True, "step": 2}, "exclude each other"),
        ({"choices": [1, 2], "low": 1, "log": True}, "delete low and log"),
        ({"choices": [1]}, "at least 2 items"),
        ({"low": 1, "high": 2, "step": 0}, "greater than 0"),
    ],
)
def test_spans_that_cannot_be(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Span.model_validate(fields)


@pytest.mark.parametrize(
    ("fields", "inside", "outside"),
    [
        ({"low": 0.1, "high": 1.0}, [0.1, 0.5, 1.0, 1], [0.09, 1.01, True, None, "a", [1]]),
        ({"low": 4, "high": 11, "step": 3, "integer": True}, [4, 7, 10], [5, 11, 13]),
        ({"low": 0.0, "high": 1.0, "step": 0.1}, [0.1 * 3, 0.7, 1.0], [0.25]),
        ({"choices": [True, False]}, [True], [1, 0, None]),
        ({"choices": [1, 2.5, None, "a", [64, 64]]}, [1, 2.5, None, "a", [64, 64], (64, 64)], [True, 64, []]),
    ],
)
def test_what_a_dimension_holds(fields: dict[str, Any], inside: list[Any], outside: list[Any]) -> None:
    dimension = Dimension.model_validate(fields)
    assert [value for value in inside if not dimension.holds(value)] == []
    assert [value for value in outside if dimension.holds(value)] == []


def test_a_dimension_comes_back_from_json() -> None:
    dimension = Dimension(low=4, high=11, step=3, integer=True)
    assert Dimension.model_validate(dimension.values()) == dimension
    assert dimension.values() == {"low": 4.0, "high": 11.0, "step": 3.0, "integer": True}
    assert dimension.top == 10
