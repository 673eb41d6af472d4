"""The checklist of what an SRE expects, items 1 to 8 and 21 to 35: identity, images, secrets, resources."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from decimal import Decimal
from itertools import combinations

import pytest
import yaml
from deployed import CRON, EVERY, SPECS, containers, folder_of, of_kind, pods, render, rendered

from declarative_ml.api.deploy import as_text, load, parts_of
from declarative_ml.deployers.image import Image
from declarative_ml.deployers.manifests.names import fit
from declarative_ml.deployers.manifests.text import as_documents
from declarative_ml.deployers.quantity import amount

pytestmark = pytest.mark.parametrize("name", SPECS)

LABEL = "app.kubernetes.io"
KEYS = {f"{LABEL}/{key}" for key in ("name", "instance", "version", "component", "part-of", "managed-by")}
SELECTING = {f"{LABEL}/{key}" for key in ("name", "instance", "component")}
VALUE = re.compile(r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
DNS = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")


def test_1_six_labels(name: str) -> None:
    for each in rendered(name):
        labels = each["metadata"]["labels"]
        assert set(labels) >= KEYS, each["kind"]
        assert [text for text in labels.values() if not VALUE.match(text)] == []


def test_2_selectors_never_change(name: str) -> None:
    for each in of_kind(rendered(name), "Deployment"):
        selector = each["spec"]["selector"]["matchLabels"]
        assert set(selector) == SELECTING
        assert selector.items() <= each["spec"]["template"]["metadata"]["labels"].items()


def test_3_selectors_are_disjoint(name: str) -> None:
    found = [template["metadata"]["labels"] for _, template in pods(rendered(name))]
    by_component = {labels[f"{LABEL}/component"]: labels for labels in found}
    selectors = [each["spec"]["selector"] for each in of_kind(rendered(name), "Service")] + [
        each["spec"]["podSelector"]["matchLabels"] for each in of_kind(rendered(name), "NetworkPolicy")
    ]
    for selector in selectors:
        hit = [which for which, labels in by_component.items() if selector.items() <= labels.items()]
        assert hit == [selector[f"{LABEL}/component"]]


def test_4_names(name: str) -> None:
    seen = set()
    for each in rendered(name):
        longest = 52 if each["kind"] == "CronJob" else 63
        own = each["metadata"]["name"]
        assert DNS.match(own) and len(own) <= longest
        assert each["kind"] != "Service" or own[0].isalpha()
        seen.add((each["kind"], own))
    assert len(seen) == len(rendered(name))
    long = [f"{'a' * 60}-{end}" for end in ("serve", "train", "store")]
    assert len({fit(one) for one in long}) == 3 and all(len(fit(one)) <= 63 for one in long)


def test_5_digests_and_the_same_bytes(name: str) -> None:
    for each in rendered(name):
        own = each["metadata"]["annotations"]
        assert re.fullmatch(r"[0-9a-f]{64}", own["declarative-ml/spec-digest"])
        assert own["declarative-ml/renderer"].startswith("dml-")
    for _, template in pods(rendered(name)):
        assert re.fullmatch(
            r"[0-9a-f]{64}", template["metadata"]["annotations"]["declarative-ml/config-digest"]
        )
    assert as_documents(render(SPECS[name])) == as_documents(rendered(name))
    assert not re.search(r"20\d\d-\d\d-\d\dT", as_documents(rendered(name)))


def test_6_namespaces(name: str) -> None:
    for each in rendered(name):
        head = each["metadata"]
        assert ("namespace" in head) == (each["kind"] != "Namespace")
        assert head.get("namespace") != "default"


def test_7_the_persons_labels(name: str) -> None:
    if name != "every":
        return
    for each in rendered(name):
        assert each["metadata"]["labels"]["team"] == "growth"
        assert each["metadata"]["annotations"]["example.com/owner"] == "ann"
    for _, template in pods(rendered(name)):
        assert template["metadata"]["labels"]["team"] == "growth"
        assert template["metadata"]["annotations"]["example.com/owner"] == "ann"
    (service,) = of_kind(rendered(name), "Deployment")
    assert service["spec"]["template"]["metadata"]["labels"]["tier"] == "front"


def test_8_nothing_of_the_servers(name: str) -> None:
    text = as_documents(rendered(name))
    assert [each["kind"] for each in rendered(name) if "status" in each] == []
    for word in ("creationTimestamp", "managedFields", "resourceVersion"):
        assert word not in text, word
    assert not re.search(r"^[^{}\[\]\"]*: null$", re.sub(r": \|\n(  +.*\n)+", "", text), re.MULTILINE)
    assert [*yaml.safe_load_all(text)] == rendered(name)


def test_21_22_images(name: str) -> None:
    for _, each in containers(rendered(name)):
        image = Image.read(each["image"])
        assert image.digest or image.tag not in ("", "latest")
        assert each["imagePullPolicy"] == "IfNotPresent"


def test_23_pull_secrets(name: str) -> None:
    for _, template in pods(rendered(name)):
        wanted = [{"name": "registry"}] if name == "every" else None
        assert template["spec"].get("imagePullSecrets") == wanted


def test_24_no_secret_in_clear(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ann:hunter2@db/churn")
    monkeypatch.setenv("DML_TOKEN", "s3cr3t-t0ken")
    text = as_documents(render(SPECS[name]))
    assert "hunter2" not in text and "s3cr3t" not in text
    for _, each in containers(rendered(name)):
        for variable in each["env"]:
            if variable["name"] in ("DATABASE_URL", "DML_TOKEN", "AWS_ACCESS_KEY_ID"):
                assert "value" not in variable and variable["valueFrom"]["secretKeyRef"]["key"]
    entropies = [
        _entropy(word) for word in re.findall(r"[A-Za-z0-9+/=_-]{20,}", text) if not _is_digest(word)
    ]
    assert [value for value in entropies if value > 4.6] == []


def _is_digest(word: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{64}", word) is not None


def _entropy(word: str) -> float:
    shares = [word.count(letter) / len(word) for letter in set(word)]
    return -sum(share * math.log2(share) for share in shares)


def test_24_pods_get_only_what_they_need(name: str) -> None:
    if name not in ("full", "every"):
        return
    got = {}
    for _, each in containers(rendered(name)):
        got[each["name"]] = {item["name"] for item in each["env"] if "valueFrom" in item}
    assert got["serve"] == {"DML_TOKEN"}
    assert "DML_TOKEN" not in got["train"] and "DATABASE_URL" in got["train"]


def test_25_no_secret_object(name: str) -> None:
    assert of_kind(rendered(name), "Secret") == []


def test_26_27_config_maps(name: str) -> None:
    for each in of_kind(rendered(name), "ConfigMap"):
        assert each["immutable"] is True
        assert re.search(r"-[0-9a-f]{8}$", each["metadata"]["name"])
        assert sum(len(text.encode()) for text in each["data"].values()) < 2**20
    for each in rendered(name):
        assert len(as_documents([each]).encode()) < 1.5 * 2**20


def test_28_29_resources(name: str) -> None:
    for _, each in containers(rendered(name)):
        requests, limits = each["resources"]["requests"], each["resources"]["limits"]
        assert {"cpu", "memory"} <= set(requests) and "memory" in limits
        for resource, text in requests.items():
            assert amount(str(text)) > 0
            assert resource not in limits or amount(str(text)) <= amount(str(limits[resource]))
        for resource, count in limits.items():
            if "/" in resource:
                assert isinstance(count, int) and requests.get(resource, count) == count


def test_30_31_gpu(name: str) -> None:
    for pod, each in containers(rendered(name)):
        asks = "nvidia.com/gpu" in each["resources"]["limits"]
        tolerated = [item["key"] for item in pod.get("tolerations", [])]
        assert asks == ("nvidia.com/gpu" in tolerated)
    if name == "gpu":
        (job,) = of_kind(rendered(name), "Job")
        selector = job["spec"]["template"]["spec"]["nodeSelector"]
        assert selector == {"nvidia.com/gpu.product": "NVIDIA-A100"}


def test_32_pod_fields_globally_and_by_workload(name: str) -> None:
    if name != "every":
        return
    for kind, keys in (("Deployment", ["spot", "dedicated"]), ("Job", ["nvidia.com/gpu", "spot"])):
        (each,) = of_kind(rendered(name), kind)
        pod = each["spec"]["template"]["spec"]
        assert [item["key"] for item in pod["tolerations"]] == keys
        assert pod["priorityClassName"] == "high" and pod["runtimeClassName"] == "gvisor"
        assert pod["schedulerName"] == "volcano" and pod["nodeSelector"] == {"disk": "ssd"}
    (service,) = of_kind(rendered(name), "Deployment")
    assert "nodeAffinity" in service["spec"]["template"]["spec"]["affinity"]
    (container,) = service["spec"]["template"]["spec"]["containers"]
    assert [port["name"] for port in container["ports"]] == ["http", "extra"]
    assert {"name": "LOG_LEVEL", "value": "info"} in container["env"]
    assert len([item for item in container["env"] if item["name"] == "LOG_LEVEL"]) == 1


def test_33_shared_memory_counts(name: str) -> None:
    for pod, each in containers(rendered(name)):
        shared = [v["emptyDir"] for v in pod["volumes"] if v.get("emptyDir", {}).get("medium") == "Memory"]
        mounted = [mount["mountPath"] for mount in each["volumeMounts"]]
        assert ("/dev/shm" in mounted) == bool(shared)
        if shared:
            size = amount(shared[0]["sizeLimit"])
            resources = each["resources"]
            assert amount(resources["limits"]["memory"]) >= amount(resources["requests"]["memory"]) + size
    if name == "gpu":
        (job,) = of_kind(rendered(name), "Job")
        (container,) = job["spec"]["template"]["spec"]["containers"]
        assert container["resources"]["limits"]["memory"] == "10Gi"


def test_34_scratch_has_a_ceiling(name: str) -> None:
    for pod, each in containers(rendered(name)):
        assert all("sizeLimit" in volume["emptyDir"] for volume in pod["volumes"] if "emptyDir" in volume)
        assert amount(each["resources"]["limits"]["ephemeral-storage"]) > Decimal(0)


def test_35_patches_come_last(name: str) -> None:
    if name != "every":
        return
    (service,) = of_kind(rendered(name), "Deployment")
    assert service["spec"]["revisionHistoryLimit"] == 3
    (service,) = of_kind(rendered(name), "Service")
    assert service["spec"]["sessionAffinity"] == "ClientIP"


def test_the_command_prints_the_same(name: str) -> None:
    path = folder_of(SPECS[name]) / "spec.yaml"
    assert as_text(parts_of(load(path))) == as_documents(rendered(name))


def test_rendering_in_another_process_gives_the_same_bytes(name: str) -> None:
    if name != "every":
        return
    path = folder_of(EVERY) / "spec.yaml"
    command = [sys.executable, "-m", "declarative_ml", "deploy", str(path), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == as_documents(rendered(name))


def test_long_names_keep_their_ends_apart(name: str) -> None:
    if name != "cron":
        return
    accounts = {each["metadata"]["name"] for each in of_kind(render(CRON), "ServiceAccount")}
    assert len(accounts) == 1 and all(len(each) <= 63 for each in accounts)
    for one, other in combinations(("serve", "train"), 2):
        assert fit("x" * 62 + one) != fit("x" * 62 + other)
