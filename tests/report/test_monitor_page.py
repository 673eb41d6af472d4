"""The page of a model in service, from facts made by hand: what it says, and how it looks in a browser."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import chromium

from declarative_ml.core.task import Task
from declarative_ml.learning.answer_reference import answer_reference
from declarative_ml.learning.drift_counts import WindowCounts
from declarative_ml.learning.drift_windows import judge
from declarative_ml.report.monitor import finding, render_monitored
from declarative_ml.report.monitored import Monitored, Period, Quality

WIDE = "a column with a name that is much longer than the screen of any telephone <could> ever be"
TASK = Task(target="stays", type="binary", classes=("no", "yes"))
BEGAN = datetime(2026, 3, 2, tzinfo=UTC)


def monitored(
    days: int = 5, *, shift: float = 0.0, rows: int = 600, live: float | None = None, **fields: Any
) -> Monitored:
    """So many days; the answers of the last one are shifted, and its quality is `live`."""
    random = np.random.default_rng(0)
    wide = np.stack([1 - (chance := random.beta(2, 2, 2_000)), chance], axis=1)
    levels = {"kind": "category", "levels": ["a", "b"], "counts": [1_000, 1_000]}
    reference = {
        "columns": {WIDE: {**levels, "other": 0, "missing": 0, "rows": 2_000}},
        "predictions": answer_reference(TASK, wide, 0.5),
    }
    periods = []
    for day in range(days):
        last = day == days - 1
        counts = WindowCounts(reference)
        shown = np.clip(random.beta(2, 2, rows) + (shift if last else 0), 0, 1).astype(np.float32)
        labels = np.where(shown >= 0.5, "yes", "no").astype(object)
        values = random.choice(np.array(["a", "b"], object), rows)
        counts.update({WIDE: values}, {"prediction": labels, "probability": shown})
        value = live if live is not None and last else 0.9
        quality = Quality(100, {"roc_auc": value, "f1": None}, {"roc_auc": [value - 0.03, value + 0.03]})
        moment = BEGAN + timedelta(days=day)
        verdict = judge(reference, counts.as_dict(), least=500)
        periods.append(Period(moment, moment + timedelta(days=1), verdict, quality if live else None))
    tested = Quality(400, {"roc_auc": 0.9, "f1": 0.8}, {"roc_auc": [0.88, 0.92]})
    log = {"files": 2, "rows": rows * days, "other_rows": 0, "broken_lines": 0}
    about: dict[str, Any] = {"name": "guests", "digest": "d" * 64, "task": TASK, "alert": 0.2, "every": "1d"}
    about |= {"periods": periods, "primary": "roc_auc", "tested": tested, "log": log}
    about |= {"labels": {"labels": 9, "joined": 8, "rows": 7} if live else None}
    return Monitored(**{**about, **fields})


@pytest.mark.parametrize(
    ("options", "tone", "sentence", "more"),
    [
        ({}, "good", "Nothing alarming.", "No column moved in the period from 2026-03-06 on."),
        ({"rows": 60}, "plain", "There are too few rows to tell.", "No period has the 500 rows"),
        ({"shift": 0.3}, "bad", "Requests are not what the model was trained on.", "Moved: "),
        ({"live": 0.9}, "good", "Nothing alarming.", "on the test rows it was 90"),
        ({"live": 0.8}, "bad", "The model is worse than it was tested.", "interval 77"),
        ({"live": 0.99}, "good", "Nothing alarming.", "ROC AUC is 99"),
    ],
)
def test_the_page_says_in_a_sentence_how_the_model_does(
    options: dict[str, Any], tone: str, sentence: str, more: str
) -> None:
    found = monitored(**options)
    verdict = finding(found)
    assert (verdict.tone, verdict.sentence) == (tone, sentence)
    assert more in verdict.comparison
    page = render_monitored(found)
    assert sentence in page and "<could>" not in page


def test_a_lower_metric_is_better_where_the_metric_says_so() -> None:
    tested = Quality(100, {"log_loss": 0.4}, {"log_loss": [0.35, 0.45]})
    found = monitored(primary="log_loss", tested=tested)
    days = (BEGAN, BEGAN + timedelta(days=1))
    drift = found.periods[0].drift
    for value, worse in ((0.2, False), (0.42, False), (0.6, True)):
        quality = Quality(50, {"log_loss": value}, {"log_loss": [value - 0.02, value + 0.02]})
        assert found.is_worse(Period(*days, drift, quality)) is worse
    assert found.is_worse(Period(*days, drift, Quality(50, {"log_loss": None}, {}))) is False


def test_one_day_without_labels_needs_no_charts() -> None:
    page = render_monitored(monitored(1))
    assert "<h2>Over time</h2>" not in page and "<h2>Quality</h2>" not in page
    assert "Columns from 2026-03-02 on" in page


def test_long_logs_show_their_last_periods() -> None:
    page = render_monitored(monitored(70, log={"files": 1, "rows": 9, "other_rows": 3, "broken_lines": 1}))
    assert "10 earlier periods are not shown" in page
    assert "Left out: 3 rows of other models or versions and 1 line that was not whole." in page


@pytest.mark.slow
def test_it_fits_a_desk_and_a_phone_and_asks_for_nothing(tmp_path: Path) -> None:
    page = tmp_path / "monitor.html"
    page.write_text(render_monitored(monitored(30, shift=0.3, live=0.8)), encoding="utf-8")
    with chromium() as browser:
        for width in (1200, 390):
            seen = browser.look(page, width)
            assert seen.scroll_width <= width
            assert (seen.requests, seen.messages) == ([], [])
            assert "The model is worse than it was tested." in seen.text
