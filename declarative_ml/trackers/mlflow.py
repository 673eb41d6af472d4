"""MLflow: an embedded sqlite history in the workspace, or any tracking server."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from declarative_ml.core.faults import fault_point
from declarative_ml.trackers import mlflow_entities as entities
from declarative_ml.trackers import mlflow_promote as promoting
from declarative_ml.trackers import mlflow_registry as registry
from declarative_ml.trackers.base import CHAMPION, KEY_TAG, NestedRun, Registered, TrackContent, Tracker
from declarative_ml.trackers.mlflow_model import log_model
from declarative_ml.trackers.mlflow_sqlite import find_in_sqlite, model_tags_in_sqlite, versions_in_sqlite
from declarative_ml.trackers.mlflow_store import (
    Store,
    connect,
    locate,
    locked,
    refused_as_error,
    require_open,
)
from declarative_ml.trackers.promotions import Promotion, read_history

if TYPE_CHECKING:
    from mlflow.entities import Run


_PARENT_TAG = "mlflow.parentRunId"
"""By this tag MLflow knows the runs below a run. They have no key: `find` is about whole runs."""
_MOST_NESTED = 10_000


class MLflowTracker(Tracker):
    """Runs in MLflow, one for each key."""

    type: Literal["mlflow"] = "mlflow"
    uri: str | None = Field(default=None, description="Server; null: embedded sqlite in the workspace")

    def require(self, workspace: Path) -> None:
        """Raise UsageError for a sqlite file that cannot be written, or made."""
        require_open(locate(workspace, self.uri))

    def find(self, workspace: Path, key: str) -> str | None:
        """The id of the finished run with this key, or None; a sqlite store is read without MLflow.

        Raises DmlError when the store is damaged or the server does not answer.
        """
        store = locate(workspace, self.uri)
        if store.database is not None:
            return find_in_sqlite(store.database, key)
        client = connect(store)
        with refused_as_error(store):
            finished = [run for run in _runs_of(client, key) if run.info.status == "FINISHED"]
        return str(finished[0].info.run_id) if finished else None

    def log(self, workspace: Path, content: TrackContent) -> str:
        """Record the run and return its id; where a finished run has the key already, only its id.

        The run is marked finished last. Unfinished runs with the same key are what a killed process
        left, and are deleted with their models: do not log one key from two machines at once.
        """
        store = locate(workspace, self.uri)
        with locked(store):
            found = self.find(workspace, content.key)
            if found is not None:
                return found
            client = connect(store)
            with refused_as_error(store):
                experiment_id = _experiment(client, store, content.experiment)
                finished = _remove_unfinished(client, content.key)  # a restored experiment may hold one
                return finished or _write_run(client, experiment_id, content)

    def register(
        self, workspace: Path, name: str, run_id: str, tags: Mapping[str, str], description: str = ""
    ) -> Registered:
        """The version of the model `name` with the key of `tags`; made of the run if there is none."""
        store, key = locate(workspace, self.uri), tags[KEY_TAG]
        with locked(store):
            known = registry.is_registered(self.versions(workspace, name), key)
            if known is not None:
                return known
            with _client(store) as client:
                registry.register(client, store, name, run_id, tags, description)
                return next(
                    item for item in registry.found_versions(client, name) if item.tags.get(KEY_TAG) == key
                )

    def registered(self, workspace: Path, name: str, alias: str) -> Registered | None:
        """The version that the alias points to, or None; a sqlite store is read without MLflow."""
        return next((item for item in self.versions(workspace, name) if alias in item.aliases), None)

    def versions(self, workspace: Path, name: str | None) -> list[Registered]:
        """The versions of a model, or of all, the newest first; a sqlite store is read without MLflow."""
        store = locate(workspace, self.uri)
        if store.database is not None:
            found = versions_in_sqlite(store.database, name)
        else:
            with _client(store) as client:
                found = registry.found_versions(client, name)
        return sorted(found, key=lambda item: (item.created, item.version), reverse=True)

    def fetch(self, workspace: Path, registered: Registered, target: Path) -> None:
        """Write the verified bundle of a version to the folder `target`, which appears whole."""
        store = locate(workspace, self.uri)
        with _client(store) as client:
            registry.fetch(client, store, registered, target)

    def promote(
        self,
        workspace: Path,
        name: str,
        version: int,
        alias: str = CHAMPION,
        *,
        who: str = "",
        forced: bool = False,
    ) -> Promotion | None:
        """Point the alias to the version, and write down what it replaced. None: it points there already."""
        store = locate(workspace, self.uri)
        with locked(store), _client(store) as client:
            return promoting.promote(client, name, version, alias, who=who, forced=forced)

    def rollback(self, workspace: Path, name: str, alias: str = CHAMPION, *, who: str = "") -> Promotion:
        """Point the alias to the version before the current one. Raises UsageError when there is none."""
        store = locate(workspace, self.uri)
        with locked(store), _client(store) as client:
            existing = {item.version for item in registry.found_versions(client, name)}
            return promoting.rollback(client, name, existing, alias, who=who)

    def history(self, workspace: Path, name: str) -> list[Promotion]:
        """Every move of an alias of the model, the oldest first; a sqlite store is read without MLflow."""
        store = locate(workspace, self.uri)
        if store.database is not None:
            return read_history(model_tags_in_sqlite(store.database, name))
        with _client(store) as client:
            return read_history(client.get_registered_model(name).tags)


@contextmanager
def _client(store: Store) -> Iterator[Any]:
    """A client of the store. What MLflow raises meanwhile is a DmlError that names the store."""
    client = connect(store)
    with refused_as_error(store):
        yield client


def _runs_of(client: Any, key: str) -> list[Run]:
    """All runs with this key that are not deleted, oldest first."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    filter_string = f"tags.`{KEY_TAG}` = '{key}'"
    return list(client.search_runs(experiments, filter_string, order_by=["attributes.start_time ASC"]))


