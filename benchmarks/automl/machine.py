"""What a result was measured on: without it, seconds and latencies say nothing."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

_LOOP = 5_000_000


def machine_facts() -> dict[str, Any]:
    """CPU model, cores, memory in GiB, system, load, and the yardstick; all but the last two are fixed."""
    cpu, wall = yardstick()
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count() or 1,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "load": round(os.getloadavg()[0], 2),
        "yardstick_cpu_s": round(cpu, 3),
        "yardstick_wall_s": round(wall, 3),
    }


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name as the system gives it."""
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def yardstick() -> tuple[float, float]:
    """(CPU, wall) seconds of five million additions in Python: how fast the machine is just now.

    More wall than CPU means that others were using the processor.
    """
    cpu, wall, total = time.process_time(), time.perf_counter(), 0
    for number in range(_LOOP):
        total += number
    return time.process_time() - cpu, time.perf_counter() - wall
