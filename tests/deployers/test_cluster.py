"""Applying to a cluster: a fake API server always, and a real one as well where KUBECONFIG is set."""

from __future__ import annotations

import copy
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import targets
from click.testing import CliRunner
from deployed import DATA, IMAGE, MINIMAL, SPECS, Object, of_kind, render, rendered
from fake_kube import KINDS, FakeKube

from declarative_ml.cli import dml
from declarative_ml.core.errors import DmlError, GateFailed, StepFailed
from declarative_ml.deployers.cluster.apply import PRUNED, apply, delete, diff, logs, stale, status
from declarative_ml.deployers.cluster.client import Cluster, Conflict, Refused
from declarative_ml.deployers.cluster.rollout import RolloutFailed
from declarative_ml.deployers.manifests.ground import KEPT

kubernetes = pytest.importorskip("kubernetes", reason="the extra kubernetes is not installed")

REAL = "KUBECONFIG" in os.environ
SPEC = f"""
name: churn
{DATA}
target: Churn
deploy:
  image: {IMAGE}
  namespace: ml
  serve: {{replicas: 2}}
"""


@pytest.fixture
def kube() -> Iterator[FakeKube]:
    with FakeKube() as fake:
        yield fake


def connected(kube: FakeKube) -> Cluster:
    configuration = kubernetes.client.Configuration()
    configuration.host = kube.url
    return Cluster(kubernetes.client.ApiClient(configuration))


@pytest.fixture(params=["fake", *(["real"] if REAL else [])])
def place(request: pytest.FixtureRequest) -> Iterator[tuple[Cluster, str]]:
    """A cluster and a namespace in it."""
    if request.param == "fake":
        with FakeKube() as fake:
            yield connected(fake), "ml"
        return
    cluster, name = Cluster.connect(), f"dml-test-{uuid.uuid4().hex[:8]}"
    labels = {f"pod-security.kubernetes.io/{level}": "restricted" for level in ("enforce", "warn")}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    cluster.apply(namespace)
    yield cluster, name
    cluster.delete(namespace)


def objects_in(namespace: str, text: str = SPEC) -> list[Object]:
    return render(text.replace("namespace: ml", f"namespace: {namespace}"))


def test_create_then_nothing_to_do(place: tuple[Cluster, str]) -> None:
    cluster, namespace = place
    objects = objects_in(namespace)
    first = apply(cluster, objects, seconds=0)
    assert len(first.created) == len(objects) and first.changed == first.unchanged == []
    versions = [cluster.get(each)["metadata"]["resourceVersion"] for each in objects]  # type: ignore[index]
    assert diff(cluster, objects) == []
    stable = [each for each in objects if each["kind"] != "Deployment"]
    again = apply(cluster, stable, seconds=0, prune=False)
    assert len(again.unchanged) == len(stable)
    after = [cluster.get(each)["metadata"]["resourceVersion"] for each in objects]  # type: ignore[index]
    assert [old == new for old, new, each in zip(versions, after, objects, strict=True)
            if each["kind"] != "Deployment"] == [True] * len(stable)  # fmt: skip


def test_diff_names_paths_and_changes_nothing(place: tuple[Cluster, str]) -> None:
    cluster, namespace = place
    apply(cluster, objects_in(namespace), seconds=0)
    changed = objects_in(namespace, SPEC.replace("replicas: 2", "replicas: 3"))
    found = diff(cluster, changed)
    assert ("Deployment churn", "spec.replicas", 2, 3) in [(c.name, c.what, c.before, c.after) for c in found]
    live = cluster.get(of_kind(changed, "Deployment")[0])
    assert live is not None and live["spec"]["replicas"] == 2


def test_what_is_not_rendered_any_more_is_removed(place: tuple[Cluster, str]) -> None:
    cluster, namespace = place
    apply(cluster, objects_in(namespace), seconds=0)
    single = objects_in(namespace, SPEC.replace("replicas: 2", "replicas: 1"))
    assert [each["kind"] for each in stale(cluster, single)] == ["PodDisruptionBudget"]
    assert apply(cluster, single, seconds=0).pruned == ["PodDisruptionBudget churn"]


