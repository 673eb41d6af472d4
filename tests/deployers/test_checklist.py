"""The checklist of what an SRE expects, as one table: each item and the assertions that hold it.

Items 1 to 57 are held over all of SPECS, and what is said of pods over every target that makes any.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import test_checklist_identity as identity
import test_checklist_workloads as workloads
from deployed import IMAGE, SPECS, folder_of, of_kind, pods, render
from deployed import rendered as rendered_spec
from restricted import pod_specs, restricted_faults
from targets import PODLESS, TARGETS, pods_of, rendered, text_of

from declarative_ml.core.errors import SpecError, UsageError
from declarative_ml.deployers import DEPLOYERS
from declarative_ml.deployers.image import Image
from declarative_ml.deployers.manifests.text import as_documents
from declarative_ml.deployers.quantity import amount
from declarative_ml.spec.load import load_spec

Check = Callable[..., Any]

of_targets = pytest.mark.parametrize("name", TARGETS)
of_specs = pytest.mark.parametrize("name", SPECS)


# What holds for every target.


@of_targets
def test_1_6_8_objects_of_every_target(name: str) -> None:
    objects, _ = rendered(name)
    for each in objects:
        head = each["metadata"]
        assert set(head["labels"]) >= identity.KEYS and head["labels"]["team"] == "growth"
        assert head["namespace"] == "ml" and "status" not in each
        assert identity.DNS.match(head["name"]) and len(head["name"]) <= 63
    assert not re.search(r"creationTimestamp|managedFields|resourceVersion", as_documents(objects))


@of_targets
def test_9_10_11_12_14_19_pods_of_every_target_are_restricted(name: str) -> None:
    found = pods_of(name)
    assert found
    assert [fault for pod in found for fault in restricted_faults(pod)] == []


@of_specs
def test_19_pods_of_every_spec_are_restricted(name: str) -> None:
    found = [pod for each in rendered_spec(name) for pod in pod_specs(each)]
    assert len(found) == len(pods(rendered_spec(name))) > 0
    assert [fault for pod in found for fault in restricted_faults(pod)] == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("hostPID: true", "host namespaces (hostPID=true)"),
        ("volumes: [{name: h, hostPath: {path: /}}]", "restricted volume types (hostPath)"),
        ("securityContext: {runAsUser: 0}", "runAsUser=0"),
        ("securityContext: {runAsNonRoot: false}", "serve: runAsNonRoot != true"),
        ("securityContext: {seccompProfile: {type: Unconfined}}", "seccompProfile is Unconfined"),
        ("securityContext: {sysctls: [{name: kernel.msgmax, value: '1'}]}", "forbidden sysctls"),
        ("containers: [{name: serve, securityContext: {privileged: true}}]", "serve: privileged"),
        ("containers: [{name: serve, securityContext: {procMount: Unmasked}}]", "serve: procMount"),
        ("containers: [{name: more, image: 'example.com/a:1'}]", "more: allowPrivilegeEscalation != false"),
    ],
)  # fmt: skip
def test_19_each_rule_finds_its_fault(change: str, fault: str) -> None:
    text = SPECS["minimal"].replace(f"{{image: {IMAGE}}}", f"{{image: {IMAGE}, pod: {{{change}}}}}")
    (pod,) = [pod for each in render(text) for pod in pod_specs(each)]
    assert any(each.startswith(fault) for each in restricted_faults(pod))


@of_targets
def test_13_15_16_pods_of_every_target(name: str) -> None:
    accounts = [each["metadata"]["name"] for each in of_kind(rendered(name)[0], "ServiceAccount")]
    for pod in pods_of(name):
        assert [pod["serviceAccountName"]] == accounts
        # Argo's executor writes results of tasks; the token of a TrainJob's pod is its runtime's to say.
        if not name.startswith(("argo", "kubeflow")):
            assert pod["automountServiceAccountToken"] is False
        if any("persistentVolumeClaim" in volume for volume in pod["volumes"]):
            assert pod["securityContext"]["fsGroup"] > 0
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert all(volume["emptyDir"]["sizeLimit"] for volume in pod["volumes"] if "emptyDir" in volume)


@of_targets
def test_20_23_32_fields_of_pods_reach_every_target(name: str) -> None:
    for pod in pods_of(name):
        context = pod["securityContext"]
        assert context["runAsUser"] == 20_002 and context["runAsNonRoot"] is True
        assert pod["nodeSelector"] == {"disk": "ssd"}
        assert pod["imagePullSecrets"] == [{"name": "registry"}]


@of_targets
def test_21_24_28_containers_of_every_target(name: str) -> None:
    for container in [each for pod in pods_of(name) for each in pod["containers"]]:
        if name != "kubeflow-trainjob":  # those are in its `trainer`, below
            _check(container["image"], container["resources"], container.get("env", []))
    for job in of_kind(rendered(name)[0], "TrainJob"):
        trainer = job["spec"]["trainer"]
        _check(trainer["image"], trainer["resourcesPerNode"], trainer["env"])


def _check(image: str, resources: dict[str, Any], env: list[dict[str, Any]]) -> None:
    named = Image.read(image)
    assert named.digest or named.tag not in ("", "latest")
    assert {"cpu", "memory"} <= set(resources["requests"]) and "memory" in resources["limits"]
    for resource, text in resources["requests"].items():
        assert amount(str(text)) <= amount(str(resources["limits"].get(resource, text)))
    assert [each for each in env if each["name"] == "TOKEN" and "value" in each] == []


@pytest.mark.parametrize("name", [*TARGETS, *PODLESS])
def test_24_no_target_writes_a_secret_down(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "s3cr3t-t0ken")
    rendered.cache_clear()
    objects, files = rendered(name)
    assert "s3cr3t" not in as_documents(objects) + "".join(files.values())


# Item 41: a training is one pod, and its processes share that; there is no fan-out over machines.


@of_specs
def test_41_jobs_are_one_pod(name: str) -> None:
    for job in workloads.jobs(rendered_spec(name)):
        assert job.get("parallelism", 1) == job.get("completions", 1) == 1
        assert "subdomain" not in job["template"]["spec"]


def test_41_a_trainjob_is_one_node() -> None:
    (job,) = of_kind(rendered("kubeflow-trainjob")[0], "TrainJob")
    trainer = job["spec"]["trainer"]
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (1, 2)


@pytest.mark.parametrize("key", ["parallelism", "completions"])
def test_41_fan_out_is_refused(key: str) -> None:
    text = SPECS["distributed"] + f"  patches: [{{kind: Job, merge: {{spec: {{{key}: 3}}}}}}]\n"
    with pytest.raises((SpecError, UsageError)) as caught:
        render(text)
    assert isinstance(caught.value, SpecError)
    (problem,) = caught.value.problems
    assert (problem.code, problem.path) == ("DML160", "deploy.patches[0]")
    assert f"{key} 3: each of its pods would do the whole work" in problem.message
    assert "resources.processes" in str(problem.hint)


def test_41_there_are_no_nodes_to_name() -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(folder_of(SPECS["distributed"].replace("processes: 2", "nodes: 2")) / "spec.yaml")
    assert [each.path for each in caught.value.problems] == ["resources.nodes"]


# The table.

try:
    import test_cluster as cluster
except pytest.skip.Exception:  # the extra kubernetes is not installed
    cluster = None  # type: ignore[assignment]

APPLYING: dict[int, tuple[str, ...]] = {
    19: ("test_what_a_server_warns_of_is_told", "test_19_every_spec_applies_without_a_warning"),
    46: ("test_no_reset_of_what_the_autoscaler_chose",),
    57: ("test_conflicts_name_fields_and_force_takes_them", "test_delete_goes_backwards_and_keeps_volumes"),
    58: ("test_create_then_nothing_to_do", "test_diff_names_paths_and_changes_nothing"),
    59: (
        "test_what_is_not_rendered_any_more_is_removed",
        "test_another_plan_is_left_alone",
        "test_59_objects_of_operators_are_removed",
        "test_59_all_that_is_rendered_is_looked_for",
    ),
    60: (
        "test_a_stale_status_does_not_count",
        "test_a_failed_rollout_is_told_and_rolled_back",
        "test_reasons_without_pods",
        "test_reasons_of_pods",
    ),
}
"""In test_cluster: held against the fake server always, and a real one where KUBECONFIG is set."""

HERE = {name: each for name, each in globals().items() if name.startswith("test_")}


def _numbered(module: dict[str, Any]) -> dict[int, list[Check]]:
    """The tests of a module by the numbers in their names."""
    found: dict[int, list[Check]] = {}
    for name, each in module.items():
        numbers = re.match(r"test((?:_\d+)+)_", name)
        for number in numbers[1].split("_")[1:] if numbers and callable(each) else ():
            found.setdefault(int(number), []).append(each)
    return found


_MODULES = [_numbered(module) for module in (vars(identity), vars(workloads), HERE)]
ITEMS = {number: [check for each in _MODULES for check in each.get(number, [])] for number in range(1, 61)}
"""Each item and the functions that hold it."""


@pytest.mark.parametrize("item", range(1, 61))
def test_every_item_has_an_assertion(item: int) -> None:
    checks = ITEMS[item]
    if cluster is not None:
        checks = [*checks, *(getattr(cluster, name) for name in APPLYING.get(item, ()))]
    assert checks or item in APPLYING, f"nothing holds item {item}"


def test_the_specs_are_all_that_there_is() -> None:
    assert {"minimal", "full", "gpu", "distributed", "cron", "steps"} <= set(SPECS)
    targets = {name.partition("-")[0] for name in (*TARGETS, *PODLESS)} - {"docker"} | {"docker-compose"}
    assert targets == set(DEPLOYERS)
    for name in (*TARGETS, *PODLESS):
        assert load_spec(folder_of(text_of(name)) / "spec.yaml").spec.deploy is not None
