import os
import signal
import socket
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from declarative_ml.core.errors import UsageError
from declarative_ml.trackers.base import TrackContent
from declarative_ml.trackers.mlflow import MLflowTracker
from declarative_ml.trackers.mlflow_ui import serve_ui, ui_server

pytest.importorskip("mlflow")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_taken_port_is_a_usage_error(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} cannot be used") as caught:
            serve_ui(tmp_path, port, open_browser=False)
    assert caught.value.hint == "choose another one with --port"


@pytest.mark.slow
def test_a_tracking_server_takes_runs(tmp_path: Path, make_content: Callable[..., TrackContent]) -> None:
    with ui_server(tmp_path, free_port()) as (url, server):
        with urllib.request.urlopen(url) as page:
            assert b"<html" in page.read()
        tracker = MLflowTracker(uri=url)
        assert tracker.find(tmp_path, "key-1") is None
        run_id = tracker.log(tmp_path, make_content())
        assert tracker.log(tmp_path, make_content()) == run_id
        assert tracker.find(tmp_path, "key-1") == run_id
    assert server.poll() is not None
    with pytest.raises(ProcessLookupError):
        os.killpg(server.pid, 0)
    assert MLflowTracker().find(tmp_path, "key-1") == run_id


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    port = free_port()
    script = f"""
        import signal
        from pathlib import Path
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell passes "ignore" on
        from declarative_ml.trackers.mlflow_ui import serve_ui
        serve_ui(Path({str(tmp_path)!r}), {port}, False, announce=lambda url: print(url, flush=True))
        print("ended")
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == f"http://127.0.0.1:{port}\n".encode()
        caller.send_signal(number)
        try:
            assert caller.wait(60) == 0
        finally:
            caller.kill()
        assert caller.stdout.read() == b"ended\n"
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
