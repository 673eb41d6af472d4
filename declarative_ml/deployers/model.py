"""Where pods get their model: from the image, the store, or a registry."""

from __future__ import annotations

from declarative_ml.deployers.base import Release

IN_IMAGE, IN_STORE = "image", "store"


def follows(release: Release) -> bool:
    """Whether the model comes later than the service: then the service starts without one, and waits."""
    return release.serve is not None and release.model != IN_IMAGE


def reads_store(release: Release) -> bool:
    """Whether the service reads the workspace that trainings write: their runs, or the registry there."""
    if release.serve is None:
        return False
    return release.model == IN_STORE or (release.asks_registry and release.registry is None)


def scoring_reads_store(release: Release) -> bool:
    """Whether batch scoring does."""
    scoring = release.scoring
    if release.predict is None or scoring is None:
        return False
    return scoring.model == IN_STORE or (scoring.asks_registry and release.registry is None)


def uses_store(release: Release) -> bool:
    """Whether anything of the release does."""
    return release.train is not None or reads_store(release) or scoring_reads_store(release)


def model_words(release: Release, *, own: str, spec: str, store: str) -> list[str]:
    """What `dml serve` is told: the bundle `own`, the `spec` with its `store`, or what is in the registry."""
    where = ["--store", store] if reads_store(release) else []
    if release.asks_registry and release.registry is not None:
        where += ["--tracking-uri", release.registry]
    if release.model == IN_IMAGE:
        return [own, *where]
    return [spec if release.model == IN_STORE else release.model, *where, "--wait"]


def scoring_words(release: Release, *, own: str, spec: str, store: str) -> list[str]:
    """What `dml predict` is told: the model as above, the source, and where to."""
    scoring = release.scoring
    assert scoring is not None
    where = ["--store", store] if scoring_reads_store(release) else []
    if scoring.asks_registry and release.registry is not None:
        where += ["--tracking-uri", release.registry]
    model = {IN_IMAGE: own, IN_STORE: spec}.get(scoring.model, scoring.model)
    return ["predict", model, *scoring.words, *where, "--quiet"]
