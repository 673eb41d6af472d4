"""Where MLflow keeps runs: an embedded sqlite file or a server, made ready and asked cheaply."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import sys
import threading
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from declarative_ml.core.atomic import write_bytes
from declarative_ml.core.disk import why_closed
from declarative_ml.core.errors import DmlError, UsageError
from declarative_ml.core.optional import installed, require
from declarative_ml.core.user_cache import kept
from declarative_ml.core.versions import library_version
from declarative_ml.trackers.mlflow_import import import_without_genai

CONNECT_SECONDS = 5.0
BUSY_SECONDS = 20.0
"""How long another writer of the sqlite file is waited for, as MLflow does."""

QUIET = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""Environment in which MLflow neither talks nor phones, and gives up on a server soon."""
_CHATTY = ("mlflow", "alembic", "urllib3.connectionpool")
_ASK_SPARK = "_get_registry_uri_from_spark_session"
_SPARK_IN_USE = {"pyspark.context", "pyspark.core.context", "pyspark.sql.connect.session"}
"""What is imported where there is a Spark session: of Spark 3, of Spark 4, of Spark Connect."""
_load_lock = threading.RLock()


@dataclass(frozen=True)
class Store:
    """One place where MLflow keeps runs."""

    uri: str
    database: Path | None = None
    """The sqlite file, when the store is one."""
    artifacts: str | None = None
    """Root URI of the artifacts of new experiments; None leaves it to the server."""

    @property
    def is_server(self) -> bool:
        """Whether an MLflow server answers at the URI (and not a database)."""
        return _is_server(self.uri)

    @property
    def shown(self) -> str:
        """The URI without a password, for messages."""
        parts = urlsplit(self.uri)
        if parts.password is None:
            return self.uri
        host = parts.netloc.rpartition("@")[2]
        return parts._replace(netloc=f"{parts.username}:***@{host}").geturl()


def locate(workspace: Path, uri: str | None) -> Store:
    """The store that `uri` names; None is the sqlite file in the workspace."""
    if uri is None:
        return _sqlite_store(workspace.absolute() / "mlflow.db")
    if uri.startswith("sqlite:///"):
        return _sqlite_store(Path(uri.removeprefix("sqlite:///")).absolute())
    artifacts = None if _is_server(uri) else (workspace.absolute() / "mlartifacts").as_uri()
    return Store(uri, artifacts=artifacts)


def _is_server(uri: str) -> bool:
    return uri.partition(":")[0] in {"http", "https", "databricks", "databricks-uc"}


def _sqlite_store(database: Path) -> Store:
    artifacts = (database.parent / "mlartifacts").as_uri()
    return Store(_sqlite_uri(database), database, artifacts)


def _sqlite_uri(database: Path) -> str:
    path = database.as_posix()
    if not set(path) & set("%?#"):
        return f"sqlite:///{path}"
    from sqlalchemy import URL  # knows how its own version reads these characters

    return URL.create("sqlite", database=path).render_as_string()


def unreadable(database: Path, error: Exception) -> DmlError:
    """The error for a sqlite file that cannot be used."""
    return DmlError(
        f"the tracking database {database} cannot be used: {error}",
        hint="move the file away to start a new history, or set track.uri",
    )


@contextmanager
def calm() -> Iterator[None]:
    """Let MLflow's own code warn in vain; one thread at a time, as the filters are the process's."""
    with _load_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def import_mlflow() -> Any:
    """Import MLflow without its log lines, progress bars, telemetry and deprecation warnings."""
    with calm():
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        spark = find_spec("pyspark")
        if spark is not None and spark.origin is not None:
            # MLflow imports it, and a client alone ends the process where it finds no home of Spark.
            os.environ.setdefault("SPARK_HOME", str(Path(spark.origin).parent))
        for logger in _CHATTY:
            logging.getLogger(logger).setLevel(logging.ERROR)
        mlflow = _import_quietly()
        _leave_spark_alone()
        return mlflow


def _import_quietly() -> Any:
    if "mlflow" not in sys.modules and installed("mlflow"):
        with suppress(ImportError, AttributeError):
            return import_without_genai()
    return require("mlflow", "mlflow")


def _leave_spark_alone() -> None:
    """Let MLflow look for a Spark session only where Spark is in use.

    In a process without a main file, as pytest's workers are, the client of Spark Connect answers that
    question by ending the process (`sys.exit`); elsewhere it costs the import of gRPC.
    """
    utils = sys.modules.get("mlflow.tracking._model_registry.utils")
    ask = getattr(utils, _ASK_SPARK, None)
    if ask is None or hasattr(ask, "__wrapped__"):
        return

    @wraps(ask)
    def asked() -> Any:
        return ask() if sys.modules.keys() & _SPARK_IN_USE else None

    setattr(utils, _ASK_SPARK, asked)


