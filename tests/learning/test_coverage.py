from pathlib import Path

import numpy as np
import pytest

from declarative_ml.learning import scores
from declarative_ml.learning.coverage import interval_quality


def test_what_is_inside_and_how_wide_it_is() -> None:
    truth = np.array([0.0, 1.0, 2.0, 3.0, 9.0, -9.0, 4.0, 5.0, 6.0, 7.0])
    width = np.arange(1.0, 11.0)
    found = interval_quality(truth, np.arange(10.0) * 0 - 1, np.arange(10.0) * 0 - 1 + width, 0.9)
    assert found["level"] == 0.9 and found["rows"] == 10
    inside = (truth >= -1) & (truth <= width - 1)
    assert found["coverage"][0] == pytest.approx(inside.mean())
    assert found["coverage"][1] <= inside.mean() <= found["coverage"][2]
    assert found["width"][0] == pytest.approx(5.5)
    assert found["below"] == pytest.approx(0.1) and found["above"] == pytest.approx(0.9 - inside.mean())
    assert [group["width"] for group in found["groups"]] == pytest.approx([1.5, 3.5, 5.5, 7.5, 9.5])
    assert sum(group["rows"] * group["coverage"] for group in found["groups"]) == pytest.approx(inside.sum())


def test_few_rows_make_few_groups() -> None:
    found = interval_quality(np.zeros(2), -np.ones(2), np.ones(2), 0.5)
    assert [group["rows"] for group in found["groups"]] == [1, 1]
    assert found["coverage"] == [1.0, 1.0, 1.0]


def test_the_interval_of_the_coverage_is_that_of_a_share() -> None:
    truth = np.random.default_rng(0).uniform(size=1000)
    _, low, high = interval_quality(truth, np.zeros(1000), np.full(1000, 0.9), 0.9)["coverage"]
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.09 / 1000), rel=0.25)


def test_many_rows_are_measured_as_few(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    truth, middle = random.normal(size=5_003), random.normal(0.0, 0.2, 5_003)
    half = random.uniform(0.1, 2.0, 5_003)
    few = interval_quality(truth, middle - half, middle + half, 0.8)
    monkeypatch.setattr(scores, "AT_ONCE", 10)
    monkeypatch.setattr(scores, "_PART", 700)
    many = interval_quality(truth, middle - half, middle + half, 0.8, scratch=tmp_path)
    for name in ("coverage", "width"):
        assert many.pop(name) == pytest.approx(few.pop(name), rel=1e-12)
    for one, other in zip(many.pop("groups"), few.pop("groups"), strict=True):
        assert one == pytest.approx(other, rel=1e-12)
    assert many == few and not list(tmp_path.iterdir())


def test_rows_of_one_width_are_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "AT_ONCE", 1)
    found = interval_quality(np.arange(10.0), np.zeros(10), np.full(10, 4.5), 0.5)
    assert found["groups"] == [{"rows": 2, "width": 4.5, "coverage": pytest.approx(0.5)}] * 5
