"""Build the serve image, run it without privileges, and compare its answers with those of `dml predict`.

    python benchmarks/image.py SPEC ROWS.csv --base localhost/base:1

Needs buildah, podman and runc; no daemon. A base without any registry, on Debian as root:

    debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates bookworm rootfs
    tar -C rootfs -c . | podman import - localhost/base:1
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from declarative_ml.api.model import open_model
from declarative_ml.api.package import package
from declarative_ml.api.predict import predict

TOOLS = ("buildah", "podman", "runc")
PODMAN = ("podman", "--cgroup-manager", "cgroupfs", "--events-backend", "file", "--runtime", "runc")
RESTRICTED = (
    *("--network=host", "--user", "10001:10001", "--read-only", "--tmpfs", "/tmp", "--cap-drop=ALL"),
    *("--security-opt=no-new-privileges", "--ulimit", "nofile=10000:10000", "--ulimit", "nproc=10000:10000"),
)
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True)
class Proof:
    """What was seen of the running image."""

    rows: int
    different: int
    image_mb: float
    above_base_mb: float
    build_seconds: float
    ready_seconds: float
    user: str
    capabilities: str
    no_new_privileges: str
    writable_root: bool


def absent_tools() -> list[str]:
    return [name for name in TOOLS if shutil.which(name) is None]


def has_image(name: str) -> bool:
    return subprocess.run([*PODMAN, "image", "exists", name], check=False).returncode == 0


def prove(spec: str, rows: Path, base: str, pip_conf: Path | None = None) -> Proof:
    """Build, run, ask, stop. The built image is removed."""
    tag = f"localhost/dml-proof:{uuid.uuid4().hex[:12]}"
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        (context,) = package(spec, Path(folder) / "image", images=["serve"], base=base)
        build(context.path, tag, pip_conf)
        built = time.monotonic() - began
        try:
            sizes = size(tag) / 1e6, (size(tag) - size(base)) / 1e6
            return _run(tag, spec, rows, Path(folder), sizes, built)
        finally:
            subprocess.run([*PODMAN, "rmi", "--force", tag], capture_output=True, check=False)


def build(context: Path, tag: str, pip_conf: Path | None) -> None:
    """Equal contexts give equal images: every time is zero."""
    command = ["buildah", "bud", "--isolation", "chroot", "--network", "host", "--format", "docker"]
    command += ["--timestamp", "0", "--tag", tag]
    if pip_conf is not None:
        command += ["--secret", f"id=pip,src={pip_conf}"]
    if Path(CERTIFICATES).exists():
        command += ["--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro"]
    done = subprocess.run([*command, str(context)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}")


def size(name: str) -> int:
    command = [*PODMAN, "image", "inspect", "--format", "{{.Size}}", name]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _run(tag: str, spec: str, rows: Path, folder: Path, sizes: tuple[float, float], built: float) -> Proof:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    name = tag.rpartition(":")[2]
    command = [*PODMAN, "run", "--rm", "--name", name, *RESTRICTED, tag, "serve", "--host", "127.0.0.1"]
    began = time.monotonic()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--port", str(port)], stdout=log, stderr=log)
        try:
            _wait(f"http://127.0.0.1:{port}/readyz", process, folder / "log")
            ready = time.monotonic() - began
            sent = inputs(spec, rows, folder)
            different, number = compare(spec, sent, folder, f"http://127.0.0.1:{port}/predict")
            status = _status(name)
            writable = _exec(name, "touch", "/model/x").returncode == 0
        finally:
            subprocess.run([*PODMAN, "stop", "--time", "20", name], capture_output=True, check=False)
            process.wait(30)
    return Proof(
        rows=number,
        different=different,
        image_mb=round(sizes[0], 1),
        above_base_mb=round(sizes[1], 1),
        build_seconds=round(built, 1),
        ready_seconds=round(ready, 1),
        user=f"{status['Uid']}:{status['Gid']}",
        capabilities=status["CapEff"],
        no_new_privileges=status["NoNewPrivs"],
        writable_root=writable,
    )


def _wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=2).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise SystemExit(f"the container does not answer: {log.read_text()[-2000:]}")


def inputs(spec: str, rows: Path, folder: Path, most: int = 1000) -> Path:
    """The first rows, with the model's columns only: the service refuses others."""
    names = [column.name for column in open_model(spec).manifest.inputs]
    target = folder / "rows.csv"
    with rows.open(newline="") as stream, target.open("w", newline="") as written:
        writer = csv.DictWriter(written, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(row for _, row in zip(range(most), csv.DictReader(stream), strict=False))
    return target


def compare(spec: str, sent: Path, folder: Path, address: str) -> tuple[int, int]:
    """Rows whose answers differ by more than rounding, and all rows."""
    predict(open_model(spec), str(sent), str(folder / "local.csv"))
    request = urllib.request.Request(address, data=sent.read_bytes(), headers={"content-type": "text/csv"})
    with urllib.request.urlopen(request) as answer:
        there = list(csv.DictReader(io.StringIO(answer.read().decode())))
    with (folder / "local.csv").open(newline="") as stream:
        here = list(csv.DictReader(stream))
    pairs = list(zip(here, there, strict=True))
    return sum(not _alike(one, other) for one, other in pairs), len(pairs)


def _alike(one: dict[str, str], other: dict[str, str]) -> bool:
    if one["prediction"] != other["prediction"] and "probability" in one:
        return False
    numbers = [name for name in one if name != "prediction" or "probability" not in one]
    return all(
        abs(float(one[name]) - float(other[name])) <= 1e-5 * max(1, abs(float(one[name]))) for name in numbers
    )


def _status(name: str) -> dict[str, str]:
    found = {}
    for line in _exec(name, "cat", "/proc/1/status").stdout.splitlines():
        key, _, value = line.partition(":")
        found[key] = value.split()[0] if value.split() else ""
    return found


def _exec(name: str, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PODMAN, "exec", name, *command], capture_output=True, text=True, check=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("spec")
    parser.add_argument("rows", type=Path)
    parser.add_argument("--base", required=True)
    parser.add_argument("--pip-conf", type=Path)
    options = parser.parse_args()
    if absent := absent_tools():
        sys.exit(f"not installed: {', '.join(absent)}")
    print(json.dumps(asdict(prove(options.spec, options.rows, options.base, options.pip_conf)), indent=1))


if __name__ == "__main__":
    main()