def test_another_plan_is_left_alone(place: tuple[Cluster, str]) -> None:
    cluster, namespace = place
    other = objects_in(namespace, SPEC.replace("name: churn", "name: other"))
    apply(cluster, other, seconds=0)
    apply(cluster, objects_in(namespace), seconds=0)
    assert all(cluster.get(each) is not None for each in other)


def test_a_job_cannot_be_changed(place: tuple[Cluster, str]) -> None:
    cluster, namespace = place
    text = SPEC + "  train: {volumes: {data: {claim: data, at: /data}}, queue: q}\n"
    (job,) = of_kind(objects_in(namespace, text), "Job")
    cluster.apply(job)
    changed = copy.deepcopy(job)
    changed["spec"]["template"]["spec"]["priorityClassName"] = "low"
    with pytest.raises(Refused, match="immutable") as caught:
        cluster.apply(changed)
    assert "cannot be changed" in str(caught.value.hint)


def test_a_missing_namespace_is_said(place: tuple[Cluster, str]) -> None:
    cluster, _ = place
    with pytest.raises(Refused, match="not found"):
        apply(cluster, objects_in("nowhere"), seconds=0)


def test_delete_goes_backwards_and_keeps_volumes(place: tuple[Cluster, str]) -> None:
    cluster, namespace = place
    text = SPEC + "  train: {volumes: {data: {claim: data, at: /data}}, queue: q}\n"
    objects = objects_in(namespace, text)
    apply(cluster, objects, seconds=0)
    told: list[str] = []
    gone = delete(cluster, objects, told.append)
    assert gone[0].startswith("PodDisruptionBudget") and gone[-1].startswith("ServiceAccount")
    assert "PersistentVolumeClaim churn-store: kept, delete it by hand when nothing in it is needed" in told
    assert delete(cluster, objects) == []


def test_what_a_server_warns_of_is_told(place: tuple[Cluster, str]) -> None:
    """Item 19: a namespace that is `restricted` takes a Deployment with a warning, and refuses its pods."""
    cluster, namespace = place
    good = apply(cluster, objects_in(namespace), seconds=0)
    assert good.warnings == [] and good.as_dict()["warnings"] == []
    told: list[str] = []
    bad = apply(
        cluster, objects_in(namespace, SPEC + "  pod: {hostNetwork: true}\n"), seconds=0, told=told.append
    )
    (warning,) = bad.warnings
    assert warning.startswith(
        'Deployment churn: would violate PodSecurity "restricted:latest": host namespaces'
    )
    assert warning.replace("churn: would", "churn: warning: would") in told


@pytest.mark.slow
def test_19_every_spec_applies_without_a_warning(kube: FakeKube) -> None:
    cluster, labels = connected(kube), {"pod-security.kubernetes.io/warn": "restricted"}
    for name in SPECS:
        objects = rendered(name)
        for namespace in {each["metadata"].get("namespace", "ml") for each in objects}:
            head = {"name": namespace, "labels": labels}
            kube.put({"apiVersion": "v1", "kind": "Namespace", "metadata": head})
        outcome = apply(cluster, objects, seconds=0, prune=False)
        assert len(outcome.created) + len(outcome.changed) + len(outcome.unchanged) == len(objects)
        assert (name, outcome.warnings) == (name, [])


# Objects of operators: a real cluster may not have them, so the fake only.


def test_59_all_that_is_rendered_is_looked_for() -> None:
    """A kind that a target renders and nobody looks for would stay for ever."""
    made = [each for name in (*targets.TARGETS, *targets.PODLESS) for each in targets.rendered(name)[0]]
    made += [each for name in SPECS for each in rendered(name)]
    kinds = {(each["apiVersion"], each["kind"]) for each in made}
    assert {("ray.io/v1", "RayCronJob"), ("argoproj.io/v1alpha1", "CronWorkflow")} <= kinds
    assert {(api, kind) for api, kind in kinds if kind not in KEPT} == set(PRUNED)


