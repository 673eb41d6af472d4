"""The load script in small: steady memory, overload that is shed, an end that drops nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import serving_load
from declarative_ml.store.bundle import Bundle


@pytest.mark.slow
def test_the_service_holds_under_load(
    bundle_of: Callable[[str], Bundle], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("wrk") is None:
        pytest.skip("wrk is not installed: apt-get install wrk")
    # A few seconds cannot show a slope a minute: the script's own 60 seconds do.
    monkeypatch.setattr(serving_load, "SLOPE", 200.0)
    assert serving_load.main([str(bundle_of("stays").path), "--seconds", "6", "--connections", "64"]) == 0
    told = capsys.readouterr().out
    assert "0 answers not 2xx" in told
    assert "503 + Retry-After" in told
    assert "SIGTERM under load: exit 0" in told


def test_without_wrk_it_says_how_to_get_it(
    bundle_of: Callable[[str], Bundle], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from benchmarks.serving.load import wrk
    from declarative_ml.core.errors import UsageError

    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="wrk is not installed"):
        wrk()
