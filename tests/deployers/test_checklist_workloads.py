"""The checklist of what an SRE expects, items 9 to 20 and 36 to 57: security, training, serving, order."""

from __future__ import annotations

import json

import pytest
from deployed import EVERY, SPECS, Object, containers, jobs, of_kind, pods, render, rendered

from declarative_ml.core.duration import seconds_of
from declarative_ml.deployers.cron import schedule_fault
from declarative_ml.deployers.manifests.lint import lint

pytestmark = pytest.mark.parametrize("name", SPECS)

ALLOWED = {
    "configMap",
    "secret",
    "emptyDir",
    "projected",
    "downwardAPI",
    "csi",
    "persistentVolumeClaim",
    "ephemeral",
}
PATHS = {
    "triton": ("/v2/models/by-triton/ready", "/v2/health/live"),
    "tf-serving": ("/v1/models/by-tf-serving", None),
}
"""Of the servers of others: what is asked whether they are ready, and alive; None: their port is tried."""
PORTS = {"triton": ["http", "grpc", "metrics"], "tf-serving": ["http", "grpc"]}
ORDER = ["Namespace", "ServiceAccount", "ConfigMap", "PersistentVolumeClaim", "NetworkPolicy", "Service",
         "Deployment", "Job", "CronJob", "HorizontalPodAutoscaler", "PodDisruptionBudget", "Ingress",
         "ServiceMonitor"]  # fmt: skip


def test_9_10_pods_are_nobody(name: str) -> None:
    for _, template in pods(rendered(name)):
        context = template["spec"]["securityContext"]
        assert context["runAsNonRoot"] is True and context["runAsUser"] > 0
        assert context["seccompProfile"]["type"] in ("RuntimeDefault", "Localhost")


