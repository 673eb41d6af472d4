"""Quantities, schedules, images, merging and patching: what rendering is made of."""

from __future__ import annotations

from typing import Any

import pytest
from deployed import IMAGE, MINIMAL, STEPS, containers, of_kind, render

from declarative_ml.core.errors import SpecError, UsageError
from declarative_ml.deployers.base import Patch
from declarative_ml.deployers.cron import schedule_fault
from declarative_ml.deployers.image import Image
from declarative_ml.deployers.manifests.lint import lint
from declarative_ml.deployers.manifests.merge import overlay
from declarative_ml.deployers.manifests.patching import PatchFault, patched
from declarative_ml.deployers.quantity import amount, as_bytes


@pytest.mark.parametrize(
    ("text", "value"),
    [("500m", 0.5), ("2", 2), ("1.5", 1.5), ("512Mi", 512 * 2**20), ("2G", 2e9), ("1e3", 1000), ("1E", 1e18),
     ("1Ei", 2**60), (".5", 0.5), ("3k", 3000)],
)  # fmt: skip
def test_quantities(text: str, value: float) -> None:
    assert float(amount(text)) == value


@pytest.mark.parametrize("text", ["100 milli", "", "Mi", "-1", "1 Gi", "1mb", "two", "1KiB"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        amount(text)


def test_bytes_read_back() -> None:
    assert as_bytes(amount("8Gi") + amount("2Gi")) == "10Gi"
    assert as_bytes(amount("1500k")) == "1500000"


@pytest.mark.parametrize(
    "text", ["0 3 * * 1", "*/5 * * * *", "0 0 1,15 jan-mar mon-fri", "@daily", "0 22 * * 7"]
)
def test_schedules(text: str) -> None:
    assert schedule_fault(text) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [("every day", "has 2 fields"), ("60 * * * *", "'60' is no minute"), ("* 5-2 * * *", "'5-2' is no hour"),
     ("* * 0 * *", "'0' is no day"), ("* * * * */0", "is no weekday"), ("* * * foo *", "'foo' is no month"),
     ("", "has 0 fields")],
)  # fmt: skip
def test_what_is_no_schedule(text: str, said: str) -> None:
    assert said in str(schedule_fault(text))


@pytest.mark.parametrize(
    ("text", "shown", "version"),
    [("a/b:1", "a/b:1", "1"), ("localhost:5000/a:x", "localhost:5000/a:x", "x"),
     (f"r.io/a:1@sha256:{'a' * 64}", f"r.io/a@sha256:{'a' * 64}", "1"),
     (f"a@sha256:{'b' * 64}", f"a@sha256:{'b' * 64}", "b" * 12)],
)  # fmt: skip
def test_images(text: str, shown: str, version: str) -> None:
    image = Image.read(text)
    assert (str(image), image.version) == (shown, version)


@pytest.mark.parametrize("text", ["a", "a:latest", "A/b:1", "a@sha256:12", "a b:1", "localhost:5000/a", ""])
def test_what_is_no_image(text: str) -> None:
    with pytest.raises(ValueError, match=r"no name of an image|no tag|tag latest"):
        Image.read(text)


@pytest.mark.parametrize(
    ("base", "over", "merged"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}),
        ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
        ({"a": {"b": 1}}, {"a": {"$patch": "replace", "c": 2}}, {"a": {"c": 2}}),
        ({"env": [{"name": "A", "value": "1"}]}, {"env": [{"name": "A", "value": "2"}, {"name": "B"}]},
         {"env": [{"name": "A", "value": "2"}, {"name": "B"}]}),
        ({"env": [{"name": "A", "value": "1"}]}, {"env": [{"name": "A", "valueFrom": {"x": {}}}]},
         {"env": [{"name": "A", "valueFrom": {"x": {}}}]}),
        ({"env": [{"name": "A"}, {"name": "B"}]}, {"env": [{"name": "A", "$patch": "delete"}]},
         {"env": [{"name": "B"}]}),
        ({"args": ["a", "b"]}, {"args": ["c"]}, {"args": ["c"]}),
        ({"tolerations": [{"key": "a"}]}, {"tolerations": [{"key": "a"}, {"key": "b"}]},
         {"tolerations": [{"key": "a"}, {"key": "b"}]}),
        ({"ports": [{"containerPort": 1, "name": "x"}]}, {"ports": [{"containerPort": 1, "name": "y"}]},
         {"ports": [{"containerPort": 1, "name": "y"}]}),
        ({}, {"volumes": [{"name": "v", "emptyDir": {}}]}, {"volumes": [{"name": "v", "emptyDir": {}}]}),
    ],
)  # fmt: skip
def test_overlays(base: Any, over: Any, merged: Any) -> None:
    assert overlay(base, over) == merged


