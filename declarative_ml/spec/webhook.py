"""The section `monitor.drift.webhook`: who is called when requests or answers have drifted."""

from __future__ import annotations

from pydantic import Field, field_validator

from declarative_ml.core.component import Section
from declarative_ml.core.duration import Duration, seconds_of
from declarative_ml.core.secret import Secret


class Webhook(Section):
    """A POST with a small JSON body, for a window of requests that has moved."""

    url: Secret = Field(description="The address that is called; a reference, because it often says who may")
    secret: Secret | None = Field(
        default=None,
        description="Signs the body: the header X-Dml-Signature-256 is sha256= and its HMAC; absent: none",
    )
    cooldown: Duration = Field(default="1h", description="After a call, no other for so long")
    timeout: Duration = Field(default="5s", description="For an answer")
    retries: int = Field(
        default=3, ge=0, le=10, description="Where nobody answers, or with 5xx or 429; a minute apart at most"
    )

    @field_validator("cooldown", "timeout")
    @classmethod
    def _some(cls, span: str) -> str:
        if seconds_of(span) < 1:
            raise ValueError("a second at least")
        return span
