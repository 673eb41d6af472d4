"""What of this machine may change the last bits of a number: processors, C library, libraries' switches."""

from __future__ import annotations

import math
import os
import platform
from pathlib import Path

VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_CORETYPE", "MKL_CBWR",
    "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES",
)  # fmt: skip
"""Environment variables by which numerical libraries choose threads or code for the processor."""
_INSTRUCTIONS = (
    "sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni",
    "avx512_bf16", "amx_tile", "asimd", "asimdhp", "sve", "sve2", "bf16", "i8mm",
)  # fmt: skip
"""Instruction sets that numpy, OpenBLAS, oneDNN or ONNX Runtime choose their code by."""


_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""How many microseconds of how many a container may compute (cgroup v2); absent outside of one."""


def processors() -> int:
    """How many this process may use: a container's limit counts, and what the process is bound to.

    Pods of one limit then agree with each other, whatever the nodes are that they come to.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _QUOTA.read_text("ascii").split()
    except (OSError, ValueError):
        return bound
    return bound if quota == "max" else max(1, min(bound, math.ceil(int(quota) / int(period))))


def python() -> str:
    """For example `CPython 3.11.2`."""
    return f"{platform.python_implementation()} {platform.python_version()}"


def system() -> str:
    """For example `Linux x86_64, glibc 2.36`."""
    library = " ".join(part for part in platform.libc_ver() if part)
    return f"{platform.system()} {platform.machine()}" + (f", {library}" if library else "")


def processor() -> str:
    """Its name, as far as the system tells it."""
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def instructions() -> tuple[str, ...]:
    """The instruction sets that libraries choose their code by; none where the system does not tell."""
    found = _cpuinfo()
    present = set((found.get("flags") or found.get("Features") or "").split())
    return tuple(name for name in _INSTRUCTIONS if name in present)


def variables() -> dict[str, str]:
    """Those of VARIABLES that are set."""
    return {name: os.environ[name] for name in VARIABLES if name in os.environ}


def _cpuinfo() -> dict[str, str]:
    """Linux's account of the first processor."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", errors="replace")
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}