OPERATORS = {
    "kserve": "InferenceService",
    "argo": "Workflow",
    "argo-cron": "CronWorkflow",
    "ray": "RayJob",
    "ray-cron": "RayCronJob",
    "kubeflow-trainjob": "TrainJob",
}


@pytest.mark.slow
def test_59_objects_of_operators_are_removed(kube: FakeKube) -> None:
    cluster = connected(kube)
    for name, kind in OPERATORS.items():
        _comes_and_goes(kube, cluster, name, kind)


def _comes_and_goes(kube: FakeKube, cluster: Cluster, name: str, kind: str) -> None:
    """When another target has taken over it is pruned, one at work once it has ended; and it is deleted when
    the spec is."""
    objects = targets.rendered(name)[0]
    after = targets.rendered("kubernetes-serve" if kind == "InferenceService" else "kubernetes")[0]
    (first,) = of_kind(objects, kind)
    assert f"{kind} {first['metadata']['name']}" in apply(cluster, objects, seconds=0).created
    assert dict(status(cluster, objects))[f"{kind} {first['metadata']['name']}"] in ("there", "not begun")
    works = kind in ("Workflow", "RayJob", "TrainJob")
    pruned = apply(cluster, after, seconds=0).pruned
    assert (f"{kind} {first['metadata']['name']}" in pruned) == (not works)
    if works:
        ended: Object = {"phase": "Succeeded", "jobDeploymentStatus": "Complete"}
        ended["conditions"] = [{"type": "Complete", "status": "True"}]
        kube.objects[kind, "ml", first["metadata"]["name"]]["status"] = ended
        assert status(cluster, [first])[0][1] in ("succeeded", "complete")
        assert f"{kind} {first['metadata']['name']}" in apply(cluster, after, seconds=0).pruned
    apply(cluster, objects, seconds=0)
    assert f"{kind} {first['metadata']['name']}" in delete(cluster, objects)
    assert [key for key in kube.objects if key[0] == kind] == []


