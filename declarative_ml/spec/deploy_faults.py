"""What is wrong with the section `deploy`: names, quantities, images, schedules, data and secrets of pods."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path as FilePath
from pathlib import PurePosixPath
from typing import Any

from declarative_ml.core.errors import UsageError
from declarative_ml.deployers import DEPLOYERS
from declarative_ml.deployers.base import Object, Release
from declarative_ml.deployers.cron import schedule_fault
from declarative_ml.deployers.image import Image
from declarative_ml.deployers.manifests.lint import LABEL_KEY, LABEL_VALUE, NAME, Finding, lint
from declarative_ml.deployers.manifests.names import LABEL, OWN
from declarative_ml.deployers.manifests.order import in_order
from declarative_ml.deployers.manifests.patching import PatchFault, patched
from declarative_ml.deployers.model import IN_IMAGE
from declarative_ml.deployers.quantity import amount
from declarative_ml.deployers.sections import JobWorkload, Mount, PodResources, Workload
from declarative_ml.sources.base import Source
from declarative_ml.spec.deploy import DEFAULT, WORK, Deploy, references_of
from declarative_ml.spec.deploy_fault import DeployFault, Faults
from declarative_ml.spec.deploy_server import server_faults
from declarative_ml.spec.deploy_service import (
    idle_options,
    registry_faults,
    scoring_faults,
    watch_faults,
)
from declarative_ml.spec.deploy_store import store_faults
from declarative_ml.spec.deployed import scoring_model
from declarative_ml.spec.document import FilesSplit, Spec
from declarative_ml.spec.positions import Path, dotted
from declarative_ml.spec.release import release_of, variables_of

_DEPLOY: Path = ("deploy",)


def deploy_faults(spec: Spec) -> list[DeployFault]:
    """The faults of the section; none for a spec without it."""
    if spec.deploy is None:
        return []
    checks: tuple[Callable[[Spec, Deploy], Faults], ...] = (
        _images, _names, _labels, _replicas, _resources, _schedule, _data, _secrets, _volumes, _networks,
        _honoured, registry_faults, watch_faults, idle_options, scoring_faults,
        store_faults, server_faults,
    )  # fmt: skip
    found = [fault for check in checks for fault in check(spec, spec.deploy)]
    if any(not fault.warning for fault in found):
        return found
    return [*found, *_rendered(spec, spec.deploy)]


def _workloads(deploy: Deploy) -> Iterator[tuple[Path, Workload]]:
    for name in WORK:
        workload = getattr(deploy, name)
        if workload is not None:
            yield (*_DEPLOY, name), workload


# Images, names and labels.


def _images(spec: Spec, deploy: Deploy) -> Faults:
    hint = "a tag that never moves, such as 1.4.0, or a digest"
    places = [((*_DEPLOY, "image"), deploy.image)]
    places += [((*path, "image"), workload.image) for path, workload in _workloads(deploy)]
    for path, text in places:
        if text is not None:
            try:
                Image.read(text)
            except ValueError as error:
                yield DeployFault("DML151", path, str(error), hint)
    if deploy.service is not None and deploy.image is None and deploy.service.image is None:
        message = "deploy names no image of the service"
        yield DeployFault("DML151", _DEPLOY, message, "add image: HOST/NAME:TAG", at_key=True)
    for name, workload in (("train", deploy.train), ("predict", deploy.predict)):
        if workload is None or workload.image is not None:
            continue
        if name == "predict" and scoring_model(spec) == IN_IMAGE:
            lacks, more = deploy.image is None, ""
        else:
            lacks = _train_image(deploy) is None
            more = "" if deploy.image is None else ": one beside a digest cannot be told from it"
        if lacks:
            message = f"deploy names no image of {WORK[name]}{more}"
            hint = f"add image: HOST/NAME:TAG under deploy.{name}"
            yield DeployFault("DML151", (*_DEPLOY, name), message, hint, at_key=True)


def _train_image(deploy: Deploy) -> str | None:
    """The image that has what the training needs; None where it cannot be named."""
    if deploy.train is not None and deploy.train.image is not None:
        return deploy.train.image
    return None if deploy.image is None or "@" in deploy.image else deploy.image


def _names(spec: Spec, deploy: Deploy) -> Faults:
    names: list[tuple[Path, str | None]] = [((*_DEPLOY, "namespace"), deploy.namespace)]
    names += [((*_DEPLOY, "store", "claim"), deploy.store.claim)]
    names += [((*_DEPLOY, "secrets", key, "secret"), ref.secret) for key, ref in deploy.secrets.items()]
    names += [((*_DEPLOY, "pull_secrets", at), name) for at, name in enumerate(deploy.pull_secrets)]
    for path, workload in _workloads(deploy):
        for key, mount in workload.volumes.items():
            names += [((*path, "volumes", key, "claim"), mount.claim), ((*path, "volumes", key), key)]
        if workload.network is not None:
            names += [
                ((*path, "network", "ingress", n), each) for n, each in enumerate(workload.network.ingress)
            ]
    service = deploy.serve
    if service is not None and service.ingress is not None:
        at: Path = (*_DEPLOY, "serve", "ingress")
        names += [
            ((*at, "tls_secret"), service.ingress.tls_secret),
            ((*at, "namespace"), service.ingress.namespace),
        ]
    if service is not None and service.scrape is not None:
        names.append(((*_DEPLOY, "serve", "scrape", "namespace"), service.scrape.namespace))
    for path, name in names:
        if name is not None and not NAME.match(name):
            long = f" ({len(name)} characters)" if len(name) > 63 else ""
            message = f"'{name}' is no name{long}: small letters, digits and hyphens, 63 at most"
            yield DeployFault("DML155", path, message, "a letter or digit at both ends")


def _labels(spec: Spec, deploy: Deploy) -> Faults:
    holders: list[tuple[Path, Any]] = [(_DEPLOY, deploy), *_workloads(deploy)]
    for path, holder in holders:
        for key, text in holder.labels.items():
            place: Path = (*path, "labels", key)
            if key.startswith((f"{LABEL}/", f"{OWN}/")):
                message = f"the label {key} is ours: selectors need it as it is"
                yield DeployFault("DML163", place, message, "choose another key", at_key=True)
            elif not LABEL_KEY.match(key) or not LABEL_VALUE.match(text):
                message = f"the label {key}: {text} is none: letters, digits and -_. inside, 63 at most"
                yield DeployFault("DML163", place, message, "longer texts may be annotations", at_key=True)
        for key in holder.annotations:
            if not LABEL_KEY.match(key) or key.startswith(f"{OWN}/"):
                message = f"the annotation '{key}' cannot be set"
                yield DeployFault(
                    "DML163", (*path, "annotations", key), message, "choose another key", at_key=True
                )
    for path, workload in _workloads(deploy):
        for name in workload.env:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", name):
                message = f"'{name}' is no name of an environment variable"
                yield DeployFault(
                    "DML163", (*path, "env", name), message, "letters, digits and _", at_key=True
                )
            elif re.search(r"(?i)(password|passwd|secret|token|api_?key|credential)", name):
                message = f"{name} would stand in clear in what is rendered"
                hint = f"keep it in a secret: deploy.secrets: {{{name}: {{secret: NAME, key: KEY}}}}"
                yield DeployFault("DML158", (*path, "env", name), message, hint, at_key=True)


# Numbers.


def _replicas(spec: Spec, deploy: Deploy) -> Faults:
    if deploy.serve is None:
        return
    replicas, path = deploy.serve.replicas, (*_DEPLOY, "serve", "replicas")
    if replicas.max is not None and replicas.max < replicas.min:
        message = f"replicas: max {replicas.max} is below min {replicas.min}"
        yield DeployFault("DML156", (*path, "max"), message, "leave out max for a fixed number")


def _resources(spec: Spec, deploy: Deploy) -> Faults:
    for path, workload in _workloads(deploy):
        yield from _of_pod((*path, "resources"), workload.resources)
    if deploy.store.size is not None:
        yield from _quantity((*_DEPLOY, "store", "size"), deploy.store.size)


def _of_pod(path: Path, wanted: PodResources) -> Faults:
    texts = {("cpu",): wanted.cpu, ("memory",): wanted.memory, ("scratch",): wanted.scratch,
             ("shared_memory",): wanted.shared_memory, ("limits", "cpu"): wanted.limits.cpu,
             ("limits", "memory"): wanted.limits.memory}  # fmt: skip
    faults = [fault for key, text in texts.items() if text for fault in _quantity((*path, *key), text)]
    yield from faults
    if faults:
        return
    for key in ("cpu", "memory"):
        asked, limit = getattr(wanted, key), getattr(wanted.limits, key)
        if limit is not None and amount(asked) > amount(limit):
            message = f"{asked} of {key} is asked for, over its limit {limit}"
            yield DeployFault("DML153", (*path, "limits", key), message, "raise the limit, or ask for less")


def _quantity(path: Path, text: str) -> Faults:
    try:
        fault = None if amount(text) > 0 else f"'{text}' is nothing"
    except ValueError as error:
        fault = str(error)
    if fault is not None:
        yield DeployFault("DML152", path, fault, "such as cpu: 500m and memory: 512Mi")


def _schedule(spec: Spec, deploy: Deploy) -> Faults:
    for path, work in _workloads(deploy):
        if not isinstance(work, JobWorkload):
            continue
        fault = None if work.schedule is None else schedule_fault(work.schedule)
        if fault:
            yield DeployFault("DML154", (*path, "schedule"), fault, 'such as "0 3 * * 1": Mondays at three')
        if work.time_zone not in zoneinfo.available_timezones():
            message = f"'{work.time_zone}' is no time zone"
            yield DeployFault("DML154", (*path, "time_zone"), message, "such as Etc/UTC or Europe/Berlin")
    train = deploy.train
    if train is None or train.schedule is None or schedule_fault(train.schedule):
        return
    if train.parallel == "steps" and train.to.type == DEFAULT:
        message = "a CronJob starts one job, and parallel: steps is many"
        hint = "leave out parallel, or let a workflow engine schedule it"
        yield DeployFault("DML154", (*_DEPLOY, "train", "parallel"), message, hint)


# What pods reach.


def _data(spec: Spec, deploy: Deploy) -> Faults:
    """Pods do not have the files of this machine."""
    if deploy.train is None or not DEPLOYERS.load(deploy.train.to.type).cluster:
        return
    places = [PurePosixPath(mount.at) for mount in deploy.train.volumes.values()]
    if deploy.train.parallel == "steps" and any(source.remote for _, source in _sources(spec)):
        message = (
            "a database may answer otherwise in each pod, and parallel: steps needs the same rows in all"
        )
        hint = "leave out parallel, or put the rows as a file on a volume"
        yield DeployFault("DML157", (*_DEPLOY, "train", "parallel"), message, hint)
    for path, source in _sources(spec):
        file = getattr(source, "path", None)
        if not isinstance(file, str) or "://" in file:
            continue
        if not any(PurePosixPath(file).is_relative_to(place) for place in places):
            message = f"{dotted(path)} is a file of this machine, and the training runs in pods"
            hint = (
                "put it on a volume: deploy.train.volumes: {data: {claim: NAME, at: /data}} and the path "
                "/data/…; or read it from an object store or a database"
            )
            yield DeployFault("DML157", path, message, hint)


def is_elsewhere(spec: Spec) -> bool:
    """Whether files of the data are on a volume that pods mount, and not on this machine."""
    if spec.deploy is None or spec.deploy.train is None:
        return False
    places = [PurePosixPath(mount.at) for mount in spec.deploy.train.volumes.values()]
    files = [str(getattr(source, "path", "")) for _, source in _sources(spec)]
    return any(
        PurePosixPath(file).is_relative_to(place) and not FilePath(place).exists()
        for file in files
        for place in places
    )


def _sources(spec: Spec) -> Iterator[tuple[Path, Source]]:
    if spec.data.source is not None:
        yield ("data", "source"), spec.data.source
    for name, source in spec.data.sources.items():
        yield ("data", "sources", name), source
    split = spec.data.split
    if isinstance(split, FilesSplit):
        for part in ("test", "validation"):
            if isinstance(source := getattr(split, part), Source):
                yield ("data", "split", part), source


def _secrets(spec: Spec, deploy: Deploy) -> Faults:
    """Every secret that a workload's part of the spec names is brought to its pods."""
    works = (("serve", deploy.service), ("train", deploy.train), ("predict", deploy.predict))
    for workload, is_there in works:
        if is_there is None:
            continue
        for name in sorted(variables_of(spec, workload)):
            ref = deploy.secrets.get(name)
            if ref is None or ref.only not in (None, workload):
                message = f"the pods of deploy.{workload} need {name}, and nothing brings it to them"
                hint = f"add secrets: {{{name}: {{secret: NAME, key: KEY}}}} under deploy"
                yield DeployFault("DML158", (*_DEPLOY, "secrets"), message, hint, at_key=True)
    if any(is_there is not None for _, is_there in works):
        read = {each for each in references_of(spec) if each.startswith("${file:")}
        for each in sorted(read):
            message = f"{each} is a file of this machine, which pods do not have"
            hint = "write ${env:NAME}, and deploy.secrets: {NAME: {secret: NAME, key: KEY}}"
            yield DeployFault("DML158", (*_DEPLOY, "secrets"), message, hint, at_key=True)


