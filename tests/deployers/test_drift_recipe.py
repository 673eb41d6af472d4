"""The recipe of docs/deploy.md by which drift starts the training: it parses, and names what is rendered."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from deployed import Object, of_kind, render
from restricted import restricted_faults

TEXT = (Path(__file__).parents[2] / "docs/deploy.md").read_text()
PART = TEXT[TEXT.index("## The loop") : TEXT.index("## Batch scoring")]
TEMPLATE = {
    *(
        "affinity",
        "container",
        "imagePullSecrets",
        "metadata",
        "nodeSelector",
        "priority",
        "priorityClassName",
    ),
    *("securityContext", "serviceAccountName", "tolerations", "volumes"),
}
FIELDS = {
    "EventSource": {"eventBusName", "replicas", "service", "template", "webhook"},
    "Sensor": {
        *("dependencies", "errorOnFailedRound", "eventBusName", "loggingFields", "replicas"),
        *("revisionHistoryLimit", "template", "triggers"),
    },
}
"""Of api/jsonschema of Argo Events, as far as a webhook is concerned: its CRDs take any field."""


@cache
def rendered() -> list[Object]:
    found = re.search(r"```yaml\n(.*?)```", PART, re.DOTALL)
    assert found is not None
    return render(found[1])


@cache
def receiver() -> dict[str, Object]:
    found = re.search(r"<<'EOF'\n(.*?)^EOF$", PART, re.DOTALL | re.MULTILINE)
    assert found is not None
    return {each["kind"]: each for each in yaml.safe_load_all(found[1])}


@cache
def created() -> dict[tuple[str, str], dict[str, str]]:
    """What `kubectl create` makes: kind and name -> its options."""
    found = {}
    for line in re.findall(r"^kubectl -n ml create (.*)$", PART, re.MULTILINE):
        words = shlex.split(line.replace("secret generic", "secret"))
        options = dict(word[2:].split("=", 1) for word in words[2:])
        found[words[0], words[1]] = options
    return found


def job() -> Object:
    (trigger,) = receiver()["Sensor"]["spec"]["triggers"]
    resource: Object = trigger["template"]["k8s"]["source"]["resource"]
    return resource


def test_its_fields_are_those_of_argo_events() -> None:
    assert set(receiver()) == {"EventSource", "Sensor"}
    for kind, each in receiver().items():
        assert set(each) == {"apiVersion", "kind", "metadata", "spec"}
        assert (each["apiVersion"], each["metadata"]["namespace"]) == ("argoproj.io/v1alpha1", "ml")
        assert set(each["spec"]) <= FIELDS[kind] and set(each["spec"]["template"]) <= TEMPLATE
    (trigger,) = receiver()["Sensor"]["spec"]["triggers"]
    assert set(trigger) == {"template"} and set(trigger["template"]) == {"name", "k8s"}
    assert set(trigger["template"]["k8s"]) == {"operation", "source"}
    (dependency,) = receiver()["Sensor"]["spec"]["dependencies"]
    source = receiver()["EventSource"]
    assert dependency["eventSourceName"] == source["metadata"]["name"]
    assert dependency["eventName"] in source["spec"]["webhook"]


def test_the_call_arrives() -> None:
    source = receiver()["EventSource"]
    (event,) = source["spec"]["webhook"].values()
    (port,) = source["spec"]["service"]["ports"]
    assert event["method"] == "POST" and event["port"] == str(port["targetPort"])
    (reference,) = [
        each["valueFrom"]["secretKeyRef"]
        for deployment in of_kind(rendered(), "Deployment")
        for each in deployment["spec"]["template"]["spec"]["containers"][0]["env"]
        if each["name"] == "DRIFT_URL"
    ]
    secret = created()["secret", reference["name"]]
    key, _, url = secret["from-literal"].partition("=")
    assert key == reference["key"]
    parts = urlsplit(url)
    # The controller of Argo Events names the Service so.
    assert parts.hostname == f"{source['metadata']['name']}-eventsource-svc.ml.svc"
    assert (parts.port, parts.path) == (port["port"], event["endpoint"])


def test_the_training_that_is_rendered_is_started() -> None:
    (cron,) = of_kind(rendered(), "CronJob")
    assert cron["metadata"]["namespace"] == "ml"
    (container,) = job()["spec"]["template"]["spec"]["containers"]
    assert container["args"][:4] == ["create", "job", "-n", "ml"]
    assert f"--from=cronjob/{cron['metadata']['name']}" in container["args"]
    lock = container["args"][-1]
    assert f"The name `{lock}` is the lock" in PART


def test_it_may_do_that_and_nothing_else() -> None:
    (cron,) = of_kind(rendered(), "CronJob")
    account = job()["spec"]["template"]["spec"]["serviceAccountName"]
    assert receiver()["Sensor"]["spec"]["template"]["serviceAccountName"] == account
    assert ("serviceaccount", account) in created()
    roles = {name: options for (kind, name), options in created().items() if kind == "role"}
    assert sorted((each["verb"], each["resource"], each.get("resource-name")) for each in roles.values()) == [
        ("create", "jobs.batch", None),
        ("get", "cronjobs.batch", cron["metadata"]["name"]),
    ]
    bound = {options["role"]: options for (kind, _), options in created().items() if kind == "rolebinding"}
    assert set(bound) == set(roles)
    assert {each["serviceaccount"] for each in bound.values()} == {f"ml:{account}"}


def test_its_pods_are_let_into_a_restricted_namespace() -> None:
    pods: list[dict[str, Any]] = [job()["spec"]["template"]["spec"]]
    for each in receiver().values():
        template = each["spec"]["template"]
        pods.append({**template, "containers": [{"name": "main", **template["container"]}]})
    assert [restricted_faults(pod) for pod in pods] == [[], [], []]


def test_the_job_is_one() -> None:
    library = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    library.validate(job(), "1.36", strict=True)
