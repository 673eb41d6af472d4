"""What is wrong with a deployed service: a registry or files out of its reach, options without effect."""

from __future__ import annotations

from pathlib import PurePosixPath
from urllib.parse import urlsplit

from declarative_ml.deployers.model import IN_IMAGE
from declarative_ml.deployers.model_servers import OURS
from declarative_ml.spec.deploy import Deploy
from declarative_ml.spec.deploy_fault import DeployFault, Faults
from declarative_ml.spec.deployed import (
    HOST,
    SIDES,
    deployed_model,
    follows_registry,
    is_there,
    scoring_model,
    sides_there,
)
from declarative_ml.spec.document import Spec
from declarative_ml.spec.positions import Path
from declarative_ml.trackers.registry_name import read_registry_name

_MODEL: Path = ("deploy", "serve", "model")


def registry_faults(spec: Spec, deploy: Deploy) -> Faults:
    """A registry that pods cannot reach, or a model that nobody names."""
    service = deploy.service
    if service is None or not follows_registry(spec):
        return
    said, wanted = deployed_model(spec), read_registry_name(deployed_model(spec))
    at: Path = _MODEL if service.model is not None else ("serve", "model")
    if wanted is not None and wanted.name is None and service.model is not None:
        message = f"{said} is of the model that the spec registers, and it registers none"
        yield DeployFault("DML180", at, message, "write track: {register: NAME}, or registry:NAME@champion")
    if wanted is not None and "model" not in service.to.honours:
        message = f"{service.to.type} serves the model of its image, and {said} is in the registry"
        yield DeployFault("DML180", at, message, "choose kubernetes, or deploy.serve.model: image")
    if spec.track.uri is not None:
        yield from _address(spec.track.uri, service.to.type)


def _address(uri: str, target: str) -> Faults:
    parts, at = urlsplit(uri), ("track", "uri")
    if not _has_port(uri):
        yield DeployFault(
            "DML180", at, f"{uri} has no port that is one", "such as https://mlflow.example.com:8443"
        )
    elif parts.password is not None:
        message = "the password of the registry would stand in clear in what is rendered"
        hint = "leave it out, and deploy.secrets: {MLFLOW_TRACKING_PASSWORD: {secret: NAME, key: KEY}}"
        yield DeployFault("DML180", at, message, hint)
    elif parts.scheme not in ("http", "https") and target != HOST:
        message = f"the model is in the registry {uri}, which pods do not have"
        hint = "give the address of an MLflow server; without track.uri the registry lies in deploy.store"
        yield DeployFault("DML180", at, message, hint)


def _has_port(url: str) -> bool:
    """Whether the port of an address is absent or a number that there is."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def watch_faults(spec: Spec, deploy: Deploy) -> Faults:
    """Files of `monitor` that the service does not find, or loses with its pod."""
    service, monitor = deploy.service, spec.monitor
    if service is None or service.to.answers != OURS:
        return
    if monitor.log is not None and not is_there(spec, monitor.log.path, writable=True):
        at: Path = ("monitor", "log")
        message = f"the prediction log goes to {monitor.log.path}, where the service cannot keep it"
        if service.to.type == HOST:
            hint = f"log: /var/lib/dml/{spec.name}/log"
            yield DeployFault("DML181", at, message, hint)
        elif "volumes" in service.to.honours:
            hint = "deploy.serve.volumes: {log: {claim: NAME, at: /log, read_only: false}}, and log: /log"
            yield DeployFault("DML181", at, message, hint)
        else:
            message = f"{service.to.type} has no volumes: the prediction log is left out"
            yield DeployFault("DML181", at, message, "remove monitor.log", warning=True)
    if monitor.apm is not None and monitor.apm.url is not None and not _has_port(monitor.apm.url):
        message = f"{monitor.apm.url} has no port that is one"
        yield DeployFault(
            "DML181", ("monitor", "apm", "url"), message, "such as https://apm.example.com:8200"
        )
    if monitor.apm is not None and monitor.apm.ca is not None and not is_there(spec, monitor.apm.ca):
        message = f"{monitor.apm.ca} is a file of this machine, which the service does not have"
        hint = "put it on a volume: deploy.serve.volumes: {ca: {claim: NAME, at: /ca}}, and ca: /ca/…"
        yield DeployFault("DML181", ("monitor", "apm", "ca"), message, hint)


def scoring_faults(spec: Spec, deploy: Deploy) -> Faults:
    """Files that the pods of batch scoring do not have or cannot keep, and a registry out of their reach."""
    scoring = deploy.predict
    if scoring is None:
        return
    at: Path = ("deploy", "predict")
    readable = [mount.at for mount in scoring.volumes.values()]
    writable = [mount.at for mount in scoring.volumes.values() if not mount.read_only]
    if scoring.to.type == HOST:
        readable, writable = ["/"], [f"/var/lib/dml/{spec.name}"]
    source = getattr(scoring.source, "path", None)
    files = (("source", source, readable, ""), ("output", scoring.output, writable, ", read_only: false"))
    for name, file, places, more in files:
        if not isinstance(file, str) or "://" in file:
            continue
        if not any(PurePosixPath(file).is_relative_to(each) for each in places):
            message = f"deploy.predict.{name} is {file}, which is on no volume of the scoring"
            hint = f"deploy.predict.volumes: {{data: {{claim: NAME, at: /data{more}}}}} and {name}: /data/…"
            hint = f"{name}: {writable[0]}/…" if scoring.to.type == HOST else hint
            yield DeployFault("DML183", (*at, name), message, hint)
    wanted = read_registry_name(scoring_model(spec))
    if wanted is None:
        return
    if wanted.name is None:
        message = f"{wanted} is of the model that the spec registers, and it registers none"
        hint = "write track: {register: NAME}, or registry:NAME@champion"
        yield DeployFault("DML180", (*at, "model"), message, hint)
    if spec.track.uri is not None and (deploy.service is None or not follows_registry(spec)):
        yield from _address(spec.track.uri, scoring.to.type)


def idle_options(spec: Spec, deploy: Deploy) -> Faults:
    """What the rendered service leaves out, and a training whose models do not come to it."""
    service = deploy.service
    if service is None:
        return
    for name in SIDES:
        if getattr(spec.serve, name) is not None and name not in sides_there(spec):
            message = f"serve.{name} is a bundle of this machine: what 'deploy' renders leaves it out"
            hint = "name a version in the registry: registry:NAME@challenger"
            yield DeployFault("DML109", ("serve", name), message, hint, at_key=True, warning=True)
    model = deployed_model(spec)
    if spec.serve.reload and model == IN_IMAGE:
        message = "serve.reload has no effect where the model is in the image, which does not change"
        hint = "remove it, or write deploy.serve.model: store"
        yield DeployFault("DML109", ("serve", "reload"), message, hint, at_key=True, warning=True)
    if model == IN_IMAGE and deploy.train is not None and deploy.train.schedule is not None:
        message = "the service keeps the model of its image, whatever the schedule trains"
        hint = "write deploy.serve.model: registry@champion and track.register, or model: store"
        at: Path = ("deploy", "train", "schedule")
        yield DeployFault("DML182", at, message, hint, at_key=True, warning=True)