def connect(store: Store) -> Any:
    """A client of the store, which is created when it is a sqlite file that is not there.

    Raises DmlError, within seconds, when a server does not answer.
    """
    if urlsplit(store.uri).scheme in {"http", "https"}:
        _check_reachable(store)
    mlflow = import_mlflow()
    with refused_as_error(store):
        if store.database is not None:
            create_database(store.database)
            _check_writable(store.database)
        elif store.uri.partition(":")[0].partition("+")[0] in {"postgresql", "mysql", "mssql"}:
            _check_database_answers(store.uri)
        with calm():
            client = mlflow.MlflowClient(tracking_uri=store.uri, registry_uri=store.uri)
            client.search_experiments(max_results=1)  # the store opens on first use
    return client


def _check_reachable(store: Store) -> None:
    parts = urlsplit(store.uri)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="")
    try:
        urllib.request.urlopen(f"{bare.geturl().rstrip('/')}/health", timeout=CONNECT_SECONDS).close()
    except urllib.error.HTTPError as error:
        error.close()  # any answer is an answer: authentication is MLflow's business
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise DmlError(
            f"the MLflow server {store.shown} does not answer: {reason}",
            hint="check track.uri and that the server runs, or set track.enabled: false",
        ) from error


def _check_writable(database: Path) -> None:
    """Fail at once where MLflow would retry for minutes."""
    try:
        with closing(sqlite3.connect(database, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.DatabaseError as error:
        raise unreadable(database, error) from error


def _check_database_answers(uri: str) -> None:
    """Fail at once where MLflow would retry for minutes. Raises what SQLAlchemy raises."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    create_engine(uri, poolclass=NullPool).connect().close()


@contextmanager
def refused_as_error(store: Store) -> Iterator[None]:
    """Turn what MLflow raises into a DmlError that names the store."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError, ModuleNotFoundError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise DmlError(
            f"MLflow at {store.shown} refused: {lines[0]}",
            hint="check track.uri, credentials and free space, or set track.enabled: false",
        ) from error


def create_database(database: Path) -> None:
    """Create MLflow's sqlite file, whole or not at all; nothing happens when it is there.

    MLflow's own migrations run in memory, which spares thousands of small writes, and the empty
    database is kept for the user's next project. Should MLflow's internals move, it creates the file
    itself on first use, only more slowly.
    """
    if database.exists():
        return
    name = f"mlflow-{library_version('mlflow')}-sqlalchemy-{library_version('sqlalchemy')}.db"
    with calm():
        image = kept(name, _is_whole, _migrated_image)
    if image is None:
        database.parent.mkdir(parents=True, exist_ok=True)
    else:
        write_bytes(database, image)


def _is_whole(image: bytes) -> bool:
    """Whether these are all bytes of a sqlite file, by its header."""
    if len(image) < 100 or not image.startswith(b"SQLite format 3\0"):
        return False
    page = int.from_bytes(image[16:18], "big")
    return (65536 if page == 1 else page) * int.from_bytes(image[28:32], "big") == len(image)


def _migrated_image() -> bytes | None:
    try:
        from mlflow.store.db.utils import _initialize_tables
        from sqlalchemy import create_engine
        from sqlalchemy.pool import StaticPool
    except ImportError:
        return None
    engine = create_engine("sqlite://", poolclass=StaticPool)
    try:
        _initialize_tables(engine)
        with closing(engine.raw_connection()) as pooled:
            connection: Any = pooled.driver_connection
            image: bytes = connection.serialize()
    finally:
        engine.dispose()
    return image


def require_open(store: Store) -> None:
    """Raise UsageError for a sqlite file that cannot be written or made; SQLite needs its folder as well."""
    closed = None if store.database is None else why_closed(store.database)
    if closed is not None:
        raise UsageError(
            f"the tracking database cannot be written: {closed}",
            hint="name another place with track.uri, or record nothing with track: false",
        )


@contextmanager
def locked(store: Store) -> Iterator[None]:
    """Hold an embedded store alone among threads and processes; a server looks after itself."""
    if store.database is None:
        yield
        return
    require_open(store)
    store.database.parent.mkdir(parents=True, exist_ok=True)
    with store.database.with_name("mlflow.lock").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
