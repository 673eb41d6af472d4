"""What the plan says of texts that are read before the graph: by what, from where, depending on what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from declarative_ml.core.reading import AnyReading, Embedding
from declarative_ml.spec.document import Spec
from declarative_ml.text.embedding_files import model_files
from declarative_ml.text.pipelines import is_folder, pipeline_files


def readings_of(spec: Spec) -> list[AnyReading]:
    """The different readings that the features of a spec ask for."""
    if spec.features == "auto":
        return []
    found = {feature.reading(): None for feature in spec.features.values()}
    return sorted((item for item in found if item is not None), key=lambda item: item.model_dump_json())


def libraries_of(readings: Sequence[AnyReading]) -> list[str]:
    """What reads them: libraries, and packages that are pipelines."""
    found = [name for item in readings for name in item.libraries]
    found += [
        item.origin for item in readings if not isinstance(item, Embedding) and not is_folder(item.origin)
    ]
    return list(dict.fromkeys(found))


def files_of(readings: Sequence[AnyReading], folder: Path) -> list[str]:
    """The files of pipelines and models in folders, seen from the folder of the spec."""
    found = [
        model_files(item.model, folder)
        if isinstance(item, Embedding)
        else pipeline_files(item.pipeline, folder)
        for item in readings
    ]
    return sorted({str(path) for paths in found for path in paths})


def places_of(readings: Sequence[AnyReading], folder: Path) -> dict[str, Any]:
    """For `Step.outside`: the readings, and the folder that they start from."""
    if not readings:
        return {}
    return {"texts": {"folder": str(folder), "readings": [item.model_dump(mode="json") for item in readings]}}
