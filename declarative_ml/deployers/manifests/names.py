"""Names, labels and annotations: who owns an object, and how it is found again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from declarative_ml.core.digest import digest_json
from declarative_ml.deployers.base import Object, Release
from declarative_ml.deployers.sections import Workload

MANAGER = "dml"
"""The value of `managed-by`, and the field manager of what is applied."""
OWN = "declarative-ml"
"""Prefix of our own labels and annotations."""
LABEL = "app.kubernetes.io"
LONGEST = 63
CRON_LONGEST = 52
"""The controller puts 11 characters behind the name of a CronJob."""
_HASH = 8


def fit(name: str, longest: int = LONGEST) -> str:
    """The name, or its start and a hash of the whole: two long names never become one."""
    if len(name) <= longest:
        return name
    return f"{name[: longest - _HASH - 1].rstrip('-')}-{digest_json(name)[:_HASH]}"


def name_of(release: Release, *parts: str, longest: int = LONGEST) -> str:
    """A DNS-1123 label that begins with the release's name; with a letter, because that of a Service must."""
    name = "-".join((release.name, *parts))
    return fit(name if name[0].isalpha() else f"m-{name}", longest)


def hashed(release: Release, part: str, content: Any, longest: int = LONGEST) -> str:
    """A name that changes with the content."""
    digest = digest_json(content)[:_HASH]
    return f"{name_of(release, part, longest=longest - _HASH - 1)}-{digest}"


def selector(release: Release, component: str) -> dict[str, str]:
    """The labels that find the pods of a workload: they never change, because selectors may not."""
    return {
        f"{LABEL}/name": release.name,
        f"{LABEL}/instance": release.name,
        f"{LABEL}/component": component,
    }


def labels(release: Release, component: str, workload: Workload | None, version: str) -> dict[str, str]:
    """All labels of an object or pod. Those of the person come first: they cannot replace ours."""
    own = {
        **selector(release, component),
        f"{LABEL}/version": value(version),
        f"{LABEL}/part-of": release.part_of or release.name,
        f"{LABEL}/managed-by": MANAGER,
    }
    theirs = {**release.labels, **(workload.labels if workload is not None else {})}
    return {**own, **{key: text for key, text in sorted(theirs.items()) if key not in own}}


def value(text: str) -> str:
    """The text as the value of a label: at most 63 characters, letters and digits at both ends."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "-", text)
    return re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9]+$", "", fit(plain)) or "unknown"


def own_annotations(release: Release, workload: Workload | None) -> dict[str, str]:
    """Where the object comes from, and what the person wrote."""
    own = {
        f"{OWN}/renderer": f"dml-{release.dml_version}",
        f"{OWN}/spec-digest": release.spec_digest,
    }
    if release.plan is not None:
        own[f"{OWN}/plan-digest"] = digest_json(release.plan.model_dump(mode="json"))
    return {**their_annotations(release, workload), **own}


def their_annotations(release: Release, workload: Workload | None) -> dict[str, str]:
    """What the person wrote. Pods carry nothing else of this kind: it would start them anew."""
    return dict(
        sorted({**release.annotations, **(workload.annotations if workload is not None else {})}.items())
    )


def metadata(
    release: Release,
    component: str,
    name: str,
    *,
    version: str,
    workload: Workload | None = None,
    extra_labels: Mapping[str, str] | None = None,
) -> Object:
    """The head of an object that lives in the release's namespace."""
    return {
        "name": name,
        "namespace": release.namespace,
        "labels": {**labels(release, component, workload, version), **(extra_labels or {})},
        "annotations": own_annotations(release, workload),
    }
