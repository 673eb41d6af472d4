"""What targets on one machine have in common: docker-compose and systemd start the same service."""

from __future__ import annotations

import json
from collections.abc import Mapping

from declarative_ml.core.duration import seconds_of
from declarative_ml.core.errors import UsageError
from declarative_ml.deployers.base import Release
from declarative_ml.deployers.image import Image

SPARE = 15
"""Seconds that a service may take to end beyond what it lingers and answers for."""


def service_image(release: Release) -> Image:
    """The image of the service. Raises UsageError where the spec names none."""
    if release.image is None:
        raise UsageError("the spec names no image of the service", hint="add deploy.image: HOST/NAME:TAG")
    return release.image


def training_image(release: Release) -> Image:
    """The image of the training. Raises UsageError where the spec names none."""
    if release.train_image is None:
        raise UsageError(
            "the spec names no image of the training", hint="add deploy.train.image: HOST/NAME:TAG"
        )
    return release.train_image


def options_file(release: Release, *, host: str, port: int) -> str:
    """The section `serve` with this address, as `dml serve --options` reads it."""
    return json.dumps({**release.serve_options, "host": host, "port": port}, indent=1, sort_keys=True) + "\n"


def stop_seconds(release: Release) -> int:
    """How long the service may take to answer what it has begun."""
    linger = seconds_of(str(release.serve_options.get("linger", "1s")))
    drain = 0 if release.serve is None else seconds_of(release.serve.drain)
    return linger + drain + SPARE


def clear_environment(release: Release, workload: str) -> Mapping[str, str]:
    """The environment variables in clear, without those whose values are secret."""
    section = getattr(release, workload)
    secret = getattr(release, f"{workload}_secrets")
    return {name: text for name, text in sorted(section.env.items()) if name not in secret}
