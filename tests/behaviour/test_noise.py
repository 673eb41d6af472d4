from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from declarative_ml.behaviour.noise import JITTER, fits, noisy, typo
from tests.behaviour.subjects import INPUTS


def texts(*values: str) -> np.ndarray:
    return np.array(values, dtype=object).reshape(-1, 1)


@pytest.mark.parametrize("text", ["Oslo", "A", "aa", "  ", "ünï ☃", "a much longer text " * 10])
def test_a_typo_is_small_and_never_nothing_but_a_blank(text: str) -> None:
    random = np.random.default_rng(0)
    found = [typo(text, random) for _ in range(50)]
    assert all(abs(len(typed) - len(text)) <= 1 + len(text) // 20 and typed for typed in found)
    assert sum(typed != text for typed in found) >= 45


@pytest.mark.parametrize(
    ("noise", "values", "forms"),
    [
        ("case", ["Oslo", "", "ROME"], [["OSLO", "", "ROME"], ["oslo", "", "rome"]]),
        ("whitespace", ["New York", ""], [[" New  York ", ""]]),
        ("missing", ["Oslo", ""], [["", ""]]),
    ],
)
def test_what_noise_makes_of_texts(noise: Any, values: list[str], forms: list[list[str]]) -> None:
    found = list(noisy(noise, texts(*values), np.random.default_rng(0)))
    assert [column[:, 0].tolist() for column in found] == forms


def test_jitter_is_a_share_of_the_spread_and_keeps_what_is_missing() -> None:
    values = np.array([[0.0], [10.0], [np.nan]], dtype=np.float32)
    (found,) = noisy("jitter", values, np.random.default_rng(0))
    assert np.abs(found - values)[:2, 0] == pytest.approx(JITTER * 5.0, rel=1e-4)
    assert np.isnan(found[2, 0])
    (empty,) = noisy("jitter", values[2:], np.random.default_rng(0))
    assert np.isnan(empty).all()


@pytest.mark.parametrize(
    ("noise", "columns"),
    [("missing", ["age", "city", "seen", "member"]), ("typos", ["city"]), ("jitter", ["age"])],
)
def test_what_noise_happens_to(noise: Any, columns: list[str]) -> None:
    assert [item.name for item in INPUTS if fits(noise, item)] == columns
