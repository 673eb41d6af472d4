"""docker compose: the service and the training as containers of one machine.

https://github.com/compose-spec/compose-spec/blob/main/spec.md
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from declarative_ml.core.duration import seconds_of
from declarative_ml.deployers.base import Deployer, Object, Release, Rendered
from declarative_ml.deployers.host import (
    clear_environment,
    options_file,
    service_image,
    stop_seconds,
    training_image,
)
from declarative_ml.deployers.image import CONFIG, MODEL, PORT, SCRATCH, SERVE_FILE, SPEC_FILE, STORE, USER
from declarative_ml.deployers.manifests.predicting import predicting
from declarative_ml.deployers.manifests.text import as_yaml
from declarative_ml.deployers.model import (
    model_words,
    reads_store,
    scoring_reads_store,
    scoring_words,
    uses_store,
)
from declarative_ml.deployers.quantity import amount
from declarative_ml.deployers.sections import PodResources, Workload

FILE = "compose.yaml"
_READY = (
    f"import urllib.request as web; web.urlopen('http://127.0.0.1:{PORT}/readyz', timeout=3).close()"
)  # fmt: skip
_PROFILE = "train"


class DockerCompose(Deployer):
    """A compose file: `docker compose up` starts the service, `run train` and `run predict` the rest."""

    type: Literal["docker-compose"] = "docker-compose"
    address: str = Field(default="127.0.0.1", min_length=1, description="Where the service is published")
    port: int = Field(default=8080, ge=1, le=65_535, description="The port there")

    serves: ClassVar[bool] = True
    trains: ClassVar[bool] = True
    predicts: ClassVar[bool] = True
    honours: ClassVar[frozenset[str]] = frozenset(
        {
            "image",
            "resources",
            "env",
            "labels",
            "volumes",
            "model",
            "startup",
            "drain",
            "grace",
            "retries",
            "keep_columns",
        }
    )

    def needs_plan(self, release: Release) -> bool:
        """The plan names the local files, which the training finds at the same paths."""
        return release.train is not None

    def render(self, release: Release) -> Rendered:
        """compose.yaml and the files that it mounts, which lie beside it."""
        services: dict[str, Object] = {}
        files: dict[str, str] = {}
        if release.serve is not None:
            services["serve"] = self._service(release)
            files[SERVE_FILE] = options_file(release, host="0.0.0.0", port=PORT)
        if release.train is not None:
            services["train"] = _training(release)
        if release.predict is not None:
            services["predict"] = _scoring(release)
        if uses_store(release):
            files[SPEC_FILE] = release.spec_text
        document: Object = {"name": release.name, "services": services}
        if volumes := _volumes(release):
            document["volumes"] = volumes
        return Rendered(files={FILE: as_yaml(document), **files})

    def _service(self, release: Release) -> Object:
        workload = release.serve
        assert workload is not None
        model = model_words(release, own=MODEL, spec=f"{CONFIG}/{SPEC_FILE}", store=STORE)
        command = ["dml", "serve", *model, "--options", f"{CONFIG}/{SERVE_FILE}", "--quiet"]
        mounts = [f"./{SERVE_FILE}:{CONFIG}/{SERVE_FILE}:ro"]
        if reads_store(release):
            mounts += [f"./{SPEC_FILE}:{CONFIG}/{SPEC_FILE}:ro", f"store:{STORE}:ro"]
        return {
            **_container(release, "serve", workload, command, mounts),
            "image": str(service_image(release)),
            "restart": "unless-stopped",
            "stop_grace_period": f"{stop_seconds(release)}s",
            "ports": [f"{self.address}:{self.port}:{PORT}"],
            "healthcheck": {
                "test": ["CMD", "python3", "-c", _READY],
                "interval": "10s",
                "timeout": "5s",
                "retries": 3,
                "start_period": f"{seconds_of(workload.startup)}s",
            },
        }


def _training(release: Release) -> Object:
    workload = release.train
    assert workload is not None
    command = ["dml", "run", f"{CONFIG}/{SPEC_FILE}", "--store", STORE]
    local = (
        {name for step in release.plan.steps for name in step.files} if release.plan is not None else set()
    )
    mounts = [f"./{SPEC_FILE}:{CONFIG}/{SPEC_FILE}:ro", f"store:{STORE}"]
    mounts += [f"{name}:{name}:ro" for name in sorted(local)]
    return {
        **_container(release, "train", workload, command, mounts),
        "image": str(training_image(release)),
        "profiles": [_PROFILE],
        "restart": f"on-failure:{workload.retries}" if workload.retries else "no",
        "stop_grace_period": f"{seconds_of(workload.grace)}s",
    }


def _scoring(release: Release) -> Object:
    workload, image = predicting(release)
    words = scoring_words(release, own=MODEL, spec=f"{CONFIG}/{SPEC_FILE}", store=STORE)
    in_store = scoring_reads_store(release)
    mounts = [f"./{SPEC_FILE}:{CONFIG}/{SPEC_FILE}:ro", f"store:{STORE}:ro"] if in_store else []
    # A dollar of a reference to a secret is not one of compose's variables.
    command = ["dml", *(each.replace("$", "$$") for each in words)]
    return {
        **_container(release, "predict", workload, command, mounts),
        "image": str(image),
        "profiles": ["predict"],
        "restart": f"on-failure:{workload.retries}" if workload.retries else "no",
        "stop_grace_period": f"{seconds_of(workload.grace)}s",
    }


def _container(
    release: Release, name: str, workload: Workload, command: list[str], mounts: list[str]
) -> Object:
    """What both containers have in common: no root, no capability, nothing writable but scratch and store."""
    resources = workload.resources
    more = [
        f"{volume}:{mount.at}{':ro' if mount.read_only else ''}"
        for volume, mount in sorted(workload.volumes.items())
    ]
    secrets = getattr(release, f"{name}_secrets")
    environment = {
        **clear_environment(release, name),
        **{variable: f"${{{variable}:?set it in .env}}" for variable in sorted(secrets)},
    }
    return {
        "image": "",
        "entrypoint": command,
        "user": f"{USER}:{USER}",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "tmpfs": [f"{SCRATCH}:size={int(amount(resources.scratch))}"],
        **({"shm_size": int(amount(resources.shared_memory))} if resources.shared_memory else {}),
        "volumes": [*mounts, *more],
        **({"environment": _escaped(environment, secrets)} if environment else {}),
        "labels": {**release.labels, **workload.labels, "declarative-ml.spec-digest": release.spec_digest},
        "deploy": {"resources": _resources(resources)},
    }


def _escaped(environment: dict[str, str], secrets: object) -> dict[str, str]:
    """A dollar of a value in clear is a dollar, not a variable of compose."""
    assert hasattr(secrets, "__contains__")
    return {name: text if name in secrets else text.replace("$", "$$") for name, text in environment.items()}


def _resources(wanted: PodResources) -> Object:
    limits: Object = {"memory": str(int(amount(wanted.limits.memory or wanted.memory)))}
    if wanted.limits.cpu is not None:
        limits["cpus"] = str(float(amount(wanted.limits.cpu)))
    reservations: Object = {"memory": str(int(amount(wanted.memory)))}
    if wanted.gpu:
        reservations["devices"] = [{"driver": "nvidia", "count": wanted.gpu, "capabilities": ["gpu"]}]
    return {"limits": limits, "reservations": reservations}


def _volumes(release: Release) -> Object:
    """The store, which compose makes, and claims as volumes that are there already."""
    found: Object = {}
    if uses_store(release):
        claim = release.store.claim
        found["store"] = {} if claim is None else {"name": claim, "external": True}
    for workload in (release.serve, release.train, release.predict):
        for name, mount in sorted(workload.volumes.items()) if workload is not None else ():
            found[name] = {"name": mount.claim, "external": True}
    return found
