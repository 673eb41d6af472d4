"""A spec for every target and kind of object that it renders, and the pods in all of them."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from deployed import IMAGE, folder_of
from restricted import pod_specs

from declarative_ml.api.deploy import files_of, load, objects_of, parts_of

Object = dict[str, Any]

_SPEC = """
name: blooms
data: {{source: {{type: sample, name: iris}}}}
target: species
model: mlp
resources: {{processes: 2, cpu: 2}}
deploy:
  image: {image}
  namespace: ml
  pull_secrets: [registry]
  secrets: {{TOKEN: {{secret: blooms, key: token}}}}
  labels: {{team: growth}}
  pod: {{securityContext: {{runAsUser: 20002}}, nodeSelector: {{disk: ssd}}}}
  {work}: {{to: {to}{more}}}
"""
_BY_NIGHT = ', schedule: "0 3 * * 1"'
_ROLE = "arn:aws:iam::123456789012:role/models"
_TRITON = '"nvcr.io/nvidia/tritonserver:25.10-py3"'

TARGETS: dict[str, tuple[str, str, str]] = {
    "kubernetes": ("train", "kubernetes", ""),
    "kubernetes-cron": ("train", "kubernetes", _BY_NIGHT),
    "kubernetes-serve": ("serve", "kubernetes", ", replicas: {min: 2, max: 4}"),
    "kubernetes-triton": ("serve", f"{{type: kubernetes, runtime: triton, runtime_image: {_TRITON}}}", ""),
    "kserve": ("serve", "kserve", ""),
    "argo": ("train", "argo", ""),
    "argo-cron": ("train", "argo", _BY_NIGHT),
    "kubeflow-trainjob": ("train", "{type: kubeflow, kind: trainjob}", ""),
    "ray": ("train", "ray", ""),
    "ray-cron": ("train", "ray", _BY_NIGHT),
    "airflow": ("train", "airflow", _BY_NIGHT),
}
"""Targets whose pods we say all of; KServe's own runtime for Triton and a pipeline of Kubeflow do not."""
PODLESS: dict[str, tuple[str, str, str]] = {
    "kserve-triton": ("serve", "{type: kserve, runtime: triton, storage_uri: 's3://models/blooms'}", ""),
    "kubeflow": ("train", "kubeflow", ""),
    "docker-compose": ("serve", "docker-compose", ""),
    "systemd": ("serve", "systemd", ""),
    "sagemaker": ("serve", f"{{type: sagemaker, role: '{_ROLE}', instance: ml.m5.large}}", ""),
    "vertex": ("serve", "{type: vertex, project: my-project, location: europe-west4}", ""),
}


def text_of(name: str) -> str:
    """The spec of one of TARGETS or PODLESS."""
    work, to, more = {**TARGETS, **PODLESS}[name]
    image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/a:1.0" if name == "sagemaker" else IMAGE
    text = _SPEC.format(image=image, work=work, to=to, more=more)
    clouds = name in ("sagemaker", "vertex")
    return re.sub(r"  secrets: .*\n", "", text) if clouds else text


@cache
def rendered(name: str) -> tuple[list[Object], dict[str, str]]:
    """Objects and files."""
    parts = parts_of(load(folder_of(text_of(name)) / "spec.yaml"))
    return objects_of(parts), files_of(parts)


def pods_of(name: str) -> list[Object]:
    """Every pod spec of a target, whatever object or file it is in."""
    objects, files = rendered(name)
    found = [pod for each in objects for pod in pod_specs(each)]
    for text in files.values():
        found += [
            json.loads(json.loads(each))["spec"] for each in re.findall(r"json\.loads\((\".*\")\)", text)
        ]
    return found
