"""Argo Workflows: the plan's graph as a DAG, each step a pod; by a schedule, a CronWorkflow.

https://argo-workflows.readthedocs.io/ · the shape is that of the CRDs of Argo 4.1.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar, Literal

from pydantic import Field

from declarative_ml.core.duration import seconds_of
from declarative_ml.deployers.base import Deployer, Object, Release, Rendered
from declarative_ml.deployers.graph_names import RUN, by_steps, plan_of, tasks
from declarative_ml.deployers.image import CONFIG, PLAN_FILE, SPEC_FILE, STORE
from declarative_ml.deployers.manifests import training
from declarative_ml.deployers.manifests.jobs import HOPELESS
from declarative_ml.deployers.manifests.names import CRON_LONGEST, metadata, name_of
from declarative_ml.deployers.manifests.order import in_order
from declarative_ml.deployers.manifests.pod import pod_template

_API = "argoproj.io/v1alpha1"
_STEP = "step"
_SAME = frozenset(
    {
        *(
            "volumes",
            "securityContext",
            "serviceAccountName",
            "imagePullSecrets",
            "nodeSelector",
            "tolerations",
        ),
        *("affinity", "hostAliases", "dnsConfig", "dnsPolicy", "hostNetwork"),
        *("schedulerName", "priorityClassName"),
    }
)
"""Fields of a pod that a Workflow has itself; the rest goes into its podSpecPatch."""
_SAME_AS = {"priorityClassName": "podPriorityClassName"}
_OWN = frozenset({"containers", "restartPolicy", "automountServiceAccountToken"})
"""Fields of a pod that Argo sets itself, or has elsewhere."""
_SCHEDULES = (3, 6)
"""Since 3.6 a CronWorkflow has `schedules`; `schedule` is gone in 4.0."""


class Argo(Deployer):
    """A Workflow whose tasks are the steps of the plan, or a CronWorkflow of it."""

    type: Literal["argo"] = "argo"
    version: str = Field(
        default="4.1", pattern=r"^[0-9]+\.[0-9]+$", description="Of Argo Workflows in the cluster"
    )

    trains: ClassVar[bool] = True
    cluster: ClassVar[bool] = True
    honours: ClassVar[frozenset[str]] = frozenset(
        {
            *("image", "resources", "env", "labels", "annotations", "volumes", "pod", "network"),
            *("schedule", "time_zone", "retries", "deadline", "keep", "grace"),
        }
    )

    def needs_plan(self, release: Release) -> bool:
        """Its graph is the workflow's."""
        return release.train is not None

    def render(self, release: Release) -> Rendered:
        """The workflow, and what its pods need: spec and plan, an account with its one right, the store."""
        if release.train is None:
            return Rendered()
        release = by_steps(release)
        _, image = training.training(release)
        found = [
            *training.surroundings(release),
            *_rights(release, image.version),
            self._workflow(release),
        ]
        return Rendered(tuple(in_order(found)))

    def _workflow(self, release: Release) -> Object:
        workload, image = training.training(release)
        spec = workflow_spec(release)
        if workload.schedule is None:
            head = metadata(
                release,
                training.COMPONENT,
                training.name_by_content(release, spec),
                version=image.version,
                workload=workload,
            )
            return {"apiVersion": _API, "kind": "Workflow", "metadata": head, "spec": spec}
        number = tuple(int(part) for part in self.version.split("."))
        when: Object = (
            {"schedules": [workload.schedule]} if number >= _SCHEDULES else {"schedule": workload.schedule}
        )
        head = metadata(
            release,
            training.COMPONENT,
            name_of(release, training.COMPONENT, longest=CRON_LONGEST),
            version=image.version,
            workload=workload,
        )
        return {
            "apiVersion": _API,
            "kind": "CronWorkflow",
            "metadata": head,
            "spec": {
                **when,
                "timezone": workload.time_zone,
                "concurrencyPolicy": "Forbid",
                "startingDeadlineSeconds": 3600,
                "successfulJobsHistoryLimit": 3,
                "failedJobsHistoryLimit": 3,
                "workflowSpec": spec,
            },
        }


def workflow_spec(release: Release) -> Object:
    """One template for all steps, one for the run, and the DAG of the plan."""
    workload, _ = training.training(release)
    step_arguments = ("step", f"{CONFIG}/{PLAN_FILE}", "{{inputs.parameters.step}}", "--store", STORE)
    step = pod_template(release, training.training_pod(release, *step_arguments))
    run_arguments = ("run", f"{CONFIG}/{SPEC_FILE}", "--collect", "--store", STORE)
    run = pod_template(release, training.training_pod(release, *run_arguments))
    pod: dict[str, Any] = step["spec"]
    more = {name: value for name, value in pod.items() if name not in _SAME | _OWN}
    return {
        "entrypoint": "plan",
        "activeDeadlineSeconds": seconds_of(workload.deadline),
        "ttlStrategy": {"secondsAfterCompletion": seconds_of(workload.keep)},
        "podGC": {"strategy": "OnWorkflowSuccess"},
        "podMetadata": step["metadata"],
        **{_SAME_AS.get(name, name): value for name, value in pod.items() if name in _SAME},
        # The executor beside each container writes down what became of it: the one right of the account.
        "automountServiceAccountToken": True,
        **({"podSpecPatch": json.dumps(more, sort_keys=True)} if more else {}),
        "templates": [
            {
                "name": "plan",
                "dag": {
                    "tasks": [_task(task.name, task.step, task.needs) for task in tasks(plan_of(release))]
                },
            },
            {
                "name": _STEP,
                "inputs": {"parameters": [{"name": "step"}]},
                **_template(workload.retries, step),
            },
            {"name": RUN, **_template(workload.retries, run)},
        ],
    }


def _task(name: str, step: str, needs: tuple[str, ...]) -> Object:
    found: Object = {"name": name, "template": _STEP if step else RUN}
    if step:
        found["arguments"] = {"parameters": [{"name": "step", "value": step}]}
    return {**found, "dependencies": list(needs)} if needs else found


def _template(retries: int, pod: Object) -> Object:
    """What cannot succeed however often it is tried is not tried again."""
    (container, *beside) = pod["spec"]["containers"]
    hopeless = ", ".join(str(code) for code in HOPELESS)
    return {
        "container": {**container, "name": "main"},
        **({"sidecars": beside} if beside else {}),
        "retryStrategy": {
            "limit": str(retries),
            "retryPolicy": "Always",
            "expression": f"!(asInt(lastRetry.exitCode) in [{hopeless}])",
        },
    }


def _rights(release: Release, version: str) -> list[Object]:
    """The account may write the results of tasks, and nothing else."""
    name = name_of(release, training.COMPONENT)
    head = metadata(release, training.COMPONENT, name, version=version, workload=release.train)
    rule = {"apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"]}
    account = {"kind": "ServiceAccount", "name": name, "namespace": release.namespace}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    api = "rbac.authorization.k8s.io/v1"
    return [
        {"apiVersion": api, "kind": "Role", "metadata": head, "rules": [rule]},
        {
            "apiVersion": api,
            "kind": "RoleBinding",
            "metadata": head,
            "subjects": [account],
            "roleRef": reference,
        },
    ]
