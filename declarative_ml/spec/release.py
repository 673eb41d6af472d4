"""From a spec to the release that deployers render."""

from __future__ import annotations

import json
from collections.abc import Mapping

from declarative_ml.core.errors import UsageError
from declarative_ml.core.versions import library_version
from declarative_ml.deployers.base import Release, Scoring
from declarative_ml.deployers.image import Image
from declarative_ml.deployers.model import IN_IMAGE
from declarative_ml.deployers.sections import SecretRef
from declarative_ml.graph.plan import Plan
from declarative_ml.sources.base import Source
from declarative_ml.sources.sink import Sink
from declarative_ml.spec.deploy import Deploy, DeployPredict, environment_of
from declarative_ml.spec.deploy_store import store_of
from declarative_ml.spec.deployed import (
    REGISTRY_VARIABLES,
    asks_server,
    deployed_model,
    deployed_options,
    follows_registry,
    scoring_model,
    serving_part,
)
from declarative_ml.spec.document import Spec
from declarative_ml.spec.dump import spec_digest, spec_to_yaml
from declarative_ml.trackers.registry_name import read_registry_name


def release_of(spec: Spec, plan: Plan | None = None) -> Release:
    """What the section `deploy` asks for; raises UsageError for a spec without it."""
    deploy = spec.deploy
    if deploy is None:
        raise UsageError(
            "the spec has no section 'deploy'",
            hint="for example deploy: {image: registry.example.com/team/model:1}",
        )
    return Release(
        name=spec.name,
        image=_image(deploy),
        train_image=_train_image(deploy),
        namespace=deploy.namespace or spec.name,
        spec_digest=spec_digest(spec),
        spec_text=spec_to_yaml(spec.model_copy(update={"deploy": None})),
        serve_options=deployed_options(spec),
        model=deployed_model(spec),
        asks_registry=follows_registry(spec),
        registry=spec.track.uri,
        serve=deploy.service,
        train=deploy.train,
        predict=deploy.predict,
        scoring=None if deploy.predict is None else _scoring(spec, deploy, deploy.predict),
        plan=plan,
        serve_secrets=_secrets(spec, deploy, "serve"),
        processes=spec.resources.processes or 1,
        train_secrets=_secrets(spec, deploy, "train"),
        predict_secrets=_secrets(spec, deploy, "predict"),
        store=store_of(spec, deploy),
        labels=deploy.labels,
        annotations=deploy.annotations,
        part_of=deploy.part_of or spec.name,
        create_namespace=deploy.create_namespace,
        pod=deploy.pod,
        pull_secrets=deploy.pull_secrets,
        patches=deploy.patches_of_objects(),
        dml_version=library_version("declarative-ml"),
    )


def _image(deploy: Deploy) -> Image | None:
    named = (deploy.service.image if deploy.service is not None else None) or deploy.image
    return None if named is None else Image.read(named)


def _train_image(deploy: Deploy) -> Image | None:
    if deploy.train is not None and deploy.train.image is not None:
        return Image.read(deploy.train.image)
    beside = None if deploy.image is None else Image.read(deploy.image).train()
    return None if beside is None else Image.read(beside)


def _scoring(spec: Spec, deploy: Deploy, wanted: DeployPredict) -> Scoring:
    """The model of an image is in that of the service; everything else has what the training has."""
    model = scoring_model(spec)
    image = _image(deploy) if model == IN_IMAGE else _train_image(deploy)
    source, output = _in_a_line(wanted.source), wanted.output
    if not isinstance(output, str):
        output = _in_a_line(output)
    kept = [word for column in wanted.keep_columns for word in ("--keep", column)]
    named = None if wanted.image is None else Image.read(wanted.image)
    return Scoring(named or image, model, (source, "--output", output, *kept))


def _in_a_line(table: Source | Sink) -> str:
    """As `dml predict` takes it: what a person wrote, secrets as references."""
    said = table.model_dump(mode="json", exclude_defaults=True)
    return json.dumps({"type": table.type, **said}, sort_keys=True)


def variables_of(spec: Spec, workload: str) -> set[str]:
    """The environment variables that the secrets of a workload's part of the spec name."""
    if workload == "serve":
        return set().union(*map(environment_of, serving_part(spec)))
    if workload == "predict":
        scoring = spec.deploy.predict if spec.deploy is not None else None
        return set() if scoring is None else environment_of(scoring)
    update = {"serve": type(spec.serve)(), "monitor": type(spec.monitor)(), "deploy": None}
    return environment_of(spec.model_copy(update=update))


def _unnamed_variables(spec: Spec, workload: str) -> set[str]:
    """Those that no part of the spec names, and that a client of the registry reads if they are there."""
    asks = {
        "serve": asks_server(spec),
        "train": spec.track.enabled is not False,
        "predict": read_registry_name(scoring_model(spec)) is not None and spec.track.uri is not None,
    }[workload]
    return set(REGISTRY_VARIABLES) if asks else set()


def _secrets(spec: Spec, deploy: Deploy, workload: str) -> Mapping[str, SecretRef]:
    """Those that the workload's part of the spec names, and those that no part names: each pod gets only
    what it needs."""
    wanted = variables_of(spec, workload) | _unnamed_variables(spec, workload)
    anywhere = {*REGISTRY_VARIABLES, *environment_of(spec.model_copy(update={"deploy": None}))}
    anywhere |= variables_of(spec, "predict")
    return {
        name: ref
        for name, ref in sorted(deploy.secrets.items())
        if ref.only == workload or (ref.only is None and (name in wanted or name not in anywhere))
    }