def test_59_operators_that_are_not_there_are_not_looked_for(
    kube: FakeKube, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind, (group, _) in list(KINDS.items()):
        if "." in group and "k8s.io" not in group:
            monkeypatch.delitem(KINDS, kind)
    cluster, objects = connected(kube), objects_in("ml")
    apply(cluster, objects, seconds=0)
    before = len(kube.requests)
    assert stale(cluster, objects) == []
    asked = kube.requests[before:]
    assert not any("argoproj" in each or "ray.io" in each for each in asked)
    assert asked.count("GET /apis") <= 1


def test_59_a_suspended_job_of_before_is_not_at_work(kube: FakeKube) -> None:
    cluster = connected(kube)
    queued = render(targets.text_of("ray").replace("{to: ray", "{queue: team, to: ray"))
    apply(cluster, queued, seconds=0)
    (job,) = of_kind(queued, "RayJob")
    assert job["spec"]["suspend"] is True
    pruned = apply(cluster, targets.rendered("kubernetes")[0], seconds=0).pruned
    assert f"RayJob {job['metadata']['name']}" in pruned


def test_59_deleting_takes_what_is_at_work_as_well(kube: FakeKube) -> None:
    cluster, before = connected(kube), targets.rendered("ray")[0]
    apply(cluster, before, seconds=0)
    after = render(targets.text_of("ray").replace("processes: 2", "processes: 1"))
    apply(cluster, after, seconds=0)
    assert len([key for key in kube.objects if key[0] == "RayJob"]) == 2
    delete(cluster, after)
    assert [key for key in kube.objects if key[0] == "RayJob"] == []


# What needs controllers, or another manager: the fake only.


def test_conflicts_name_fields_and_force_takes_them(kube: FakeKube) -> None:
    cluster, objects = connected(kube), objects_in("ml")
    apply(cluster, objects, seconds=0)
    kube.set("Deployment", "churn", ("spec", "replicas"), 7, manager="kubectl-scale")
    with pytest.raises(Conflict, match=r'\.spec\.replicas \(conflict with "kubectl-scale"\)') as caught:
        apply(cluster, objects, seconds=0)
    assert caught.value.hint == "--force-conflicts takes them over"
    assert apply(cluster, objects, force=True, seconds=0).changed == ["Deployment churn"]


def test_no_reset_of_what_the_autoscaler_chose(kube: FakeKube) -> None:
    text = SPEC.replace("replicas: 2", "replicas: {min: 2, max: 9}")
    cluster, objects = connected(kube), objects_in("ml", text)
    apply(cluster, objects, seconds=0)
    kube.set("Deployment", "churn", ("spec", "replicas"), 7)
    apply(cluster, objects, seconds=0)
    assert kube.objects["Deployment", "ml", "churn"]["spec"]["replicas"] == 7


def test_a_good_rollout(kube: FakeKube) -> None:
    outcome = apply(connected(kube), objects_in("ml"), seconds=5, poll=0.01)
    assert "Deployment churn" in outcome.created


def test_a_stale_status_does_not_count(kube: FakeKube) -> None:
    cluster, objects = connected(kube), objects_in("ml")
    apply(cluster, objects, seconds=0)
    kube.objects["Deployment", "ml", "churn"]["status"]["observedGeneration"] = 0
    with pytest.raises(RolloutFailed, match="waiting for the controller, after 0 s"):
        apply(cluster, objects, seconds=0.1, poll=0.01)


def test_a_failed_rollout_is_told_and_rolled_back(kube: FakeKube) -> None:
    cluster = connected(kube)
    apply(cluster, objects_in("ml"), seconds=5, poll=0.01)
    before = copy.deepcopy(kube.objects["Deployment", "ml", "churn"]["spec"]["template"])
    config = {name for kind, _, name in kube.objects if kind == "ConfigMap"}
    broken = IMAGE.replace("1.4.0", "1.5.0")
    kube.broken.add(broken)
    text = SPEC.replace("1.4.0", "1.5.0") + "\nserve: {max_rows: 5}\n"
    with pytest.raises(RolloutFailed) as caught:
        apply(cluster, objects_in("ml", text), seconds=5, poll=0.01)
    assert "ImagePullBackOff: Back-off pulling image; rolled back to revision 1" in caught.value.message
    assert kube.objects["Deployment", "ml", "churn"]["spec"]["template"] == before
    assert config <= {name for kind, _, name in kube.objects if kind == "ConfigMap"}


def test_the_first_rollout_has_nothing_to_go_back_to(kube: FakeKube) -> None:
    kube.broken.add(IMAGE)
    with pytest.raises(RolloutFailed, match="there is no revision before it"):
        apply(connected(kube), objects_in("ml"), seconds=5, poll=0.01)


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ({"reason": "FailedCreate", "message": "violates PodSecurity"}, "FailedCreate: violates PodSecurity"),
        ({"reason": "FailedCreate", "message": "exceeded quota"}, "FailedCreate: exceeded quota"),
    ],
)
def test_reasons_without_pods(kube: FakeKube, condition: Object, said: str) -> None:
    cluster, objects = connected(kube), objects_in("ml")
    apply(cluster, objects, seconds=0)
    kube.objects["Deployment", "ml", "churn"]["status"] |= {
        "availableReplicas": 0,
        "conditions": [{"type": "ReplicaFailure", "status": "True", **condition}],
    }
    with pytest.raises(RolloutFailed, match=said):
        apply(cluster, objects, seconds=0.05, poll=0.01)


@pytest.mark.parametrize(
    ("pod", "said"),
    [
        ({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                          "message": "0/3 nodes"}]}, "Unschedulable: 0/3 nodes"),
        ({"containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}},
                                 "lastState": {"terminated": {"exitCode": 5, "message": "no data"}}}]},
         r"CrashLoopBackOff \(exit code 5\): no data"),
        ({"containerStatuses": [{"ready": False, "state": {"running": {}}}]}, "its readiness probe fails"),
    ],
)  # fmt: skip
def test_reasons_of_pods(kube: FakeKube, pod: Object, said: str) -> None:
    cluster, objects = connected(kube), objects_in("ml")
    apply(cluster, objects, seconds=0)
    kube.objects["Deployment", "ml", "churn"]["status"]["availableReplicas"] = 0
    for (kind, _, _), each in kube.objects.items():
        if kind == "Pod":
            each["status"] = pod
    with pytest.raises(RolloutFailed, match=said):
        apply(cluster, objects, seconds=0.05, poll=0.01)


