import pytest

from declarative_ml.learning.words import is_prose, wording


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ([], (None, None)),
        (["one two", "one two three", "x"], (2.0, 1.0)),
        (["Mr John Smith"], (3.0, 0.0)),
        (["12 Main St", "see b"], (2.5, 0.4)),
        (["a\u00a0b\tc\nd"], (4.0, 1.0)),
        (["Été été"], (2.0, 0.5)),
        (["我很喜欢这本书"], (4.0, 1.0)),
        (["   ", "…"], (0.5, 0.0)),
    ],
)
def test_wording(texts, found):
    assert wording(texts) == pytest.approx(found)


def test_only_some_texts_are_looked_at():
    assert wording(["a b c"] * 100_000 + ["a"] * 10) == (3.0, 1.0)
    assert wording(["a " * 1_000_000]) == (5_000.0, 1.0)


@pytest.mark.parametrize(
    ("words", "lower", "prose"),
    [
        (None, None, False),
        (4.0, 0.0, False),
        (5.0, 0.0, True),
        (3.0, 0.3, True),
        (3.0, 0.2, False),
        (2.5, 1.0, False),
    ],
)
def test_is_prose(words, lower, prose):
    assert is_prose(words, lower) is prose
