"""The section `serve`: where the service listens, what a request must bring, and which models answer."""

from __future__ import annotations

from pydantic import Field, field_validator

from declarative_ml.core.component import Section
from declarative_ml.core.duration import Duration
from declarative_ml.core.secret import Secret
from declarative_ml.core.size import Size
from declarative_ml.trackers.registry_name import read_registry_name

_WHERE = "A bundle, relative to the spec, or a version in the registry such as registry:NAME@challenger"


class Shadow(Section):
    """A model that gets a copy of the traffic, and whose answers nobody sees."""

    model: str = Field(min_length=1, description=_WHERE)
    share: float = Field(default=1.0, gt=0.0, le=1.0, description="Of the requests that it gets a copy of")


class Canary(Section):
    """A model that answers a share of the requests."""

    model: str = Field(min_length=1, description=_WHERE)
    share: float = Field(default=0.05, gt=0.0, le=1.0, description="Of the requests that it answers")
    by: str | None = Field(
        default=None,
        min_length=1,
        description="Column whose value, in the first row, decides: equal values always meet the same "
        "model; '*': all columns; absent: chance decides",
    )


class Serve(Section):
    """The HTTP service of the trained model."""

    model: str | None = Field(
        default=None,
        description="registry@champion, another alias, or a version such as registry/3, of the model that "
        "`track.register` names; registry:NAME@champion of another; absent: the spec's latest good run",
    )
    poll: Duration = Field(
        default="30s", description="Between two looks at the registry, and with `reload` at bundles and runs"
    )
    registry_token: Secret | None = Field(
        default=None,
        description="What the MLflow server wants to see, as bearer token; absent: MLFLOW_TRACKING_TOKEN, or "
        "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, where they are set",
    )
    reload: bool = Field(
        default=False, description="Serve what a new good run of the spec made, or what a bundle has become"
    )
    shadow: Shadow | None = Field(default=None, description="A model that is asked aside, and compared")
    canary: Canary | None = Field(default=None, description="A model that answers a share of the requests")
    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0: all")
    port: int = Field(default=8080, ge=0, le=65_535, description="0: any free one")
    workers: int = Field(default=1, ge=1, le=64, description="Processes that share the port")
    threads: int = Field(default=1, ge=1, le=256, description="Of a process for one batch of rows")
    token: Secret | None = Field(
        default=None, description="What a request must bring, as bearer token or X-API-Key; absent: nothing"
    )
    max_body: Size = Field(default="16MiB", description="Longest body of a request")
    max_rows: int = Field(default=10_000, ge=1, description="Most rows of a request")
    max_waiting: int = Field(
        default=256, ge=1, description="Most requests at once in a process; further ones get 503"
    )
    timeout: Duration = Field(default="10s", description="For a client to send its request")
    linger: Duration = Field(
        default="1s", description="Told to stop, the service answers for so long, with its probes off"
    )

    @field_validator("model")
    @classmethod
    def _in_the_registry(cls, model: str | None) -> str | None:
        if model is not None and read_registry_name(model) is None:
            raise ValueError(f"{model!r} is no version in the registry")
        return model
