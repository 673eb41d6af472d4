"""Rendered targets for the tests: a spec over the table of flowers with a section `deploy`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from declarative_ml.api.deploy import load, parts_of
from declarative_ml.deployers.base import Object

IMAGE = "registry.example.com/garden/flowers:1.4.0"


IRIS: dict[str, Any] = {"data": {"source": {"type": "sample", "name": "iris"}}, "target": "species"}
"""Rows that pods have as well: they come with a package of the image."""


def section(target: Any, **sections: Any) -> dict[str, Any]:
    """A section `deploy` whose service and training go to one target; by name what lies over it."""
    found: dict[str, Any] = {"image": IMAGE, "serve": {"to": target}, "train": {"to": target}}
    for name, value in sections.items():
        if value is None:
            found.pop(name)
        else:
            found[name] = {**found.get(name, {}), **value} if isinstance(value, Mapping) else value
    return found


def files(spec: Path, **options: Any) -> Mapping[str, str]:
    """The files of a spec's only target, rendered twice alike."""
    (part,) = parts_of(load(spec), **options)
    rendered = part.rendered
    assert rendered == part.deployer.render(part.release)
    assert not rendered.objects
    return rendered.files


def objects(spec: Path, **options: Any) -> list[Object]:
    """The objects of all targets of a spec, rendered twice alike."""
    parts = parts_of(load(spec), **options)
    found = [each for part in parts for each in part.rendered.objects]
    assert found == [each for part in parts for each in part.deployer.render(part.release).objects]
    return found
