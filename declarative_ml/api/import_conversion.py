"""A conversion at work: the config, the verdicts on its keys, and the spec that grows from it."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from declarative_ml.api.import_config import as_number, read_config
from declarative_ml.api.import_report import Imported, Ledger, Verdict
from declarative_ml.api.import_yaml import flow, spec_text
from declarative_ml.core.atomic import write_text
from declarative_ml.core.errors import DataError, SpecError, UsageError
from declarative_ml.learning.metric_names import METRICS
from declarative_ml.models import MODELS
from declarative_ml.sources import SOURCES
from declarative_ml.sources.base import Source
from declarative_ml.spec.load import load_spec
from declarative_ml.spec.positions import Node, dotted
from declarative_ml.spec.positions import Path as Keys
from declarative_ml.spec.schema import spec_schema

UNNAMED_DATA = "data.csv"
"""What the spec says where no data was given."""

# Reasons that both tools' options share.
NO_DROP = "no row is dropped for a missing feature; WHERE … IS NOT NULL in data.sql does that"
PEAK_RATE = "the same number, but it is the peak: AdamW's rate falls over the epochs"
NO_L2 = "weights decay apart from the loss (model.weight_decay), so the numbers do not compare"
OWN_WEIGHTS = "classes have no weights of their own: with weights, all of them count equally"
KEPT_SHARES = "every part also keeps the target's shares; data.split.stratify: false draws without"

_DEPTH = 8
"""Up to this depth a limit on the leaves stands for one on the depth."""

FEWEST_TRIALS, MOST_TRIALS = 2, 200
"""What `tune.trials` takes."""


def trials_within(number: float) -> int:
    """The number of trials that comes nearest to what another tool does."""
    return int(max(FEWEST_TRIALS, min(MOST_TRIALS, number)))


class Conversion:
    """Reads the config at once, so that nothing is asked of a person for a file that cannot be read.

    Raises UsageError when `output` exists and `force` is not set, or when no spec can be called `name`,
    and as `read_config` does.
    """

    def __init__(
        self, tool: str, config: Path, output: Path, *, data: str | None, name: str | None, force: bool
    ) -> None:
        if output.exists() and not force:
            raise UsageError(
                f"{output} exists already", hint="name another file with -o, or overwrite it with --force"
            )
        if name is not None and name != _slug(name):
            raise UsageError(
                f"--name {name}: a name is lower-case letters, digits and hyphens",
                hint=f"for example --name {_slug(name) or 'my-model'}",
            )
        self.root: Node = read_config(config, tool)
        self.tool, self.config, self.output, self.data = tool, config, output, data
        self.spec: dict[str, Any] = {"version": 1, "name": name or _name(data or str(config)), "data": {}}
        self.notes: list[str] = []
        self.source: Source | None = None
        self.columns: list[str] | None = None
        self._ledger = Ledger(self.root)
        self._asked: dict[str, Node] = {}

    # Verdicts.

    def carried(self, theirs: Keys, ours: str | Keys, value: Any = None) -> None:
        """The same in our spec: `ours` as words, or as the path of the option that is set to `value`."""
        self._take("carried", theirs, ours, "", value)

    def changed(self, theirs: Keys, ours: str | Keys, why: str, value: Any = None) -> None:
        """Something near in our spec, and what differs. As words, `ours` begins with the option's path."""
        self._take("changed", theirs, ours, why, value)

    def left_out(self, theirs: Keys, why: str) -> None:
        """No counterpart, for all of `theirs` that has no verdict yet."""
        self._ledger.judge(theirs, "left_out", "", why)

    def _take(self, verdict: Verdict, theirs: Keys, ours: str | Keys, why: str, value: Any) -> None:
        """Judge, and set the option; one that was set otherwise before stays as it is."""
        if isinstance(ours, str):
            self._ledger.judge(theirs, verdict, ours, why, re.split(r"[.:]", ours)[0])
            return
        before = self._at(ours)
        if before is not None and before != value:
            self.left_out(theirs, f"{dotted(ours)} is {flow(before)} already")
            return
        self.put(ours, value)
        self._ledger.judge(theirs, verdict, f"{dotted(ours)}: {flow(value)}", why, str(ours[0]))

    def _at(self, ours: Keys) -> Any:
        """The value of an option, None where it is not set."""
        found: Any = self.spec
        for part in ours:
            found = found.get(part) if isinstance(found, dict) else None
        return found

    # The spec.

    def put(self, ours: Keys, value: Any) -> None:
        """Set an option of the spec."""
        holder: Any = self.spec
        for part in ours[:-1]:
            holder = holder.setdefault(part, {})
        holder[ours[-1]] = value

    def option(self, theirs: Keys, option: str, value: Any, *, why: str = "") -> bool:
        """Set an option of the model, if it takes this value: changed with a reason, carried without.

        Returns whether it did.
        """
        kind = self.spec["model"]["type"]
        try:
            fitting = getattr(MODELS.parse({"type": kind, option: value}), option)
        except ValidationError as error:
            problem = error.errors()[0]["msg"].removeprefix("Input ")
            self.left_out(theirs, f"model.{option} of {kind} {problem}")
            return False
        if why:
            self.changed(theirs, ("model", option), why, fitting)
        else:
            self.carried(theirs, ("model", option), fitting)
        return True

    def number_option(self, theirs: Keys, option: str, node: Node, *, why: str = "") -> bool:
        """`option` for a value of theirs that must be a number."""
        value = as_number(node)
        if value is None:
            self.left_out(theirs, f"model.{option} takes a number")
            return False
        return self.option(theirs, option, value, why=why)

    def depth_as_leaves(self, theirs: Keys, node: Node, *, taken: bool) -> None:
        """A limit on the depth of trees as one on their leaves. `taken`: the leaves have a limit already."""
        depth = as_number(node)
        if not taken and depth is not None and 1 <= depth <= _DEPTH:
            why = "leaves limit a tree here, not its depth: as many as a tree of that depth can have"
            self.option(theirs, "num_leaves", 2 ** int(depth), why=why)
        else:
            self.left_out(theirs, "leaves limit a tree here, not its depth: model.num_leaves")

    def balance(self, theirs: Keys, how: str, why: str = "") -> None:
        """Set `imbalance`, for a target that has classes: changed with a reason, carried without."""
        if not self.has_classes:
            self.left_out(theirs, "the target is a number: it has no classes to balance")
        elif why:
            self.changed(theirs, ("imbalance",), why, how)
        else:
            self.carried(theirs, ("imbalance",), how)

    def primary_metric(self, theirs: Keys, metric: str | None, why: str) -> None:
        """Set `evaluate.metric` where the target has that metric; None is a metric that we lack."""
        task = self.spec["target"]["type"]
        if metric is None or task not in METRICS[metric].tasks:
            fitting = ", ".join(name for name, found in METRICS.items() if task in found.tasks)
            self.left_out(theirs, f"not a metric for this target; there are {fitting}")
        else:
            self.changed(theirs, ("evaluate", "metric"), why, metric)

    @property
    def has_classes(self) -> bool:
        """Whether the target is a class. The target must be set."""
        return bool(self.spec["target"]["type"] != "number")

    # The data.

    def open_data(self, **options: Any) -> None:
        """Name the data in the spec, and read its column names. Raises DataError when it cannot be read.

        `options` are those of a file, such as its delimiter.
        """
        if self.data is None:
            self.notes.append(f"no --data was given: put your file's name in place of {UNNAMED_DATA}")
            self._name_file(UNNAMED_DATA, options)
        elif self.data.startswith("sample:"):
            sample = {"type": "sample", "name": self.data.removeprefix("sample:")}
            self.source = _sample(sample)
            self.put(("data", "source"), sample)
        else:
            given = Path(self.data).expanduser().absolute()
            self.source = SOURCES.parse({"type": "file", "path": str(given), **options})
            relative = os.path.relpath(given, self.output.absolute().parent)
            self._name_file(Path(relative).as_posix(), options)
        if self.source is not None:
            self.columns = self.source.columns()

    def _name_file(self, path: str, options: dict[str, Any]) -> None:
        """The source as a bare path where that says it all."""
        self.put(("data", "source"), {"type": "file", "path": path, **options} if options else path)

    def ask(self, column: str, node: Node) -> None:
        """Note that the spec needs a column, which `node` names."""
        self._asked.setdefault(column, node)

    def require_columns(self) -> None:
        """Raise DataError when the data lacks a column that the spec needs."""
        if self.columns is None:
            return
        lacking = {name: node for name, node in self._asked.items() if name not in (self.columns or ())}
        if not lacking:
            return
        names = ", ".join(
            f"'{name}' ({self.config.name}:{(node.key or node.place).line})" for name, node in lacking.items()
        )
        raise DataError(f"{self.data} has no column {names}", hint=_near_columns(lacking, self.columns))

    def finish(self) -> Imported:
        """Write the spec and the editor's schema, and read the spec back.

        Raises SpecError when the spec, now written, does not fit the data after all.
        """
        self.require_columns()
        entries = self._ledger.entries()
        self.notes.append(f"options that the config does not name get our defaults, not those of {self.tool}")
        if len(self.spec["model"]) == 1:
            self.spec["model"] = self.spec["model"]["type"]
        origin = f"{self.config.name} ({self.tool})"
        content = spec_text(self.spec, entries, origin, self.notes)
        write_text(self.output, content)
        write_text(self.output.absolute().parent / ".dml" / "spec.v1.json", _schema_text())
        try:
            loaded = load_spec(self.output, data=self.source is not None)
        except SpecError as error:
            hint = f"{self.output} is written: correct these lines"
            raise SpecError(error.problems, hint=hint, texts=error.texts) from error
        notes = [*self.notes, *(f"{problem.path}: {problem.message}" for problem in loaded.problems)]
        return Imported(
            self.tool,
            self.config,
            self.output,
            content,
            tuple(entries),
            notes,
            named_data=self.source is not None,
        )


