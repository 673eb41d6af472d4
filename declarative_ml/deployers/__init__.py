"""The shelf of places where a spec's work is deployed: one file each."""

from declarative_ml.core.component import Shelf
from declarative_ml.deployers.base import Deployer

DEPLOYERS: Shelf[Deployer] = Shelf(
    "deployer",
    {
        "kubernetes": "declarative_ml.deployers.kubernetes:Kubernetes",
        "docker-compose": "declarative_ml.deployers.compose:DockerCompose",
        "systemd": "declarative_ml.deployers.systemd:Systemd",
        "kserve": "declarative_ml.deployers.kserve:KServe",
        "argo": "declarative_ml.deployers.argo:Argo",
        "kubeflow": "declarative_ml.deployers.kubeflow:Kubeflow",
        "ray": "declarative_ml.deployers.ray:Ray",
        "airflow": "declarative_ml.deployers.airflow:Airflow",
        "sagemaker": "declarative_ml.deployers.sagemaker:SageMaker",
        "vertex": "declarative_ml.deployers.vertex:Vertex",
    },
)
