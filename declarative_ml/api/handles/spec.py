"""A spec that was read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from declarative_ml.api.handles.results import Problems
from declarative_ml.spec.load import LoadedSpec


class Spec:
    """A valid spec. Changes go into its file, or over it: `load(path, overrides={…})`."""

    def __init__(self, loaded: LoadedSpec) -> None:
        self.loaded = loaded
        """What the functions of `declarative_ml.api` take."""

    @property
    def name(self) -> str:
        """Of the model."""
        return self.loaded.spec.name

    @property
    def path(self) -> Path:
        """The file."""
        return self.loaded.path

    @property
    def text(self) -> str:
        """The file's text as it was read."""
        return self.loaded.text

    @property
    def digest(self) -> str:
        """SHA-256 of the meaning: the same for the same spec in another folder or layout."""
        return self.loaded.digest

    @property
    def options(self) -> dict[str, Any]:
        """Every option, defaults and templates included, as plain values."""
        from declarative_ml.spec.dump import spec_options

        return spec_options(self.loaded.spec, self.loaded.path.resolve().parent)

    @property
    def problems(self) -> Problems:
        """The warnings."""
        return Problems(self.loaded.problems, self.loaded.texts)

    def to_yaml(self) -> str:
        """The whole spec, defaults and templates included, as YAML."""
        from declarative_ml.spec.dump import spec_to_yaml

        return spec_to_yaml(self.loaded.spec, self.loaded.path.resolve().parent)

    def origins(self) -> list[Mapping[str, Any]]:
        """The file, line and column of every value: what `dml explain --origin` prints."""
        from declarative_ml.api.origins import origins

        return list(origins(self.loaded))

    def __repr__(self) -> str:
        return f"<Spec {self.name} from {self.path}>"

    def _repr_html_(self) -> str:
        from declarative_ml.report.fragments import box, heading, plain_text, yaml_text

        warnings = [plain_text(str(self.problems))] if self.loaded.problems else []
        return box(heading(self.name, self.loaded.spec.description), yaml_text(self.text), *warnings)
