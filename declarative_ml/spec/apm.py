"""The section `monitor.apm`: which Elastic APM server hears of the service, and how much."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from declarative_ml.core.component import Section
from declarative_ml.core.duration import Duration, Latency
from declarative_ml.core.secret import Secret

_ADDRESS = re.compile(r"https?://[^\s/?#]+(/[^\s?#]*)?")


class Apm(Section):
    """Transactions, errors and metrics of the service, for Elastic APM."""

    url: str | None = Field(
        description="Of the APM server; null, as `${env:NAME:-}` is where NAME is not set: nothing is sent",
        examples=["https://apm.example.com:8200"],
    )
    service: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        pattern=r"^[a-zA-Z0-9 _-]+$",
        description="Its name in Kibana; that of the first model when absent",
    )
    environment: str | None = Field(
        default=None, min_length=1, max_length=1024, description="Where it runs, such as production"
    )
    token: Secret | None = Field(default=None, description="The secret token of the APM server")
    api_key: Secret | None = Field(default=None, description="Instead of a token")
    sample: float = Field(
        default=0.1,
        ge=0.0,
        le=1.0,
        description="Share of the requests that are sent; failed and slow ones are sent in any case",
    )
    slow: Latency = Field(default="500ms", description="What a slow request takes")
    metrics_interval: Duration = Field(default="30s", description="Between two sets of metrics; 0s: none")
    verify: bool = Field(default=True, description="Check the server's certificate")
    ca: str | None = Field(
        default=None,
        min_length=1,
        description="File with the certificate (PEM) that vouches for the server; relative to the spec",
    )

    @field_validator("url")
    @classmethod
    def _address(cls, url: str | None) -> str | None:
        if not url:
            return None
        if "@" in url:
            raise ValueError("a user and a password do not belong into it; a secret goes into 'token'")
        if not _ADDRESS.fullmatch(url):
            raise ValueError("it is not the address of a server, such as https://apm.example.com:8200")
        return url

    @model_validator(mode="after")
    def _one_secret(self) -> Apm:
        if self.token is not None and self.api_key is not None:
            raise ValueError("give either 'token' or 'api_key'")
        return self

    def resolved(self, folder: Path) -> Apm:
        """The same with files of relative paths taken from `folder`."""
        secrets = {"token": self.token, "api_key": self.api_key}
        update: dict[str, Any] = {name: given.resolved(folder) for name, given in secrets.items() if given}
        if self.ca is not None:
            update["ca"] = str(folder / Path(self.ca).expanduser())
        return self.model_copy(update=update)
