"""A workspace, or a tracking database, on a file system that is mounted read-only: for real, in a mount
namespace of the command's own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"'
Locked = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def locked() -> Locked:
    """Run `dml` where a folder is mounted read-only."""

    def start(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
        command = ["unshare", "--map-root-user", "--mount", "sh", "-c", READ_ONLY, "sh", str(folder)]
        return subprocess.run([*command, *map(str, words)], capture_output=True, text=True, check=False)

    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    tried = start(Path(__file__).parent, "true")
    if tried.returncode:
        pytest.skip(f"this machine lets nobody mount: {tried.stderr.strip()}")

    def dml(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
        return start(folder, sys.executable, "-m", "declarative_ml", *words)

    return dml


def test_a_tracking_database_is_asked_before_any_work(flowers: Any, locked: Locked, tmp_path: Path) -> None:
    for name in ("made", "absent/below"):
        database = tmp_path / "tracking" / name / "mlflow.db"
        (tmp_path / "tracking" / "made").mkdir(parents=True, exist_ok=True)
        (tmp_path / "tracking" / "made" / "mlflow.db").touch()
        path = flowers(track={"register": "flowers", "uri": f"sqlite:///{database}"})
        done = locked(tmp_path / "tracking", "run", path)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        message, hint = done.stderr.splitlines()
        closed = database if database.exists() else tmp_path / "tracking"
        told = f"error: the tracking database cannot be written: {closed} is on a read-only file system"
        assert message == told and "track.uri" in hint
        assert not list((path.parent / ".dml").glob("runs/*")), "nothing was begun"


def test_what_has_run_can_be_read(flowers: Any, locked: Locked, run: Any) -> None:
    path = flowers(track={"register": "flowers"})
    assert run(path).error is None
    again = locked(path.parent, "run", path)
    assert again.returncode == 0 and "Nothing to do" in again.stdout, again.stderr
    listed = locked(path.parent, "models", path)
    assert listed.returncode == 0 and "challenger" in listed.stdout
    assert locked(path.parent, "predict", path, path.parent / "flowers.csv").returncode == 0
    changed = locked(path.parent, "run", path, "--set", "seed=7")
    promoted = locked(path.parent, "promote", path)
    assert (changed.returncode, promoted.returncode) == (2, 2)
    runs, database = path.parent / ".dml" / "runs", path.parent / ".dml" / "mlflow.db"
    for done, what, closed in ((changed, "workspace", runs), (promoted, "tracking database", database)):
        first, *rest = done.stderr.splitlines()
        assert first == f"error: the {what} cannot be written: {closed} is on a read-only file system"
        assert rest and not any("Traceback" in line for line in rest)