@pytest.mark.parametrize(
    ("operations", "spec"),
    [
        ([{"op": "add", "path": "/spec/b", "value": 2}], {"a": [1, 2], "b": 2}),
        ([{"op": "add", "path": "/spec/a/0", "value": 0}], {"a": [0, 1, 2]}),
        ([{"op": "add", "path": "/spec/a/-", "value": 3}], {"a": [1, 2, 3]}),
        ([{"op": "replace", "path": "/spec/a/1", "value": 9}], {"a": [1, 9]}),
        ([{"op": "remove", "path": "/spec/a/0"}], {"a": [2]}),
        ([{"op": "copy", "from": "/spec/a/0", "path": "/spec/c"}], {"a": [1, 2], "c": 1}),
        ([{"op": "move", "from": "/spec/a", "path": "/spec/x~1y"}], {"x/y": [1, 2]}),
        ([{"op": "test", "path": "/spec/a", "value": [1, 2]}], {"a": [1, 2]}),
    ],
)
def test_json_patches(operations: list[dict[str, Any]], spec: Any) -> None:
    each = {"kind": "K", "metadata": {"name": "n"}, "spec": {"a": [1, 2]}}
    (done,) = patched([each], [Patch("K", None, operations=tuple(operations))])
    assert done["spec"] == spec and each["spec"] == {"a": [1, 2]}


@pytest.mark.parametrize(
    "operation",
    [{"op": "remove", "path": "/spec/z"}, {"op": "replace", "path": "/spec/a/7", "value": 1},
     {"op": "add", "path": "spec/a", "value": 1}, {"op": "test", "path": "/spec/a", "value": []}],
)  # fmt: skip
def test_patches_that_cannot_be(operation: dict[str, Any]) -> None:
    each = {"kind": "K", "metadata": {"name": "n"}, "spec": {"a": [1, 2]}}
    with pytest.raises(PatchFault, match=r"deploy.patches\[0\]: cannot"):
        patched([each], [Patch("K", "n", operations=(operation,))])


def test_patches_need_an_object() -> None:
    with pytest.raises(UsageError, match=r"no K m is rendered"):
        patched([], [Patch("K", "m", merge={"a": 1})])


@pytest.mark.parametrize(
    ("pod", "said"),
    [
        ({"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}, "is of the kind hostPath"),
        ({"hostNetwork": True}, "hostNetwork shares"),
        ({"securityContext": {"runAsNonRoot": False}}, "may run as root"),
        ({"containers": [{"name": "serve", "securityContext": {"privileged": True}}]}, "gain privileges"),
        ({"containers": [{"name": "serve", "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]},
         "keeps capabilities"),
        ({"containers": [{"name": "serve", "ports": [{"containerPort": 99999}]}]}, "the port 99999 is none"),
        ({"containers": [{"name": "serve", "volumeMounts": [{"name": "no", "mountPath": "/no"}]}]},
         "mounts the volume 'no'"),
        ({"containers": [{"name": "serve", "resources": {"requests": {"cpu": "3"}, "limits": {"cpu": "2"}}}]},
         "over its limit 2"),
        ({"containers": [{"name": "Side_Car", "image": "a:1"}]}, "the container name 'Side_Car' is none"),
    ],
)  # fmt: skip
def test_lint_sees(pod: Any, said: str) -> None:
    (each,) = of_kind(render(MINIMAL), "Deployment")
    each["spec"]["template"]["spec"] = overlay(each["spec"]["template"]["spec"], pod)
    assert [finding for finding in lint([each]) if said in finding.message]


def test_a_workload_goes_where_it_is_sent() -> None:
    with pytest.raises(UsageError, match="there is no target 'moon'"):
        render(MINIMAL, to="moon")
    with pytest.raises(UsageError, match=r"the spec has no deploy.train"):
        render(MINIMAL, only="train")
    with pytest.raises(UsageError, match="the spec has no section 'deploy'"):
        render(MINIMAL.partition("deploy:")[0])


def test_fields_of_every_pod() -> None:
    text = MINIMAL.replace(f"{{image: {IMAGE}}}", f"{{image: {IMAGE}, pod: {{enableServiceLinks: true}}}}")
    (each,) = of_kind(render(text), "Deployment")
    assert each["spec"]["template"]["spec"]["enableServiceLinks"] is True


def test_a_bad_deploy_section_is_not_rendered() -> None:
    with pytest.raises(SpecError):
        render(MINIMAL.replace(":1.4.0", ":latest"))


def test_the_last_job_of_a_wide_plan_asks_nothing_anew() -> None:
    arguments = [each["args"] for job in of_kind(render(STEPS), "Job") for _, each in containers([job])]
    assert [each[2:] for each in arguments if each[0] == "run"] == [["--collect", "--store", "/store"]]
    assert all("--wait" in each for each in arguments if each[0] == "step")
