"""Sizes of files as people write them: `500kB`, `1MB`, `1.5GiB`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field

_UNITS = {
    "kB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000, "KiB": 1_024, "MiB": 1_048_576, "GiB": 1_073_741_824
}  # fmt: skip
PATTERN = r"^\d+(\.\d+)?(kB|MB|GB|KiB|MiB|GiB)$"

Size = Annotated[str, Field(pattern=PATTERN, examples=["500kB", "1MB"])]


MEMORY_PATTERN = r"^\d+(\.\d+)?(Mi|Gi|Ti|MiB|GiB|MB|GB)$"
_MEMORY_UNITS = {"Mi": 2**20, "Gi": 2**30, "Ti": 2**40, **_UNITS}

Memory = Annotated[str, Field(pattern=MEMORY_PATTERN, examples=["1Gi", "512Mi"])]
"""An amount of memory, as Kubernetes and people write it."""


def memory_bytes(text: str) -> int:
    """The bytes of a Memory. Raises ValueError for anything else."""
    if re.fullmatch(MEMORY_PATTERN, text) is None:
        raise ValueError(f"'{text}' is no amount of memory: write 512Mi or 2Gi")
    unit = text.lstrip("0123456789.")
    return int(float(text.removesuffix(unit)) * _MEMORY_UNITS[unit])


def bytes_of(text: str) -> int:
    """The size in bytes. Raises ValueError for anything else than a Size."""
    if re.fullmatch(PATTERN, text) is None:
        raise ValueError(f"'{text}' is no size: write 500kB or 1MB")
    unit = text.lstrip("0123456789.")
    return int(float(text.removesuffix(unit)) * _UNITS[unit])


def shown(count: float) -> str:
    """A number of bytes as people write it: 12 kB, 3.4 MB."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"