_TAKEN = ("/tmp", "/store", "/etc/dml", "/model", "/dev/shm")


def _volumes(spec: Spec, deploy: Deploy) -> Faults:
    for path, workload in _workloads(deploy):
        for name, mount in workload.volumes.items():
            yield from _mount((*path, "volumes", name), name, mount)


def _mount(path: Path, name: str, mount: Mount) -> Faults:
    place = PurePosixPath(mount.at)
    if not place.is_absolute() or ":" in mount.at or str(place) == "/":
        yield DeployFault("DML162", (*path, "at"), f"'{mount.at}' is no absolute path", "such as /data")
    elif any(_collides(place, PurePosixPath(taken)) for taken in _TAKEN):
        message = f"{mount.at} is taken: {', '.join(_TAKEN)} are ours"
        yield DeployFault("DML162", (*path, "at"), message, "such as /data")
    if name in ("store", "tmp", "shm") or name.startswith("config-"):
        message = f"the volume name '{name}' is taken"
        yield DeployFault("DML162", path, message, "choose another name", at_key=True)


def _collides(place: PurePosixPath, taken: PurePosixPath) -> bool:
    """Whether a volume would hide what is ours, or lie in it; below /tmp there is room for others."""
    return taken.is_relative_to(place) or (str(taken) != "/tmp" and place.is_relative_to(taken))


