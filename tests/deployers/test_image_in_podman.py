from __future__ import annotations

import csv
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.image import absent_tools, has_image, prove


@pytest.mark.slow
def test_the_serve_image_answers_without_any_privilege(
    flowers: Callable[..., Path], run: Callable[..., Any]
) -> None:
    """The base is $DML_IMAGE_BASE, or localhost/base:1; benchmarks/image.py says how to make one."""
    base = os.environ.get("DML_IMAGE_BASE", "localhost/base:1")
    if absent := absent_tools():
        pytest.skip(f"not installed: {', '.join(absent)}")
    if not has_image(base):
        pytest.skip(f"there is no image {base} to build on; set DML_IMAGE_BASE")
    spec = flowers()
    run(spec)
    proof = prove(str(spec), spec.parent / "flowers.csv", base)
    with (spec.parent / "flowers.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert (proof.rows, proof.different) == (len(rows), 0)
    assert (proof.user, proof.capabilities, proof.no_new_privileges) == ("10001:10001", "0" * 16, "1")
    assert not proof.writable_root
    assert proof.above_base_mb < 300
