"""What stands before any pod: the namespace, accounts, and the volume of the workspace."""

from __future__ import annotations

from declarative_ml.deployers.base import Object, Release
from declarative_ml.deployers.manifests.names import metadata, name_of
from declarative_ml.deployers.manifests.serving import store_claim
from declarative_ml.deployers.sections import Workload

_LEVELS = ("enforce", "warn", "audit")


def version_of(release: Release) -> str:
    """The version of objects that belong to no image alone."""
    image = release.image or release.train_image
    return image.version if image is not None else release.dml_version


def namespace(release: Release) -> Object:
    """The namespace, which lets in only pods that are `restricted`."""
    head = metadata(release, "namespace", release.namespace, version=version_of(release))
    del head["namespace"]
    head["labels"] |= {f"pod-security.kubernetes.io/{level}": "restricted" for level in _LEVELS}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": head}


def service_account(release: Release, component: str, workload: Workload, version: str) -> Object:
    """An account of the pods' own, without rights."""
    account: Object = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(
            release, component, name_of(release, component), version=version, workload=workload
        ),
        "automountServiceAccountToken": False,
    }
    if release.pull_secrets:
        account["imagePullSecrets"] = [{"name": name} for name in release.pull_secrets]
    return account


def store_volume(release: Release) -> Object | None:
    """The claim of the shared workspace; None where the person names one that is there."""
    store = release.store
    if store.claim is not None or store.size is None:
        return None
    shared = release.train is not None and release.train.parallel == "steps"
    spec: Object = {
        "accessModes": [store.access or ("ReadWriteMany" if shared else "ReadWriteOnce")],
        "resources": {"requests": {"storage": store.size}},
    }
    if store.storage_class is not None:
        spec["storageClassName"] = store.storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(release, "store", store_claim(release), version=version_of(release)),
        "spec": spec,
    }


KEPT = frozenset({"Namespace", "PersistentVolumeClaim"})
"""What holds more than a rendering can make again: never removed when it is no longer rendered."""
