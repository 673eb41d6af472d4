"""This package as a wheel, made from the files that are installed: no compiler, no build tools.

The images install it by name, so what runs there is what runs here. Equal files give equal bytes.
"""

from __future__ import annotations

import base64
import hashlib
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import declarative_ml
from declarative_ml.deployers.contexts.own import DISTRIBUTION, ENTRY_POINTS, wheel_metadata

_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
_KINDS = {".py", ".html", ".css", ".js", ".mjs", ".ts", ".yaml", ".json", ".typed"}
_DATA = ("specs", "schemas")
"""Folders that a wheel has inside the package, and a clone beside it."""


def write_wheel(folder: Path, *, compiled: bool = False) -> Path:
    """Write the wheel into `folder` and return its path.

    `compiled` takes along what was compiled here: such a wheel fits this kind of machine and of Python
    only. Without, the fast readers of texts do the same in Python; scoring a bundle needs none of them.
    """
    package = Path(declarative_ml.__file__).parent
    binaries = sorted(package.rglob(f"*{sysconfig.get_config_var('EXT_SUFFIX')}")) if compiled else []
    tag = _machine_tag() if binaries else "py3-none-any"
    stem = f"{DISTRIBUTION.replace('-', '_')}-{declarative_ml.__version__}"
    files = dict(_files(package))
    files |= {
        f"declarative_ml/{path.relative_to(package).as_posix()}": path.read_bytes() for path in binaries
    }
    files |= _information(f"{stem}.dist-info", tag, pure=not binaries)
    record = f"{stem}.dist-info/RECORD"
    files[record] = _record(files, record)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{stem}-{tag}.whl"
    with zipfile.ZipFile(target, "w") as archive:
        for name in sorted(files):
            archive.writestr(_entry(name), files[name])
    return target


def _files(package: Path) -> Iterator[tuple[str, bytes]]:
    for path in package.rglob("*"):
        if path.is_file() and path.suffix in _KINDS and "__pycache__" not in path.parts:
            yield f"declarative_ml/{path.relative_to(package).as_posix()}", path.read_bytes()
    for name in _DATA:
        beside = package.parent / name
        if not (package / name).is_dir():
            for path in sorted(beside.glob("*.yaml")) + sorted(beside.glob("*.json")):
                yield f"declarative_ml/{name}/{path.name}", path.read_bytes()


def _information(folder: str, tag: str, *, pure: bool) -> dict[str, bytes]:
    """What a wheel says of itself."""
    lines = ["Wheel-Version: 1.0", f"Generator: {DISTRIBUTION} ({declarative_ml.__version__})"]
    lines += [f"Root-Is-Purelib: {str(pure).lower()}", f"Tag: {tag}", ""]
    return {
        f"{folder}/METADATA": wheel_metadata().encode(),
        f"{folder}/WHEEL": "\n".join(lines).encode(),
        f"{folder}/entry_points.txt": ENTRY_POINTS.encode(),
    }


def _record(files: dict[str, bytes], record: str) -> bytes:
    lines = []
    for name in sorted(files):
        digest = base64.urlsafe_b64encode(hashlib.sha256(files[name]).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(files[name])}")
    return "\n".join([*lines, f"{record},,", ""]).encode()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, date_time=_ZIP_TIME)
    entry.create_system = 3
    entry.external_attr = 0o100644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _machine_tag() -> str:
    from packaging.tags import sys_tags

    return str(next(sys_tags()))
