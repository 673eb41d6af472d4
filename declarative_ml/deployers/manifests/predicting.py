"""Batch scoring: one pod that reads a source and writes predictions, by a schedule or once."""

from __future__ import annotations

from declarative_ml.core.digest import digest_json
from declarative_ml.core.duration import seconds_of
from declarative_ml.core.errors import UsageError
from declarative_ml.deployers.base import Object, Release
from declarative_ml.deployers.image import CONFIG, MODEL, SPEC_FILE, STORE, Image
from declarative_ml.deployers.manifests.access import training_policy
from declarative_ml.deployers.manifests.ground import service_account
from declarative_ml.deployers.manifests.jobs import cron_job, job
from declarative_ml.deployers.manifests.names import hashed, metadata
from declarative_ml.deployers.manifests.pod import Pod
from declarative_ml.deployers.manifests.serving import mounted, store_claim
from declarative_ml.deployers.model import IN_STORE, scoring_reads_store, scoring_words
from declarative_ml.deployers.sections import PredictWorkload

COMPONENT = "predict"


def predicting(release: Release) -> tuple[PredictWorkload, Image]:
    """The workload and its image. Raises UsageError for a release without an image."""
    if release.predict is None or release.scoring is None or release.scoring.image is None:
        raise UsageError("the spec names no image of the scoring", hint="add deploy.image: HOST/NAME:TAG")
    return release.predict, release.scoring.image


def objects(release: Release) -> list[Object]:
    """The job, its account, its policy, and the spec where the model is the latest run of it."""
    workload, image = predicting(release)
    pod = _pod(release)
    return [
        service_account(release, COMPONENT, workload, image.version),
        *([_config_map(release)] if _has_spec(release) else []),
        training_policy(release, COMPONENT, workload, image.version),
        cron_job(release, pod) if workload.schedule is not None else job(release, pod),
    ]


def _has_spec(release: Release) -> bool:
    return release.scoring is not None and release.scoring.model == IN_STORE


def _config_map(release: Release) -> Object:
    workload, image = predicting(release)
    data = {SPEC_FILE: release.spec_text}
    name = hashed(release, COMPONENT, data)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(release, COMPONENT, name, version=image.version, workload=workload),
        "immutable": True,
        "data": data,
    }


def _pod(release: Release) -> Pod:
    workload, image = predicting(release)
    words = tuple(scoring_words(release, own=MODEL, spec=f"{CONFIG}/{SPEC_FILE}", store=STORE))
    config = {CONFIG: _config_map(release)["metadata"]["name"]} if _has_spec(release) else {}
    claims = mounted(workload)
    if scoring_reads_store(release):
        claims.insert(0, ("store", store_claim(release), STORE, True))
    return Pod(
        component=COMPONENT,
        workload=workload,
        image=image,
        arguments=words,
        secrets=release.predict_secrets,
        config=config,
        config_digest=digest_json([words, release.spec_text if config else ""]),
        claims=tuple(claims),
        spec={"restartPolicy": "Never", "terminationGracePeriodSeconds": seconds_of(workload.grace)},
    )
