"""Specs with a section `deploy`, and what is rendered of them, for the tests of this folder."""

from __future__ import annotations

import atexit
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from declarative_ml.api.deploy import load, objects_of, parts_of
from declarative_ml.deployers.manifests.lint import pod_of

Object = dict[str, Any]

IMAGE = "registry.example.com/growth/telco-churn:1.4.0"
DATA = "data: {source: /data/telco.csv}\n"
SQL = """
data: {source: {type: sql, url: "${env:DATABASE_URL}", query: "SELECT * FROM churn"}}
"""

MINIMAL = f"name: telco-churn\n{DATA}target: Churn\ndeploy: {{image: {IMAGE}}}\n"

FULL = f"""
name: telco-churn
{SQL}
target: Churn
serve: {{token: "${{env:DML_TOKEN}}"}}
deploy:
  image: {IMAGE}
  namespace: ml
  secrets:
    DATABASE_URL: {{secret: telco-db, key: url}}
    DML_TOKEN: {{secret: telco-serve, key: token}}
  serve:
    to: kubernetes
    replicas: {{min: 2, max: 10, cpu_percent: 70}}
    resources: {{cpu: 500m, memory: 512Mi}}
    ingress: {{host: churn.example.com, ingress_class: nginx, tls_secret: churn-tls}}
    scrape: true
  train: {{to: kubernetes, schedule: "0 3 * * 1"}}
"""

GPU = f"""
name: big
{SQL}
target: Churn
deploy:
  image: {IMAGE}
  secrets: {{DATABASE_URL: {{secret: telco-db, key: url}}}}
  serve: {{update: replace, resources: {{gpu: 1}}}}
  train: {{resources: {{gpu: 2, gpu_kind: NVIDIA-A100, memory: 8Gi, shared_memory: 2Gi}}}}
"""

CRON = f"""
name: 1-nightly-model-whose-name-is-as-long-as-a-name-of-spec-may-be
{DATA}
target: Churn
deploy:
  image: {IMAGE}
  namespace: ml
  train:
    schedule: "*/30 2-4 * * mon-fri"
    time_zone: Europe/Berlin
    queue: research
    volumes: {{data: {{claim: telco-data, at: /data}}}}
"""

EVERY = f"""
name: every
{SQL}
target: Churn
track: {{uri: "https://mlflow.example.com"}}
serve: {{token: "${{env:DML_TOKEN}}", workers: 2}}
deploy:
  image: registry.example.com:5000/a/b@sha256:{"0123456789abcdef" * 4}
  namespace: ml-prod
  create_namespace: true
  secrets:
    DATABASE_URL: {{secret: telco-db, key: url}}
    DML_TOKEN: {{secret: telco-serve, key: token}}
    AWS_ACCESS_KEY_ID: {{secret: s3, key: id, only: train}}
  pull_secrets: [registry]
  part_of: growth
  labels: {{team: growth}}
  annotations: {{example.com/owner: ann}}
  store: {{size: 50Gi, storage_class: fast, access: ReadWriteMany}}
  pod:
    priorityClassName: high
    runtimeClassName: gvisor
    schedulerName: volcano
    nodeSelector: {{disk: ssd}}
    tolerations: [{{key: spot, operator: Exists}}]
    securityContext: {{runAsUser: 20002}}
  serve:
    model: store
    image: registry.example.com/serve:2.0
    replicas: {{min: 3, max: 30, cpu_percent: 60, scale_down: 10m}}
    resources: {{cpu: 1, memory: 1Gi, limits: {{cpu: 2, memory: 2Gi}}, scratch: 2Gi}}
    env: {{LOG_LEVEL: debug}}
    labels: {{tier: front}}
    annotations: {{example.com/pager: nobody}}
    volumes: {{more: {{claim: more, at: /more}}}}
    network: {{ingress: [shop], egress: [10.0.0.0/8]}}
    startup: 5m
    drain: 1m
    update: surge
    ingress: {{host: a.example.com, path: /every, ingress_class: nginx, tls_secret: tls, namespace: edge}}
    scrape: {{interval: 1m, labels: {{release: prometheus}}, namespace: observe}}
    pod:
      tolerations: [{{key: dedicated, operator: Equal, value: serving}}]
      containers:
        - name: serve
          env: [{{name: LOG_LEVEL, value: info}}]
          ports: [{{containerPort: 9000, name: extra}}]
      affinity: {{nodeAffinity: {{preferredDuringSchedulingIgnoredDuringExecution: []}}}}
  train:
    image: registry.example.com/train:2.0
    resources: {{cpu: 4, memory: 16Gi, gpu: 1, shared_memory: 4Gi}}
    volumes: {{data: {{claim: data, at: /data, read_only: false}}}}
    network: {{egress: [10.1.0.0/16]}}
    retries: 5
    deadline: 12h
    keep: 1h
    grace: 5m
    queue: research
    pod: {{terminationGracePeriodSeconds: 600}}
  patches:
    - {{kind: Deployment, merge: {{spec: {{revisionHistoryLimit: 3}}}}}}
    - kind: Service
      name: every
      operations: [{{op: add, path: /spec/sessionAffinity, value: ClientIP}}]
"""

