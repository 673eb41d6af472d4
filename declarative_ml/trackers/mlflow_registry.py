"""MLflow's model registry: versions of a model, the aliases that point to them, the bundles behind them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from declarative_ml.core.errors import DataError, DmlError
from declarative_ml.core.faults import fault_point
from declarative_ml.store.bundle import MANIFEST, MODEL, Bundle
from declarative_ml.trackers.base import CHALLENGER, KEY_TAG, Registered
from declarative_ml.trackers.mlflow_entities import TAG_LENGTH, registered_version, shortened
from declarative_ml.trackers.mlflow_store import Store, calm, import_mlflow

BUNDLE = "bundle"
"""The folder of a run's artifacts with the bundle. Its model.onnx lies with the logged model alone."""


def pages(search: Any, *arguments: Any) -> Iterator[Any]:
    """All that one of MLflow's searches finds."""
    page = search(*arguments)
    yield from page
    while page.token:
        page = search(*arguments, page_token=page.token)
        yield from page


def found_versions(client: Any, name: str | None) -> list[Registered]:
    """The registered versions of a model, or of all, in no order."""
    wanted = None if name is None else f"name = '{quoted(name)}'"
    # A search for versions tells no aliases, and one for models does.
    aliases: dict[tuple[str, int], list[str]] = {}
    for model in pages(client.search_registered_models, wanted):
        for alias, version in model.aliases.items():
            aliases.setdefault((model.name, int(version)), []).append(alias)
    return [
        registered_version(
            found.name,
            int(found.version),
            found.run_id,
            found.creation_timestamp,
            tags=found.tags,
            aliases=aliases.get((found.name, int(found.version)), []),
        )
        for found in pages(client.search_model_versions, wanted)
    ]


def quoted(text: str) -> str:
    """`text` for a filter of MLflow's, inside single quotes. Raises DmlError where that cannot be."""
    if "'" in text:
        raise DmlError(f"{text!r} cannot name a registered model: it holds a quote", hint="rename the model")
    return text


def register(
    client: Any, store: Store, name: str, run_id: str, tags: Mapping[str, str], description: str
) -> None:
    """Make sure that the run is a version of the model, and the newest version the challenger.

    MLflow writes a version with all its tags in one transaction: there are no half versions.
    """
    versions = found_versions(client, name)
    mine = [item.version for item in versions if item.tags.get(KEY_TAG) == tags[KEY_TAG]]
    version = mine[0] if mine else _create_version(client, store, name, run_id, tags, description)
    fault_point("track:alias")
    if version == max([version, *(item.version for item in versions)]):
        client.set_registered_model_alias(name, CHALLENGER, str(version))


def is_registered(versions: list[Registered], key: str) -> Registered | None:
    """The version with the key, when there is nothing left to do for it."""
    newest = max((item.version for item in versions), default=0)
    for item in versions:
        if item.tags.get(KEY_TAG) == key and (item.version < newest or CHALLENGER in item.aliases):
            return item
    return None


def _create_version(
    client: Any, store: Store, name: str, run_id: str, tags: Mapping[str, str], description: str
) -> int:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    fault_point("track:register")
    model_id = _logged_model(client, run_id)
    # MLflow would look a model id up in the process-wide store, which need not be this one.
    by_id = f"models:/{model_id}"
    source = by_id if store.is_server else client.get_logged_model(model_id).artifact_location
    made = client.create_model_version(
        name,
        source=source,
        run_id=run_id,
        model_id=model_id,
        tags={key: shortened(value, TAG_LENGTH) for key, value in tags.items()},
        description=description or None,
    )
    return int(made.version)


def _logged_model(client: Any, run_id: str) -> str:
    outputs = client.get_run(run_id).outputs
    models = outputs.model_outputs if outputs else []
    if not models:
        raise DmlError(f"run {run_id} has no model to register", hint="dml run --fresh track logs it again")
    return str(models[0].model_id)


def fetch(client: Any, store: Store, registered: Registered, target: Path) -> None:
    """Write the verified bundle of a version to the folder `target`, which appears whole."""
    if target.exists():
        raise DataError(f"{target} exists already", hint="name a folder that does not exist yet")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".dml-fetch-", dir=target.parent) as scratch:
        folder = Path(scratch) / BUNDLE
        _download(client, store, registered, Path(scratch))
        bundle = Bundle.open(folder)
        if registered.model_digest and bundle.manifest.model_digest != registered.model_digest:
            raise DataError(
                f"version {registered.version} of {registered.name} has the model digest "
                f"{registered.model_digest}, and its bundle {bundle.manifest.model_digest}",
                hint="the artifacts of its run were changed: register the model again",
            )
        bundle.unpack(target)


def _download(client: Any, store: Store, registered: Registered, scratch: Path) -> None:
    mlflow = import_mlflow()
    names = {item.path for item in client.list_artifacts(registered.run_id, BUNDLE)}
    if f"{BUNDLE}/{MANIFEST}" not in names:
        raise DataError(
            f"version {registered.version} of {registered.name} holds no bundle",
            hint="only versions that dml run registered can be fetched",
        )
    location = client.get_logged_model(_logged_model(client, registered.run_id)).artifact_location
    with calm():
        client.download_artifacts(registered.run_id, BUNDLE, str(scratch))
        mlflow.artifacts.download_artifacts(
            artifact_uri=f"{location}/{MODEL}", dst_path=str(scratch / "model"), tracking_uri=store.uri
        )
    shutil.move(scratch / "model" / MODEL, scratch / BUNDLE / MODEL)