@cache
def _schema_text() -> str:
    return json.dumps(spec_schema(), indent=1, ensure_ascii=False) + "\n"


def _sample(options: dict[str, Any]) -> Source:
    try:
        return SOURCES.parse(options)
    except ValidationError as error:
        raise UsageError(
            f"there is no sample '{options['name']}'", hint=error.errors()[0]["msg"].removeprefix("Input ")
        ) from error


def _near_columns(names: Iterable[str], columns: list[str]) -> str:
    by_lower = {column.lower().strip(): column for column in columns}
    near = [difflib.get_close_matches(name.lower().strip(), by_lower, n=1) for name in names]
    found = [by_lower[match[0]] for match in near if match]
    meant = f"did you mean {', '.join(repr(name) for name in found)}? " if found else ""
    more = " …" if len(columns) > 12 else ""
    return f"{meant}the data has {', '.join(columns[:12])}{more}"


def _name(data: str) -> str:
    """A spec's name from a file's name, or from its folder's where the file's says nothing."""
    path = Path(data.removeprefix("sample:")).absolute()
    stem = path.name.partition(".")[0]
    if stem.lower() in ("data", "train", "dataset", "config", "igel", "model_config") and path.parent.name:
        stem = path.parent.name
    return _slug(stem) or "model"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-")
