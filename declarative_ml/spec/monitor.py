"""The section `monitor`: what the service watches in its requests and answers, and what it writes down."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from declarative_ml.core.component import Section
from declarative_ml.core.duration import Duration, seconds_of
from declarative_ml.core.size import Size, bytes_of
from declarative_ml.spec.apm import Apm
from declarative_ml.spec.webhook import Webhook

LEAST_ROWS = 500
"""Fewer rows of a window give no verdict: chance alone moves them."""
_LEAST_SIZE = 10_000


class Drift(Section):
    """Windows of requests against the training rows."""

    enabled: bool = Field(default=True, description="false: nothing is counted")
    alert: float = Field(
        default=0.2,
        gt=0.0,
        le=10.0,
        description="Population stability index from which a column has moved, if so many rows can tell",
    )
    rows: int = Field(
        default=5_000, ge=LEAST_ROWS, le=10_000_000, description="Rows after which a window is full"
    )
    time: Duration | None = Field(
        default=None,
        description="A window ends after so long too, if its rows are enough for a verdict; absent: no time",
    )
    columns: tuple[str, ...] = Field(
        default=(),
        description="The only columns to watch, predictions aside; absent: all that the model takes",
    )
    webhook: Webhook | None = Field(
        default=None, description="Whom to call when a full window has moved; absent: nobody"
    )

    @model_validator(mode="after")
    def _counted(self) -> Drift:
        if self.webhook is not None and not self.enabled:
            raise ValueError("a webhook needs drift to be watched: remove 'enabled: false'")
        return self

    def resolved(self, folder: Path) -> Drift:
        """The same with the files of references taken from `folder`."""
        if self.webhook is None:
            return self
        update = {"url": self.webhook.url.resolved(folder)}
        if self.webhook.secret is not None:
            update["secret"] = self.webhook.secret.resolved(folder)
        return self.model_copy(update={"webhook": self.webhook.model_copy(update=update)})


class Rotate(Section):
    """When a file of the log is finished and the next one begun: whichever comes first."""

    size: Size = Field(default="64MB", description="Of a file")
    time: Duration = Field(default="1h", description="Since its first row")

    @field_validator("size")
    @classmethod
    def _some(cls, size: str) -> str:
        if bytes_of(size) < _LEAST_SIZE:
            raise ValueError("a file of the log has 10kB at least")
        return size

    @field_validator("time")
    @classmethod
    def _long(cls, time: str) -> str:
        if seconds_of(time) < 1:
            raise ValueError("a file of the log lasts a second at least")
        return time


class PredictionLog(Section):
    """Files of requests and answers, for `dml monitor` and for new training data."""

    path: str = Field(min_length=1, description="Folder, made if absent; relative to the spec")
    format: Literal["jsonl", "parquet"] = Field(
        default="jsonl", description="Of finished files; the one that grows is always JSON lines"
    )
    rotate: Rotate = Field(default=Rotate(), description="When a file is finished")
    sample: float = Field(default=1.0, gt=0.0, le=1.0, description="Share of the rows, drawn at random")
    redact: tuple[str, ...] = Field(default=(), description="Columns whose values are not written down")
    keep: int | None = Field(
        default=None,
        ge=1,
        description="So many finished files of a model; older ones are deleted; absent: all",
    )


class Monitor(Section):
    """What is watched while the model serves."""

    drift: Drift = Field(default=Drift(), description="Drift of requests and answers; false: not watched")
    log: PredictionLog | None = Field(
        default=None, description="Requests and answers in files, or their folder; absent: not written"
    )
    apm: Apm | None = Field(
        default=None,
        description="Elastic APM: transactions, errors and metrics, or the server's URL; absent: none",
    )

    @field_validator("apm")
    @classmethod
    def _to_somebody(cls, apm: Apm | None) -> Apm | None:
        return None if apm is None or apm.url is None else apm
