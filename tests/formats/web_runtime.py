"""Where tests find Node and onnxruntime-web; they skip, with the reason, where these are not."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from declarative_ml.formats.javascript.node_runner import find_node
from declarative_ml.formats.onnx_web import RUNTIME_FILES

VERSION = "1.30.0"
_SECONDS = 120


def node():
    found = find_node()
    if found is None:
        pytest.skip("Node 18 or later is not installed")
    return found


def runtime():
    """The dist folder of onnxruntime-web: $DML_ONNXRUNTIME_WEB, else installed by npm, once on a machine."""
    node()
    given = os.environ.get("DML_ONNXRUNTIME_WEB")
    if given:
        return Path(given)
    place = Path(tempfile.gettempdir()) / f"declarative-ml-onnxruntime-web-{VERSION}-{os.getuid()}"
    dist = place / "node_modules" / "onnxruntime-web" / "dist"
    if not dist.is_dir():
        _install(place)
    return dist


def _install(place):
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed; set DML_ONNXRUNTIME_WEB to the folder dist of onnxruntime-web")
    draft = Path(tempfile.mkdtemp(prefix=f"{place.name}."))
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", f"onnxruntime-web@{VERSION}"]
    try:
        done = subprocess.run(command, cwd=draft, capture_output=True, text=True, timeout=_SECONDS)
        told = done.stderr.strip().splitlines()[-1:] if done.returncode else None
    except subprocess.TimeoutExpired:
        told = [f"no answer within {_SECONDS} s"]
    dist = draft / "node_modules" / "onnxruntime-web" / "dist"
    if told is not None or not all((dist / name).is_file() for name in RUNTIME_FILES):
        shutil.rmtree(draft)
        pytest.skip(f"npm cannot install onnxruntime-web: {' '.join(told or [])}")
    if place.exists():
        shutil.rmtree(draft)
    else:
        draft.rename(place)
