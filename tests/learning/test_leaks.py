import random

import pytest

from declarative_ml.learning.leaks import Outcome, correlation, parts

CLASSES = ["yes", "no", "no"] * 20
NAMES = {"yes": "Y", "no": "N"}


@pytest.mark.parametrize(
    ("levels", "outcome", "found"),
    [
        ([NAMES[each] for each in CLASSES], CLASSES, True),
        ([f"{each}{row % 2}" for row, each in enumerate(CLASSES)], CLASSES, True),
        ([row % 3 for row in range(60)], CLASSES, True),
        ([*CLASSES[:-1], "yes"], CLASSES, False),
        (list(range(60)), CLASSES, False),
        ([row // 5 for row in range(60)], [row // 5 for row in range(60)], False),
        (["a"] * 60, CLASSES, False),
        (["a"] * 9 + ["b"] * 51, ["x"] * 9 + ["y"] * 51, False),
        ([row // 10 for row in range(2000)], [row // 10 % 3 for row in range(2000)], False),
        ([row // 10 for row in range(2000)], [f"c{row // 10}" for row in range(2000)], True),
        ([row // 40 for row in range(2000)], [row // 40 % 3 for row in range(2000)], True),
        ([], [], False),
    ],
    ids=["recoding", "finer", "numbers", "one-exception", "unique", "few-rows-a-level", "constant", "rare",
         "many-levels", "many-levels-recoding", "fifty-levels", "nothing"],
)  # fmt: skip
def test_a_column_that_determines_the_outcome(
    levels: list[object], outcome: list[object], found: bool
) -> None:
    assert Outcome(outcome).determined_by(levels) is found


@pytest.mark.parametrize(
    ("levels", "outcome", "found"),
    [
        ([row if each == "yes" else 0 for row, each in enumerate(CLASSES, 1)], CLASSES, (0, "no")),
        (["" if each == "yes" else f"{row}" for row, each in enumerate(CLASSES)], CLASSES, ("", "yes")),
        ([row if each == "yes" else 0 for row, each in enumerate(CLASSES)], CLASSES, None),
        ([row if row % 3 else 7.5 for row in range(60)], [row % 3 for row in range(60)], None),
        ([row if row < 9 else 0 for row in range(1, 61)], ["y"] * 8 + ["n"] * 52, None),
    ],
    ids=["amount", "missing", "one-exception", "three-classes", "rare"],
)
def test_a_value_that_marks_an_outcome(levels: list[object], outcome: list[object], found: object) -> None:
    assert Outcome(outcome).marked_by(levels) == found


def test_correlation_is_pearsons() -> None:
    numpy = pytest.importorskip("numpy")
    draw = random.Random(1)
    a = [draw.gauss(3, 2) for _ in range(200)]
    b = [-2 * value + draw.gauss(0, 1) for value in a]
    assert correlation(a, b) == pytest.approx(abs(numpy.corrcoef(a, b)[0, 1]), abs=1e-12)
    assert correlation(a, [1.8 * value + 32 for value in a]) == pytest.approx(1.0)
    assert correlation(a, [5.0] * 200) == correlation([], []) == 0.0


@pytest.mark.parametrize(
    ("total", "found"),
    [
        (lambda a, b, c: a + b, ("a", "+", "b")),
        (lambda a, b, c: b - c, ("b", "-", "c")),
        (lambda a, b, c: c - a, ("c", "-", "a")),
        (lambda a, b, c: a + b + c, None),
        (lambda a, b, c: a * b, None),
        (lambda a, b, c: 7.0, None),
    ],
)
def test_two_columns_that_add_up(total: object, found: object) -> None:
    draw = random.Random(2)
    numbers = {name: [draw.uniform(-9, 9) for _ in range(80)] for name in "abc"}
    numbers["zero"] = [0.0] * 80
    outcome = [total(*row) for row in zip(*list(numbers.values())[:3])]  # type: ignore[operator]
    assert parts(numbers, outcome) == found