def test_status_and_logs(kube: FakeKube) -> None:
    cluster, objects = connected(kube), objects_in("ml")
    assert {state for _, state in status(cluster, objects)} == {"absent"}
    apply(cluster, objects, seconds=0)
    assert dict(status(cluster, objects))["Deployment churn"] == "2 of 2 pods are new and ready"
    ((name, text),) = logs(cluster, objects, 10)
    assert name.startswith("churn-") and text.endswith("says hello\n")


def test_what_is_not_ours_is_not_deleted(kube: FakeKube) -> None:
    cluster, objects = connected(kube), objects_in("ml")
    kube.put({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "churn", "namespace": "ml"}})
    with pytest.raises(StepFailed, match="Service churn is not ours"):
        delete(cluster, objects)


# The command.


@pytest.fixture
def project(tmp_path: Path, kube: FakeKube, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "spec.yaml").write_text(SPEC)
    config = {"apiVersion": "v1", "kind": "Config", "current-context": "fake",
              "clusters": [{"name": "fake", "cluster": {"server": kube.url}}],
              "users": [{"name": "me", "user": {}}],
              "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "me"}}]}  # fmt: skip
    (tmp_path / "config").write_text(json.dumps(config))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    monkeypatch.setattr(
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config")
    )
    return tmp_path


def deploy(*arguments: str) -> Any:
    return CliRunner().invoke(dml, ["deploy", *arguments])


def test_the_whole_life_of_a_service(project: Path, kube: FakeKube) -> None:
    done = deploy("--diff")
    assert done.exception is not None and isinstance(done.exception, DmlError)
    assert done.exception.exit_code == 8 and "Deployment churn: new" in done.output
    done = deploy("--apply", "--format", "json")
    assert done.exit_code == 0, done.output
    assert "Deployment churn" in json.loads(done.stdout)["created"]
    assert deploy("--diff").exit_code == 0
    assert "2 of 2 pods are new and ready" in deploy("--status").output
    assert "says hello" in deploy("--logs").output
    done = deploy("--delete")
    assert done.exit_code == 0 and "Deployment churn: deleted" in done.output
    assert [key for key in kube.objects if key[0] == "Deployment"] == []


def test_a_timeout_that_is_none(project: Path) -> None:
    done = deploy("--apply", "--timeout", "soon")
    assert "--timeout: 'soon' is no span of time" in str(done.exception)


def test_a_cluster_that_does_not_answer(project: Path, kube: FakeKube) -> None:
    text = (project / "config").read_text().replace(kube.url, "http://127.0.0.1:9")
    (project / "config").write_text(text)
    done = deploy("--status")
    assert isinstance(done.exception, StepFailed) and "the cluster does not answer" in str(done.exception)


def test_a_model_that_failed_its_gates_is_not_deployed(project: Path, kube: FakeKube) -> None:
    folder = project / ".dml" / "runs" / "20260101-000000-abcd"
    folder.mkdir(parents=True)
    faults = {"status": "gate_failed", "faults": ["roc_auc 0.61 is below 0.80"]}
    (folder / "run.json").write_text(
        json.dumps({"name": "churn", "spec_path": "../spec.yaml", "result": faults})
    )
    done = deploy("--apply")
    assert isinstance(done.exception, GateFailed) and done.exception.exit_code == 4
    assert "roc_auc 0.61 is below 0.80" in str(done.exception)
    assert [key for key in kube.objects if key[0] == "Deployment"] == []


def test_minimal_specs_name_their_namespace() -> None:
    assert {each["metadata"]["namespace"] for each in render(MINIMAL)} == {"telco-churn"}
