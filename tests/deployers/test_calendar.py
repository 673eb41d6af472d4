from __future__ import annotations

import shutil
import subprocess

import pytest

from declarative_ml.deployers.calendar import calendar_events


@pytest.mark.parametrize(
    ("schedule", "events"),
    [
        ("0 3 * * 1", ["Mon *-*-* 03:00:00 Etc/UTC"]),
        ("*/20 * * * *", ["*-*-* *:00,20,40:00 Etc/UTC"]),
        ("5 4 1,15 jan-mar *", ["*-01,02,03-01,15 04:05:00 Etc/UTC"]),
        ("0 0 1 * fri", ["*-*-01 00:00:00 Etc/UTC", "Fri *-*-* 00:00:00 Etc/UTC"]),
        ("0 12 * * 6-7", ["Sun,Sat *-*-* 12:00:00 Etc/UTC"]),
        ("30 6/8 * * *", ["*-*-* 06,14,22:30:00 Etc/UTC"]),
        ("@daily", ["*-*-* 00:00:00 Etc/UTC"]),
    ],
)
def test_events(schedule: str, events: list[str]) -> None:
    assert calendar_events(schedule, "Etc/UTC") == events
    if shutil.which("systemd-analyze"):
        for event in events:
            subprocess.run(["systemd-analyze", "calendar", event], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("every day", "has 2 fields"),
        ("60 * * * *", "'60' is no minute: it goes from 0 to 59"),
        ("0 0 0 * *", "no day of the month"),
        ("0 0 * foo *", "'foo' is no month"),
        ("0 5-3 * * *", "no hour"),
        ("*/0 * * * *", "no minute"),
        ("a-b-c * * * *", "'a-b-c' is no minute"),
    ],
)
def test_what_is_wrong_is_named(schedule: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        calendar_events(schedule, "Etc/UTC")