def _networks(spec: Spec, deploy: Deploy) -> Faults:
    for path, workload in _workloads(deploy):
        for at, text in enumerate(workload.network.egress if workload.network is not None else ()):
            try:
                ip_network(text)
            except ValueError:
                message = f"'{text}' is no range of addresses"
                yield DeployFault("DML162", (*path, "network", "egress", at), message, "such as 10.0.0.0/8")


# What the target makes of it.


def _honoured(spec: Spec, deploy: Deploy) -> Faults:
    for path, workload in _workloads(deploy):
        target = workload.to  # type: ignore[attr-defined]
        if not getattr(target, f"{path[-1]}s"):
            can = ", ".join(name for name in DEPLOYERS if getattr(DEPLOYERS.load(name), f"{path[-1]}s"))
            yield DeployFault(
                "DML164", (*path, "to"), f"{target.type} does not run {WORK[str(path[-1])]}", f"choose {can}"
            )
        for key in sorted(workload.model_fields_set - target.takes() - {"to", "source", "output"}):
            message = f"{dotted((*path, key))} has no effect: {target.type} has no such thing"
            yield DeployFault("DML161", (*path, key), message, "delete it", at_key=True, warning=True)


def _rendered(spec: Spec, deploy: Deploy) -> Faults:
    """The person's own fields and patches, tried out on what is rendered."""
    whole = release_of(spec)
    bare = replace(whole, pod={}, patches=())
    for name in WORK:
        workload = getattr(bare, name)
        if workload is not None:
            bare = replace(bare, **{name: workload.model_copy(update={"pod": {}})})
    before = _findings(bare)
    for path, tried in _tried(whole, bare, deploy):
        try:
            found = _findings(tried)
        except PatchFault as error:
            yield DeployFault("DML160", path, error.fault, error.hint or "", at_key=False)
            continue
        except UsageError as error:
            yield DeployFault("DML159", path, error.message, error.hint or "", at_key=True)
            continue
        code = "DML160" if path[1] == "patches" else "DML159"
        for finding in found:
            if finding not in before:
                yield DeployFault(code, path, str(finding), finding.hint, True, warning=not finding.refused)


def _tried(whole: Release, bare: Release, deploy: Deploy) -> Iterator[tuple[Path, Release]]:
    if deploy.pod:
        yield (*_DEPLOY, "pod"), replace(bare, pod=whole.pod)
    for name in WORK:
        workload = getattr(whole, name)
        if workload is not None and workload.pod:
            yield (*_DEPLOY, name, "pod"), replace(bare, **{name: workload})
    for at, patch in enumerate(whole.patches):
        yield (*_DEPLOY, "patches", at), replace(bare, patches=(patch,))


def _findings(release: Release) -> list[Finding]:
    """What a cluster has against the release; nothing where the target has no cluster, or needs the plan."""
    found: list[Object] = []
    for name in WORK:
        workload = getattr(release, name)
        only = release.only(**{name: True})
        if workload is None or not workload.to.cluster or workload.to.needs_plan(only):
            continue
        found += workload.to.render(only).objects
    return lint(patched(in_order(found), release.patches))
