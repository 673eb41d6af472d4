"""Jobs: a pod that runs once, or by a schedule, and what becomes of it when it fails."""

from __future__ import annotations

import re

from declarative_ml.core.digest import digest_json
from declarative_ml.core.duration import seconds_of
from declarative_ml.deployers.base import Object, Release
from declarative_ml.deployers.manifests.names import CRON_LONGEST, LONGEST, OWN, fit, metadata, name_of, value
from declarative_ml.deployers.manifests.pod import Pod, pod_template
from declarative_ml.deployers.sections import JobWorkload

_QUEUE = "kueue.x-k8s.io/queue-name"
HOPELESS = (2, 3, 4, 5, 7)
"""Exit codes of `dml` that come again however often it is tried: the command, the spec, a gate, the data,
a missing library."""


def job(release: Release, pod: Pod, step: str = "") -> Object:
    """A job whose name changes with its template, which cannot be changed once it is there."""
    spec = _spec(release, pod)
    digest = digest_json(spec)[:8]
    more = (re.sub(r"[^a-z0-9]+", "-", step.lower()).strip("-"),) if step else ()
    name = f"{fit(name_of(release, pod.component, *more, longest=200), LONGEST - 9)}-{digest}"
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": head(release, pod, name, step),
        "spec": spec,
    }


def cron_job(release: Release, pod: Pod) -> Object:
    """One that its workload's schedule starts, never two at once."""
    workload = _workload(pod)
    mine = head(release, pod, name_of(release, pod.component, longest=CRON_LONGEST))
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": mine,
        "spec": {
            "schedule": workload.schedule,
            "timeZone": workload.time_zone,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": 3600,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {
                "metadata": {"labels": mine["labels"], "annotations": mine["annotations"]},
                "spec": _spec(release, pod),
            },
        },
    }


def _workload(pod: Pod) -> JobWorkload:
    assert isinstance(pod.workload, JobWorkload)
    return pod.workload


def _spec(release: Release, pod: Pod) -> Object:
    """What a job does when its pod fails: an eviction is no failure, and what cannot succeed is not tried
    again."""
    workload = _workload(pod)
    spec: Object = {
        "backoffLimit": workload.retries,
        "activeDeadlineSeconds": seconds_of(workload.deadline),
        "ttlSecondsAfterFinished": seconds_of(workload.keep),
        "podFailurePolicy": {
            "rules": [
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                {
                    "action": "FailJob",
                    "onExitCodes": {
                        "containerName": pod.component,
                        "operator": "In",
                        "values": list(HOPELESS),
                    },
                },
            ]
        },
        "template": pod_template(release, pod),
    }
    return {"suspend": True, **spec} if workload.queue is not None else spec


def head(release: Release, pod: Pod, name: str, step: str = "") -> Object:
    """The metadata of what runs the pod; Kueue finds its queue there."""
    workload = _workload(pod)
    more = {_QUEUE: workload.queue} if workload.queue is not None else {}
    more |= {f"{OWN}/step": value(step)} if step else {}
    version = pod.image.version
    return metadata(release, pod.component, name, version=version, workload=workload, extra_labels=more)