EXAMPLES = Path(__file__).parents[2] / "examples"
STEPS = f"""
name: wide
data: {{source: {EXAMPLES}/titanic/titanic.csv}}
target: Churn
model: {{type: ensemble, members: [linear, lightgbm]}}
track: false
deploy:
  image: {IMAGE}
  train: {{parallel: steps, volumes: {{data: {{claim: data, at: {EXAMPLES}}}}}}}
"""

LOOP = f"""
name: loop
{SQL}
target: Churn
track: {{uri: "https://mlflow.example.com", register: loop}}
serve: {{registry_token: "${{env:MLFLOW_READ_TOKEN}}"}}
monitor:
  log: /log
  drift: {{webhook: {{url: "${{env:DRIFT_URL}}", secret: "${{env:DRIFT_KEY}}"}}}}
deploy:
  image: {IMAGE}
  secrets:
    DATABASE_URL: {{secret: telco-db, key: url}}
    MLFLOW_READ_TOKEN: {{secret: mlflow, key: read}}
    MLFLOW_TRACKING_TOKEN: {{secret: mlflow, key: write, only: train}}
    DRIFT_URL: {{secret: retrain, key: url}}
    DRIFT_KEY: {{secret: retrain, key: key}}
  serve:
    model: registry@champion
    replicas: 2
    volumes: {{log: {{claim: log, at: /log, read_only: false}}}}
  train: {{schedule: "0 3 * * 1"}}
  predict:
    schedule: "0 4 * * *"
    source: {{type: sql, url: "${{env:DATABASE_URL}}", query: SELECT * FROM churn}}
    output: /out/scored.parquet
    volumes: {{out: {{claim: out, at: /out, read_only: false}}}}
"""

TRITON = f"""
name: by-triton
{SQL}
target: Churn
serve: {{max_rows: 500}}
deploy:
  image: {IMAGE}
  secrets: {{DATABASE_URL: {{secret: telco-db, key: url}}}}
  serve:
    to: {{type: kubernetes, runtime: triton, runtime_image: "nvcr.io/nvidia/tritonserver:25.10-py3"}}
    replicas: {{min: 2, max: 4}}
    resources: {{gpu: 1, memory: 4Gi, shared_memory: 1Gi}}
    ingress: {{host: churn.example.com, ingress_class: nginx, tls_secret: churn-tls}}
    scrape: true
    volumes: {{cache: {{claim: cache, at: /cache, read_only: false}}}}
  train: {{to: kubernetes, schedule: "0 3 * * 1"}}
"""

TF_SERVING = f"""
name: by-tf-serving
{DATA}
target: Churn
convert: [savedmodel]
deploy:
  image: {IMAGE}
  serve:
    to: {{type: kubernetes, runtime: tf-serving, runtime_image: "docker.io/tensorflow/serving:2.19.1"}}
    scrape: true
"""

DISTRIBUTED = f"""
name: shared
{SQL}
target: Churn
model: mlp
resources: {{processes: 2, cpu: 2}}
deploy:
  image: {IMAGE}
  secrets: {{DATABASE_URL: {{secret: telco-db, key: url}}}}
  train: {{resources: {{cpu: 2, memory: 4Gi, shared_memory: 1Gi}}}}
"""

SPECS = {
    "minimal": MINIMAL,
    "full": FULL,
    "gpu": GPU,
    "cron": CRON,
    "every": EVERY,
    "steps": STEPS,
    "loop": LOOP,
    "distributed": DISTRIBUTED,
    "triton": TRITON,
    "tf-serving": TF_SERVING,
}


@cache
def folder_of(text: str) -> Path:
    kept = TemporaryDirectory(prefix="dml-deployed-")
    atexit.register(kept.cleanup)
    folder = Path(kept.name)
    (folder / "spec.yaml").write_text(text)
    return folder


def render(text: str, **chosen: Any) -> list[Object]:
    """The objects of a spec."""
    return objects_of(parts_of(load(folder_of(text) / "spec.yaml"), **chosen))


@cache
def _rendered(name: str) -> list[Object]:
    return render(SPECS[name])


def rendered(name: str) -> list[Object]:
    """The objects of one of SPECS, rendered once."""
    return _rendered(name)


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    return [each for each in objects if each["kind"] == kind]


def pods(objects: list[Object]) -> list[tuple[Object, Object]]:
    """(Workload, pod template) of each workload."""
    return [(each, dict(template)) for each in objects if (template := pod_of(each)) is not None]


def containers(objects: list[Object]) -> list[tuple[Object, Object]]:
    """(Pod spec, container) of each container, those that come before the others included."""
    found = []
    for _, template in pods(objects):
        spec = template["spec"]
        found += [(spec, each) for each in (*spec["containers"], *spec.get("initContainers", []))]
    return found


def jobs(objects: list[Object]) -> list[Object]:
    """The spec of each job, those of cron jobs included."""
    specs = [each["spec"] for each in of_kind(objects, "Job")]
    return specs + [each["spec"]["jobTemplate"]["spec"] for each in of_kind(objects, "CronJob")]
