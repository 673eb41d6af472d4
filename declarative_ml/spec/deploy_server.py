"""What is wrong where the server of others answers: it has the model, and none of our options."""

from __future__ import annotations

from pathlib import PurePosixPath

from declarative_ml.deployers.model import IN_IMAGE
from declarative_ml.deployers.model_servers import FOLDER, OURS, SERVERS, ModelServer
from declarative_ml.spec.deploy import WORK, Deploy
from declarative_ml.spec.deploy_fault import DeployFault, Faults
from declarative_ml.spec.deployed import SIDES, deployed_model, scoring_model
from declarative_ml.spec.document import Spec
from declarative_ml.spec.monitor import Drift
from declarative_ml.spec.positions import Path, dotted

_TO: Path = ("deploy", "serve", "to")
_TAKEN = frozenset({"host", "port", "model", "token", *SIDES})
"""Options of `serve` that have an error of their own, or that every target sets itself."""


def server_faults(spec: Spec, deploy: Deploy) -> Faults:
    """A model that the server cannot have, and promises that it does not keep."""
    for name in ("train", "predict"):
        workload = getattr(deploy, name)
        if workload is not None and workload.to.answers != OURS:
            message = f"runtime says which server answers, and {WORK[name]} is none"
            yield DeployFault(
                "DML184", ("deploy", name, "to", "runtime"), message, "write it under deploy.serve"
            )
    service = deploy.service
    if service is None or service.to.answers == OURS:
        return
    server = SERVERS[service.to.answers]
    yield from _model(spec, deploy, server)
    yield from _promises(spec, server)
    for name, mount in service.volumes.items():
        place, models = PurePosixPath(mount.at), PurePosixPath(FOLDER)
        if place.is_relative_to(models) or models.is_relative_to(place):
            message = f"{mount.at} would hide the model, which is at {FOLDER} of the image"
            at: Path = ("deploy", "serve", "volumes", name, "at")
            yield DeployFault("DML184", at, message, "such as /data")
    for option in sorted(spec.serve.model_fields_set - _TAKEN):
        if (service.to.answers, option) != ("triton", "max_rows"):
            message = f"serve.{option} has no effect: {server.title} answers, and not our service"
            yield DeployFault("DML109", ("serve", option), message, "delete it", at_key=True, warning=True)


def _model(spec: Spec, deploy: Deploy, server: ModelServer) -> Faults:
    if server.format != "onnx" and server.format not in [wanted.format for wanted in spec.convert]:
        message = f"{server.title} serves a {server.format}, and the spec makes none"
        yield DeployFault("DML184", (*_TO, "runtime"), message, f"write convert: [{server.format}]")
    if deployed_model(spec) != IN_IMAGE:
        at: Path = ("serve", "model")
        if deploy.service is not None and deploy.service.model is not None:
            at = ("deploy", "serve", "model")
        message = f"{server.title} serves what is in its image, and {deployed_model(spec)} is elsewhere"
        yield DeployFault("DML184", at, message, "write deploy.serve.model: image, or runtime: dml")
    features = {} if spec.features == "auto" else spec.features
    for name, feature in features.items():
        if (reading := feature.reading()) is not None:
            message = f"{reading.reader} reads the texts of {name} first, which {server.title} does not run"
            hint = "choose another encoder, such as ngrams, or runtime: dml"
            yield DeployFault("DML184", ("features", name), message, hint, at_key=True)
    if deploy.predict is not None and deploy.predict.image is None and scoring_model(spec) == IN_IMAGE:
        message = f"batch scoring runs dml, which the image of {server.title} does not have"
        hint = "write deploy.predict.model: store, or registry@champion"
        yield DeployFault("DML184", ("deploy", "predict"), message, hint, at_key=True)


def _promises(spec: Spec, server: ModelServer) -> Faults:
    asked: list[Path] = [("serve", name) for name in SIDES if getattr(spec.serve, name) is not None]
    asked += [("monitor", name) for name in ("log", "apm") if getattr(spec.monitor, name) is not None]
    if spec.monitor.drift.enabled and spec.monitor.drift != Drift():
        asked.append(("monitor", "drift"))
    for path in asked:
        message = f"{server.title} has no {dotted(path)}: only our service does that"
        yield DeployFault("DML184", path, message, "remove it, or write runtime: dml", at_key=True)
    if spec.serve.token is not None:
        message = f"{server.title} asks for no token: whoever reaches the service would be answered"
        hint = "remove it, and let the ingress ask for one; or write runtime: dml"
        yield DeployFault("DML184", ("serve", "token"), message, hint, at_key=True)