def _remove_unfinished(client: Any, key: str) -> str | None:
    """Delete what killed processes left; the id of the first finished run, if there is one."""
    finished = None
    for run in _runs_of(client, key):
        run_id = str(run.info.run_id)
        if run.info.status == "FINISHED":
            finished = finished or run_id
            continue
        models = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run_id}'")
        for model in models:
            client.delete_logged_model(model.model_id)
        for nested in _nested_runs_of(client, run):
            client.delete_run(nested.info.run_id)
        client.set_terminated(run_id, "KILLED")
        client.delete_run(run_id)
    return finished


def _nested_runs_of(client: Any, run: Run) -> list[Run]:
    found = f"tags.`{_PARENT_TAG}` = '{run.info.run_id}'"
    return list(client.search_runs([run.info.experiment_id], found, max_results=_MOST_NESTED))


def _write_run(client: Any, experiment_id: str, content: TrackContent) -> str:
    run = client.create_run(experiment_id, tags=_tags(content), run_name=content.run_name)
    run_id = str(run.info.run_id)
    finished = False
    try:
        _log_params(client, run_id, content)
        _log_dataset(client, run_id, content)
        with tempfile.TemporaryDirectory(prefix="dml-track-") as scratch:
            _log_files(client, run_id, content, Path(scratch) / "files")
            model_id = None
            if content.model is not None:
                model_id = log_model(client, experiment_id, run_id, content, Path(scratch) / "model")
        _log_metrics(client, run_id, content, model_id)
        for nested in content.nested:
            _write_nested(client, experiment_id, run_id, nested)
        fault_point("track:metrics")
        fault_point("track:finish")
        client.set_terminated(run_id, "FINISHED")
        finished = True
    finally:
        if not finished:
            _mark_failed(client, run_id)
    return run_id


def _write_nested(client: Any, experiment_id: str, parent: str, nested: NestedRun) -> None:
    from mlflow.entities import Metric, Param

    tags = {**nested.tags, _PARENT_TAG: parent, "mlflow.source.name": "dml", "mlflow.source.type": "LOCAL"}
    run = client.create_run(experiment_id, tags=tags, run_name=nested.name)
    now = int(time.time() * 1000)
    client.log_batch(
        run.info.run_id,
        metrics=[
            Metric(name, value, now, step) for name, value, step in entities.final_points(nested.metrics)
        ],
        params=[Param(name, value) for name, value in entities.flatten(nested.params).items()],
    )
    client.set_terminated(run.info.run_id, "FINISHED")


def _mark_failed(client: Any, run_id: str) -> None:
    from mlflow.exceptions import MlflowException

    with suppress(MlflowException, OSError):  # the error that brought us here is the one to show
        client.set_terminated(run_id, "FAILED")


def _experiment(client: Any, store: Store, name: str) -> str:
    """The id of the experiment, created or restored where needed."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        location = None if store.artifacts is None else f"{store.artifacts}/{entities.folder_name(name)}"
        try:
            return str(client.create_experiment(name, artifact_location=location))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _tags(content: TrackContent) -> dict[str, str]:
    tags = {**content.tags, KEY_TAG: content.key, "mlflow.source.name": "dml", "mlflow.source.type": "LOCAL"}
    if content.description:
        tags["mlflow.note.content"] = content.description
    return {name: entities.shortened(str(value), entities.TAG_LENGTH) for name, value in tags.items()}


def _log_params(client: Any, run_id: str, content: TrackContent) -> None:
    from mlflow.entities import Param

    params = [Param(name, value) for name, value in entities.flatten(content.params).items()]
    for batch in entities.batches(params, entities.ENTRIES_PER_BATCH):
        client.log_batch(run_id, params=batch)


def _log_metrics(client: Any, run_id: str, content: TrackContent, model_id: str | None) -> None:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    final = [
        Metric(name, value, now, step, model_id=model_id)
        for name, value, step in entities.final_points(content.metrics)
    ]
    curves = [Metric(name, value, now, step) for name, value, step in entities.curve_points(content.curves)]
    for batch in entities.batches([*final, *curves], entities.METRICS_PER_BATCH):
        client.log_batch(run_id, metrics=batch)


def _log_dataset(client: Any, run_id: str, content: TrackContent) -> None:
    import json

    from mlflow.entities import Dataset, DatasetInput, InputTag

    if not content.dataset_digest:
        return
    dataset = Dataset(
        name=entities.shortened(content.dataset_name or content.experiment, entities.VALUE_LENGTH),
        digest=content.dataset_digest[: entities.DIGEST_LENGTH],
        source_type="local",
        source=json.dumps({"uri": content.dataset_source}),
        profile=json.dumps({"rows": dict(content.rows)}) if content.rows else None,
    )
    tags = [InputTag("mlflow.data.context", "training")]
    client.log_inputs(run_id, [DatasetInput(dataset, tags)])


def _log_files(client: Any, run_id: str, content: TrackContent, folder: Path) -> None:
    if not content.files:
        return
    for name, source in content.files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(source, Path):
            shutil.copyfile(source, target)
        else:
            target.write_bytes(source.encode() if isinstance(source, str) else source)
    client.log_artifacts(run_id, str(folder))