def test_11_12_containers_gain_nothing(name: str) -> None:
    for _, each in containers(rendered(name)):
        context = each["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}


def test_13_the_root_is_read_only(name: str) -> None:
    for pod, each in containers(rendered(name)):
        assert each["securityContext"]["readOnlyRootFilesystem"] is True
        mounts = {mount["mountPath"]: mount["name"] for mount in each["volumeMounts"]}
        scratch = next(volume for volume in pod["volumes"] if volume["name"] == mounts["/tmp"])
        assert scratch["emptyDir"]["sizeLimit"]
        home = {item["name"]: item.get("value") for item in each["env"]}
        assert home["HOME"] == home["TMPDIR"] == "/tmp"


def test_14_nothing_of_the_node(name: str) -> None:
    for _, template in pods(rendered(name)):
        pod = template["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        for volume in pod["volumes"]:
            assert set(volume) - {"name"} <= ALLOWED
    for _, each in containers(rendered(name)):
        assert "privileged" not in each["securityContext"]
        assert all("hostPort" not in port for port in each.get("ports", []))


def test_15_accounts_of_their_own(name: str) -> None:
    accounts = {each["metadata"]["name"] for each in of_kind(rendered(name), "ServiceAccount")}
    for _, template in pods(rendered(name)):
        assert template["spec"]["automountServiceAccountToken"] is False
        assert template["spec"]["serviceAccountName"] in accounts - {"default"}
    for each in of_kind(rendered(name), "ServiceAccount"):
        assert each["automountServiceAccountToken"] is False


def test_16_claims_are_writable(name: str) -> None:
    for _, template in pods(rendered(name)):
        pod = template["spec"]
        if any("persistentVolumeClaim" in volume for volume in pod["volumes"]):
            assert pod["securityContext"]["fsGroup"] > 0
            assert pod["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"


def test_17_no_rights(name: str) -> None:
    assert [each for each in rendered(name) if "Role" in each["kind"]] == []


def test_18_the_namespace_is_restricted(name: str) -> None:
    namespaces = of_kind(rendered(name), "Namespace")
    assert len(namespaces) == (name == "every")
    for each in namespaces:
        for level in ("enforce", "warn", "audit"):
            assert each["metadata"]["labels"][f"pod-security.kubernetes.io/{level}"] == "restricted"


def test_19_nothing_to_warn_of(name: str) -> None:
    assert [str(finding) for finding in lint(rendered(name))] == []


def test_20_security_can_be_overridden(name: str) -> None:
    if name != "every":
        return
    for _, template in pods(rendered(name)):
        assert template["spec"]["securityContext"]["runAsUser"] == 20_002
        assert template["spec"]["securityContext"]["runAsNonRoot"] is True
    text = SPECS["cron"] + "  pod: {securityContext: {runAsUser: 30003}}\n"
    (job,) = jobs(render(text))
    assert job["template"]["spec"]["securityContext"]["runAsUser"] == 30_003


def test_36_37_38_jobs_end(name: str) -> None:
    for job in jobs(rendered(name)):
        pod = job["template"]["spec"]
        assert pod["restartPolicy"] == "Never"
        assert {"backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"} <= set(job)
        ignore, fail = job["podFailurePolicy"]["rules"]
        assert ignore["action"] == "Ignore"
        assert ignore["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
        assert fail["action"] == "FailJob" and 3 in fail["onExitCodes"]["values"]
        assert fail["onExitCodes"]["containerName"] in [each["name"] for each in pod["containers"]]


def test_39_jobs_have_time_to_stop(name: str) -> None:
    for job in jobs(rendered(name)):
        assert job["template"]["spec"]["terminationGracePeriodSeconds"] >= 120


def test_40_a_changed_job_has_another_name(name: str) -> None:
    if name not in ("gpu", "steps"):
        return
    changed = render(SPECS[name] + "  pod: {priorityClassName: low}\n")
    before = {each["metadata"]["name"] for each in of_kind(rendered(name), "Job")}
    after = {each["metadata"]["name"] for each in of_kind(changed, "Job")}
    assert before & after == set() and len(before) == len(after)


def test_42_cron_jobs(name: str) -> None:
    for each in of_kind(rendered(name), "CronJob"):
        spec = each["spec"]
        assert schedule_fault(spec["schedule"]) is None and len(spec["schedule"].split()) == 5
        assert spec["timeZone"] and spec["concurrencyPolicy"] == "Forbid"
        assert spec["startingDeadlineSeconds"] > 10
        assert spec["successfulJobsHistoryLimit"] and spec["failedJobsHistoryLimit"]


def test_43_kueue(name: str) -> None:
    queue = "kueue.x-k8s.io/queue-name"
    for job in of_kind(rendered(name), "Job"):
        assert job["metadata"]["labels"].get(queue) == ("research" if name == "every" else None)
        assert job["spec"].get("suspend", False) == (name == "every")
    for each in of_kind(rendered(name), "CronJob"):
        template = each["spec"]["jobTemplate"]
        assert template["metadata"]["labels"].get(queue) == ("research" if name == "cron" else None)
    for _, template in pods(rendered(name)):
        assert queue not in template["metadata"]["labels"]


def test_44_results_outlive_pods(name: str) -> None:
    claims = {each["metadata"]["name"]: each for each in of_kind(rendered(name), "PersistentVolumeClaim")}
    for job in jobs(rendered(name)):
        pod = job["template"]["spec"]
        (container,) = pod["containers"]
        if container["name"] == "predict":
            assert {"name": "out", "mountPath": "/out"} in container["volumeMounts"]
            assert "/out/scored.parquet" in container["args"]
            continue
        store = next(volume for volume in pod["volumes"] if volume["name"] == "store")
        claim = claims[store["persistentVolumeClaim"]["claimName"]]
        assert {"name": "store", "mountPath": "/store"} in container["volumeMounts"]
        assert container["args"][container["args"].index("--store") + 1] == "/store"
        if name == "steps":
            assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_45_reasons_are_kept(name: str) -> None:
    for _, each in containers(rendered(name)):
        assert each["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_46_53_scaling(name: str) -> None:
    (*scalers,) = of_kind(rendered(name), "HorizontalPodAutoscaler")
    deployments = {each["metadata"]["name"]: each for each in of_kind(rendered(name), "Deployment")}
    scaled = {each["spec"]["scaleTargetRef"]["name"] for each in scalers}
    assert scaled <= set(deployments)
    for own, each in deployments.items():
        assert ("replicas" in each["spec"]) == (own not in scaled)
    for each in scalers:
        assert each["apiVersion"] == "autoscaling/v2"
        assert 1 <= each["spec"]["minReplicas"] < each["spec"]["maxReplicas"]
        assert each["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] > 0
        pod = deployments[each["spec"]["scaleTargetRef"]["name"]]["spec"]["template"]["spec"]
        assert all("cpu" in container["resources"]["requests"] for container in pod["containers"])


def test_47_48_probes(name: str) -> None:
    for each in of_kind(rendered(name), "Deployment"):
        (container,) = each["spec"]["template"]["spec"]["containers"]
        probes = {kind: container[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")}
        window = {kind: probe["failureThreshold"] * probe["periodSeconds"] for kind, probe in probes.items()}
        ready, alive = PATHS.get(name, ("/readyz", "/healthz"))
        assert probes["readiness"]["httpGet"]["path"] == ready
        assert alive is None or probes["liveness"]["httpGet"]["path"] == alive
        assert ("tcpSocket" in probes["liveness"]) == (alive is None)
        assert window["startup"] >= seconds_of("5m" if name == "every" else "2m")
        assert window["liveness"] > window["readiness"]
        named = {port["name"] for port in container["ports"]}
        asked = [probe.get("httpGet") or probe["tcpSocket"] for probe in probes.values()]
        assert {each["port"] for each in asked} <= named
        for service in of_kind(rendered(name), "Service"):
            assert {port["targetPort"] for port in service["spec"]["ports"]} <= named


def test_49_pods_stop_gently(name: str) -> None:
    for each in of_kind(rendered(name), "Deployment"):
        pod = each["spec"]["template"]["spec"]
        sleep = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        drain = seconds_of("1m" if name == "every" else "30s")
        assert sleep > 0 and pod["terminationGracePeriodSeconds"] > sleep + drain


def test_50_updates(name: str) -> None:
    for each in of_kind(rendered(name), "Deployment"):
        spec = each["spec"]
        wanted = (
            {"maxUnavailable": 1, "maxSurge": 0} if name == "gpu" else {"maxUnavailable": 0, "maxSurge": 1}
        )
        assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": wanted}
        assert spec["progressDeadlineSeconds"] > spec["minReadySeconds"] > 0
        assert spec["revisionHistoryLimit"] > 0


def test_51_disruption_budgets(name: str) -> None:
    budgets = of_kind(rendered(name), "PodDisruptionBudget")
    assert len(budgets) == (name in ("full", "every", "loop", "triton"))
    for each in budgets:
        assert each["spec"]["maxUnavailable"] == 1 and "minAvailable" not in each["spec"]
        assert each["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_52_pods_spread(name: str) -> None:
    for each in of_kind(rendered(name), "Deployment"):
        spread = each["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert [item["topologyKey"] for item in spread] == [
            "topology.kubernetes.io/zone", "kubernetes.io/hostname"
        ]  # fmt: skip
        for item in spread:
            assert item["whenUnsatisfiable"] == "ScheduleAnyway"
            assert item["labelSelector"] == each["spec"]["selector"]
            assert item["matchLabelKeys"] == ["pod-template-hash"]


def test_54_network_policies(name: str) -> None:
    policies = {
        json.dumps(each["spec"]["podSelector"]["matchLabels"]): each["spec"]
        for each in of_kind(rendered(name), "NetworkPolicy")
    }
    components = {
        template["metadata"]["labels"]["app.kubernetes.io/component"] for _, template in pods(rendered(name))
    }
    assert len(policies) == len(components)
    for selector, spec in policies.items():
        assert spec["policyTypes"] == ["Ingress", "Egress"]
        if "serve" in selector:
            ports = [(port["protocol"], port["port"]) for port in spec["egress"][0]["ports"]]
            assert ports == [("UDP", 53), ("TCP", 53)]
            open_to = [port["port"] for port in spec["ingress"][0]["ports"]]
            assert open_to == PORTS.get(name, ["http"])
        else:
            assert spec["ingress"] == []
    if name == "every":
        serve = next(spec for selector, spec in policies.items() if "serve" in selector)
        assert _namespaces(serve) == ["edge", "observe", "shop"]
        assert serve["egress"][1] == {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}


def _namespaces(policy: Object) -> list[str]:
    peers = [peer["namespaceSelector"]["matchLabels"] for peer in policy["ingress"][0]["from"]
             if "namespaceSelector" in peer]  # fmt: skip
    return [labels["kubernetes.io/metadata.name"] for labels in peers]


def test_55_ingress(name: str) -> None:
    services = {each["metadata"]["name"]: each for each in of_kind(rendered(name), "Service")}
    for each in of_kind(rendered(name), "Ingress"):
        spec = each["spec"]
        assert spec["ingressClassName"] == "nginx"
        assert spec["tls"][0]["secretName"] and spec["tls"][0]["hosts"] == [spec["rules"][0]["host"]]
        (path,) = spec["rules"][0]["http"]["paths"]
        backend = path["backend"]["service"]
        assert path["pathType"] == "Prefix"
        assert backend["port"]["name"] in [p["name"] for p in services[backend["name"]]["spec"]["ports"]]


def test_56_metrics_are_found(name: str) -> None:
    monitors = of_kind(rendered(name), "ServiceMonitor")
    assert len(monitors) == (name in ("full", "every", *PATHS))
    for each in monitors:
        (service,) = of_kind(rendered(name), "Service")
        assert each["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        (endpoint,) = each["spec"]["endpoints"]
        assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
        if name in PATHS:  # they ask for no token
            assert "authorization" not in endpoint
        else:
            assert endpoint["authorization"]["credentials"] == {"name": "telco-serve", "key": "token"}


def test_57_order(name: str) -> None:
    kinds = [each["kind"] for each in rendered(name)]
    assert kinds == sorted(kinds, key=ORDER.index)


def test_the_model_may_come_from_the_store(name: str) -> None:
    if name != "every":
        return
    (each,) = of_kind(render(EVERY), "Deployment")
    pod = each["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"][:4] == ["serve", "/etc/dml/spec.yaml", "--store", "/store"]
    assert {"name": "store", "mountPath": "/store", "readOnly": True} in container["volumeMounts"]
