"""Load by wrk, and what it cost the server: the processor time of all its processes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from declarative_ml.core.errors import UsageError

_TICKS = os.sysconf("SC_CLK_TCK")
_SCRIPT = """
local file = io.open("{body}", "rb")
wrk.method, wrk.body = "POST", file:read("*a")
{headers}
"""


@dataclass(frozen=True)
class Load:
    """What one run of wrk saw."""

    requests: int
    seconds: float
    cpu_seconds: float
    median: str
    """Latency, as wrk prints it."""
    tail: str
    """The 99th percentile."""
    faults: int
    """Answers that are not 2xx, and errors of sockets."""

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds

    @property
    def micros(self) -> float:
        """Processor time of a request, in microseconds."""
        return 1e6 * self.cpu_seconds / max(self.requests, 1)


def wrk() -> str:
    """The program. Raises UsageError where it is not installed."""
    found = shutil.which("wrk")
    if found is None:
        raise UsageError("wrk is not installed", hint="apt-get install wrk, or https://github.com/wg/wrk")
    return found


def load(root: int, url: str, body: Path, headers: dict[str, str], connections: int, seconds: float) -> Load:
    """Send `body` again and again over so many connections to the server whose first process is `root`."""
    script = body.with_suffix(".lua")
    lines = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items())
    script.write_text(_SCRIPT.format(body=body, headers=lines))
    before = cpu_seconds(root)
    command = [wrk(), "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "20s", "--latency", "-s"]
    told = subprocess.run([*command, str(script), url], capture_output=True, text=True, check=True).stdout
    spent = cpu_seconds(root) - before
    done = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m)", told)
    assert done is not None, told
    scale = {"ms": 0.001, "s": 1.0, "m": 60.0}[done[3]]
    faults = sum(int(count) for count in re.findall(r"Non-2xx or 3xx responses: (\d+)", told))
    faults += sum(map(int, re.findall(r"(?:connect|read|write|timeout) (\d+)", told)))
    return Load(
        int(done[1]), float(done[2]) * scale, spent, _latency(told, "50%"), _latency(told, "99%"), faults
    )


def _latency(told: str, share: str) -> str:
    found = re.search(rf"^\s*{share}\s+(\S+)", told, re.MULTILINE)  # not the end of 91.99%
    return found[1] if found else "?"


def cpu_seconds(root: int) -> float:
    """Processor time of a process, of those below it, and of the children that these waited for (proc(5))."""
    family = _family(root)
    return sum(sum(map(int, fields[11:15])) for fields in family.values()) / _TICKS


def resident_mebibytes(root: int, kind: str = "Pss") -> float:
    """Memory of a process and of those below it that is resident; `Pss` counts what processes share once, but
    changes with others that share it, `Rss` does not."""
    total = 0
    for pid in _family(root):
        try:
            told = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue  # It has ended.
        found = re.search(rf"^{kind}:\s+(\d+)", told, re.M)
        total += int(found[1]) if found else 0
    return total / 1024


def _family(root: int) -> dict[int, list[str]]:
    """Process -> the fields of its stat behind the name, for a process and all below it."""
    stats: dict[int, list[str]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            stats[int(stat.parent.name)] = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
    found = {root}
    while more := {pid for pid, fields in stats.items() if int(fields[1]) in found and pid not in found}:
        found |= more
    return {pid: stats[pid] for pid in found if pid in stats}
