"""How a topic of Kafka is reached: what its source and its sink have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from declarative_ml.core.component import Component
from declarative_ml.core.secret import Secret


class KafkaAccess(Component):
    """A topic, and who asks for it."""

    servers: str = Field(min_length=1, description="Bootstrap servers, such as kafka-1:9092,kafka-2:9092")
    topic: str = Field(min_length=1, description="Name of the topic")
    user: str | None = Field(default=None, description="For SASL; absent: none")
    password: Secret | None = Field(default=None, description="Reference to the password of `user`")
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="How user and password are sent"
    )
    tls: bool = Field(default=False, description="Whether the connection is encrypted")

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("give 'user' and 'password' together")
        return self

    def resolved(self, base: Path) -> Self:
        """The same with the path of the secret's file made absolute against `base`."""
        if self.password is None:
            return self
        return self.model_copy(update={"password": self.password.resolved(base)})

    def settings(self) -> dict[str, Any]:
        """For librdkafka; the password is in it."""
        settings: dict[str, Any] = {"bootstrap.servers": self.servers, "log_level": 0}
        if self.password is not None:
            settings |= {
                "sasl.username": self.user,
                "sasl.password": self.password.reveal(),
                "sasl.mechanism": self.mechanism,
            }
        protocol = ("SASL_" if self.password else "") + ("SSL" if self.tls else "PLAINTEXT")
        return settings | {"security.protocol": protocol}
