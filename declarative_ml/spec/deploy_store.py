"""The shared workspace in a cluster: who reads and writes it at once, and whether its volume lets them."""

from __future__ import annotations

from declarative_ml.deployers.model import IN_STORE
from declarative_ml.deployers.sections import Volume
from declarative_ml.spec.deploy import Deploy
from declarative_ml.spec.deploy_fault import DeployFault, Faults
from declarative_ml.spec.deployed import deployed_model, follows_registry
from declarative_ml.spec.document import Spec
from declarative_ml.spec.positions import Path

_ACCESS: Path = ("deploy", "store", "access")
ONE_NODE, ALL_NODES = "ReadWriteOnce", "ReadWriteMany"


def store_faults(spec: Spec, deploy: Deploy) -> Faults:
    """A volume for one node, and pods on several."""
    if deploy.store.access != ONE_NODE:
        return
    train = deploy.train
    if train is not None and (train.parallel == "steps" or train.to.spreads):
        message = "steps in parallel are on several nodes, and ReadWriteOnce is for one"
        yield DeployFault("DML162", _ACCESS, message, "write ReadWriteMany")
    elif pods := _readers(spec, deploy):
        message = f"{pods} pods of the service read the store, and ReadWriteOnce is for one node"
        hint = (
            "write ReadWriteMany; or follow a registry: track.uri, and deploy.serve.model: registry@champion"
        )
        yield DeployFault("DML162", _ACCESS, message, hint)


def store_of(spec: Spec, deploy: Deploy) -> Volume:
    """The volume of the store, for all nodes where several pods of the service read it."""
    if deploy.store.access is not None or not _readers(spec, deploy):
        return deploy.store
    return deploy.store.model_copy(update={"access": ALL_NODES})


def _readers(spec: Spec, deploy: Deploy) -> int:
    """How many pods of the service read the store in a cluster; 0 for one alone, which finds its node."""
    service = deploy.service
    if service is None or not service.to.cluster:
        return 0
    if deployed_model(spec) != IN_STORE and not (follows_registry(spec) and spec.track.uri is None):
        return 0
    pods = service.replicas.max or service.replicas.min
    return pods if pods > 1 else 0
