"""The steps from the sources to the divided rows: acquire, check, sql, split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from declarative_ml.core.component import Component
from declarative_ml.graph.plan import Step
from declarative_ml.sources import SOURCES
from declarative_ml.sources.base import Source
from declarative_ml.spec.contract import Checks
from declarative_ml.spec.document import FilesSplit, Spec

_ARROW = ("pyarrow", "numpy")


@dataclass(frozen=True)
class Rows:
    """How the rows of a spec come to be."""

    spec: Spec

    @property
    def table(self) -> str:
        """The id of the step that makes the table to learn from."""
        return "sql" if self.spec.data.sql is not None else f"acquire.{self._tables[0]}"

    @property
    def words(self) -> list[str]:
        """Where the rows come from, by the names of files and not by their folders."""
        return [_described(source) for source in self._sources.values()]

    @property
    def sql_sources(self) -> dict[str, str]:
        """The tables that data.sql reads: the bundle must know how their text is typed."""
        if self.spec.data.sql is None:
            return {}
        return {f"source.{table}": f"acquire.{table}" for table in self._tables}

    @property
    def split_options(self) -> dict[str, Any]:
        """The split's options without its sources: their rows arrive as parts of the table."""
        split = self.spec.data.split
        options: dict[str, Any] = split.model_dump(mode="json")
        if isinstance(split, FilesSplit):
            options["test"] = True
            if isinstance(split.validation, Component):
                options["validation"] = True
        return options

    def steps(self) -> list[Step]:
        """All of them, in the order of the flow."""
        data, tables = self.spec.data, self._tables
        steps = [self._acquire(table) for table in tables]
        checks = self.checks
        before = [step for step in checks if step.inputs["table"] != "sql"]
        checked = tuple(step.id for step in before)
        steps += before
        if data.sql is not None:
            steps.append(
                Step(
                    id="sql",
                    kind="sql",
                    title="Shape the table by the SQL of the spec",
                    params={"sql": data.sql, "missing": list(data.missing)},
                    inputs={table: f"acquire.{table}" for table in tables},
                    after=checked,
                    libraries=("duckdb", *_ARROW),
                )
            )
        behind = [step for step in checks if step.inputs["table"] == "sql"]
        return [*steps, *behind, self._split((*checked, *(step.id for step in behind)))]

    @property
    def checks(self) -> list[Step]:
        """What holds the rows of each table against the data contract, if there is one."""
        contract = self.spec.data.checks
        parts = {} if contract is None else contract.parts()
        acquired = {f"sources.{table}": f"acquire.{table}" for table in self._tables}
        tables = {"": f"acquire.{self._tables[0]}", "table": "sql", **acquired}
        return [_check(checks, part, tables[part]) for part, checks in parts.items()]

    def _split(self, checked: tuple[str, ...]) -> Step:
        return Step(
            id="split",
            kind="split",
            title="Divide the rows into train, validation and test",
            params={
                "split": self.split_options,
                "target": self.spec.target.model_dump(mode="json"),
                "key": self.spec.data.key,
                "seed": self.spec.seed,
            },
            inputs={"table": self.table},
            after=checked,
            libraries=_ARROW,
        )

    @property
    def _sources(self) -> dict[str, Source]:
        data = self.spec.data
        named = {"source": data.source} if data.source is not None else dict(data.sources)
        return named | self._parts

    @property
    def _tables(self) -> list[str]:
        data = self.spec.data
        return ["source"] if data.source is not None else list(data.sources)

    @property
    def _parts(self) -> dict[str, Source]:
        """Sources of test and validation rows alone."""
        split = self.spec.data.split
        if not isinstance(split, FilesSplit):
            return {}
        held_out = {"validation": split.validation} if isinstance(split.validation, Source) else {}
        return {"test": split.test, **held_out}

    def _acquire(self, table: str) -> Step:
        parts = {table: self._sources[table], **(self._parts if len(self._tables) == 1 else {})}
        files = [str(path) for source in parts.values() for path in source.files()]
        return Step(
            id=f"acquire.{table}",
            kind="acquire",
            title=f"Read {' and '.join(map(_described, parts.values()))} and infer column types",
            params={
                "missing": list(self.spec.data.missing),
                "parts": {
                    name: {"type": source.type, "files": len(source.files()), **source.options_for_key()}
                    for name, source in parts.items()
                },
            },
            outside={"sources": {name: source.options() for name, source in parts.items()}},
            components=tuple(sorted({SOURCES.module(source.type) for source in parts.values()})),
            libraries=tuple(
                dict.fromkeys([*_ARROW, *(item for each in parts.values() for item in each.libraries)])
            ),
            files=tuple(files),
            always=any(source.remote for source in parts.values()),
        )


def _check(contract: Checks, part: str, table: str) -> Step:
    """Hold the rows of the step `table` against a part of the data contract. The steps behind it wait for it;
    what they make does not depend on what the contract says."""
    of = {"table": " that data.sql gives"}.get(part, f" of {part.removeprefix('sources.')}" if part else "")
    params = {"checks": contract.model_dump(mode="json", exclude_defaults=True)}
    return Step(
        id=f"check.{part}" if part else "check",
        kind="check",
        title=f"Hold the rows{of} against the data contract",
        params=params | ({"part": part} if part else {}),
        inputs={"table": table},
        libraries=("duckdb", *_ARROW),
        always=contract.asks_clock,
    )


def _described(source: Source) -> str:
    files = source.files()
    if source.remote:
        return source.described()
    if not files or source.type == "sample":  # nobody knows those files
        return f"{source.type} {getattr(source, 'name', '')}".strip()
    return files[0].name if len(files) == 1 else f"{len(files)} files like {files[0].name}"
