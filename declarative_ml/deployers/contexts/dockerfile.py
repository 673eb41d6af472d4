"""The Dockerfile of an image: two stages, so that pip and its caches stay behind.

docker, podman and buildah read the same file.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping, Sequence

from declarative_ml.deployers.image import CONFIG, MODEL, PORT, SCRATCH, SERVE_FILE, SPEC_FILE, STORE, USER
from declarative_ml.deployers.model_servers import FOLDER

ENVIRONMENT = "/dml"
"""The virtual environment, in both stages at the same path."""

_PROBE = (
    "import urllib.request as web; "
    "web.urlopen('http://127.0.0.1:{port}/readyz', timeout=3).close()"
)  # fmt: skip
_OPENMP = (
    "python3 -c \"import ctypes; ctypes.CDLL('libgomp.so.1')\" 2>/dev/null"
    " || (apt-get update && apt-get install -y --no-install-recommends libgomp1"
    " && rm -rf /var/lib/apt/lists/*)"
)


def default_base() -> str:
    """Debian's slim image of the Python that runs here: the lock's versions are for it."""
    return f"docker.io/library/python:{_python()}-slim-bookworm"


def serve_dockerfile(
    base: str, labels: Mapping[str, str], *, port: int, with_model: bool, more: Mapping[str, str]
) -> str:
    """Serves the bundle at /model, inside the image or mounted there, by the options beside the lock.

    `more` variables may name another model.
    """
    # As `docker run IMAGE serve --workers 4`, and as SageMaker starts it: the variables say the rest.
    environment = {
        "DML_SERVE_MODEL": MODEL,
        "DML_SERVE_OPTIONS": f"{CONFIG}/{SERVE_FILE}",
        "DML_SERVE_HOST": "0.0.0.0",
        **more,
    }
    probe = json.dumps(["python3", "-c", _PROBE.format(port=port)])
    return _lines(
        *_build_stage(base),
        *_run_stage(base, labels),
        *(f"ENV {name}={value}" for name, value in environment.items()),
        f"COPY {SERVE_FILE} {CONFIG}/{SERVE_FILE}",
        *([f"COPY model {MODEL}"] if with_model else [f"VOLUME {MODEL}"]),
        f"USER {USER}:{USER}",
        f"EXPOSE {port}",
        "STOPSIGNAL SIGTERM",
        "# podman and buildah keep this with --format docker; Kubernetes has probes of its own.",
        f"HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD {probe}",
        'ENTRYPOINT ["dml"]',
        'CMD ["serve"]',
    )


def foreign_dockerfile(base: str, labels: Mapping[str, str], command: Sequence[str]) -> str:
    """Serves the folder beside it by a server of others, which is what `base` holds."""
    return _lines(
        f"FROM {base}",
        *_labelled(labels),
        f"ENV HOME={SCRATCH}",
        f"COPY {FOLDER.removeprefix('/')} {FOLDER}",
        f"USER {USER}:{USER}",
        f"EXPOSE {PORT}",
        "STOPSIGNAL SIGTERM",
        f"ENTRYPOINT {json.dumps(list(command))}",
    )


def train_dockerfile(base: str, labels: Mapping[str, str]) -> str:
    """Runs the spec at /etc/dml; its workspace is /store, which is to be a volume."""
    run = ["run", f"{CONFIG}/{SPEC_FILE}", "--store", STORE]
    return _lines(
        *_build_stage(base),
        *_run_stage(base, labels),
        "# LightGBM needs the OpenMP of GCC, which slim images lack.",
        f"RUN {_OPENMP}",
        f"COPY {SPEC_FILE} {CONFIG}/{SPEC_FILE}",
        f"RUN mkdir -p {STORE} && chown {USER}:{USER} {STORE}",
        f"USER {USER}:{USER}",
        f"WORKDIR {STORE}",
        "STOPSIGNAL SIGTERM",
        'ENTRYPOINT ["dml"]',
        f"CMD {json.dumps(run)}",
    )


def ignored(names: Sequence[str]) -> str:
    """A .dockerignore that lets in `names` only."""
    return _lines("*", *(f"!{name}" for name in names))


def _build_stage(base: str) -> list[str]:
    """Installs the lock. A secret `pip` may hold a pip.conf; the folder wheels may hold more wheels."""
    python = _python()
    wrong = f"this lock is for Python {python}: give --base an image that has it"
    check = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]} and {wrong!r})"
    install = (
        f"python3 -m pip --python {ENVIRONMENT}/bin/python install --no-deps --no-compile --no-cache-dir"
    )
    return [
        f"FROM {base} AS build",
        f"RUN python3 -c {json.dumps(check)} && python3 -m venv --without-pip {ENVIRONMENT}",
        "COPY wheels /wheels",
        f"COPY requirements.lock {ENVIRONMENT}/requirements.lock",
        "RUN --mount=type=secret,id=pip,target=/etc/pip.conf \\",
        f"    {install} --find-links /wheels -r {ENVIRONMENT}/requirements.lock \\",
        f" && {install} --no-index /wheels/declarative_ml-*.whl",
        "# Compiled once, here: the image runs with a root that it cannot write. By content, not by time.",
        f"RUN {ENVIRONMENT}/bin/python -m compileall -qq --invalidation-mode unchecked-hash \\",
        f"    {ENVIRONMENT}/lib || true",
        "",
    ]


def _run_stage(base: str, labels: Mapping[str, str]) -> list[str]:
    environment = {
        "PATH": f"{ENVIRONMENT}/bin:/usr/local/bin:/usr/bin:/bin",
        "HOME": SCRATCH,
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return [
        f"FROM {base}",
        *_labelled(labels),
        *(f"ENV {name}={value}" for name, value in environment.items()),
        f"COPY --from=build {ENVIRONMENT} {ENVIRONMENT}",
    ]


def _labelled(labels: Mapping[str, str]) -> list[str]:
    return [f"LABEL {json.dumps(name)}={_quoted(value)}" for name, value in sorted(labels.items())]


def _quoted(value: str) -> str:
    """A value on one line, in which nothing is a variable."""
    return json.dumps(" ".join(value.split()), ensure_ascii=False).replace("$", "\\$")


def _python() -> str:
    return ".".join(platform.python_version_tuple()[:2])


def _lines(*lines: str) -> str:
    return "\n".join(lines) + "\n"
