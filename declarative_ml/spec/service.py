"""The section `serve`: where the service listens, what a request must bring, and how much it may ask for."""

from __future__ import annotations

from pydantic import Field

from declarative_ml.core.component import Section
from declarative_ml.core.duration import Duration
from declarative_ml.core.secret import Secret
from declarative_ml.core.size import Size


class Serve(Section):
    """The HTTP service of the trained model."""

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
