import pyarrow as pa
import pytest

from declarative_ml.learning.leak_search import Leak, find_leaks

ROWS = 300
IS_YES = [n % 3 == 0 for n in range(ROWS)]
TRUTH = ["yes" if yes else "no" for yes in IS_YES]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (["Y" if yes else "N" for yes in IS_YES], "each of its values has one value of the target 'y'"),
        ([n if yes else 0 for n, yes in enumerate(IS_YES, 1)], "it is 0 exactly where the target 'y' is no"),
        (
            [f"d{n}" if yes else None for n, yes in enumerate(IS_YES)],
            "it is missing exactly where the target 'y' is no",
        ),
        ([1.5 if yes else 2.5 for yes in IS_YES], "it is the target 'y' in other numbers"),
    ],
)
def test_a_column_that_tells_the_class(values: list[object], reason: str) -> None:
    table = pa.table({"x": values, "z": [n % 7 for n in range(ROWS)], "y": TRUTH})
    assert find_leaks(table, "y", ["x", "z", "y"]) == [Leak(("x",), reason)]


def test_columns_that_add_up_to_a_number() -> None:
    a, b = [n * 7919 % 101 for n in range(ROWS)], [n * 104729 % 97 for n in range(ROWS)]
    table = pa.table({"a": a, "b": b, "y": [x + y for x, y in zip(a, b)]})
    leak = Leak(("a", "b"), "a and b together give the target 'y'")
    assert find_leaks(table, "y", ["a", "b"]) == [leak]


def test_rows_without_target_do_not_count() -> None:
    table = pa.table({"x": ["a", "b", "a"] * 40, "y": pa.array(["1", "2", None] * 40)})
    assert [leak.columns for leak in find_leaks(table, "y", ["x"])] == [("x",)]
    assert find_leaks(table.slice(0, 20), "y", ["x"]) == []
