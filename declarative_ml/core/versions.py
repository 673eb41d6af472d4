"""Installed versions of distributions, without importing them."""

from __future__ import annotations

from functools import cache
from importlib import metadata


@cache
def library_version(name: str) -> str:
    """The installed version of a distribution, or `absent`."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"
