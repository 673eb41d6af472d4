"""What a spec means beyond its shape: do the parts fit each other, and the data's columns?"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from declarative_ml.core.errors import DataError, DmlError, Problem
from declarative_ml.learning.metric_names import METRICS
from declarative_ml.sources.base import Source
from declarative_ml.spec.document import (
    ColumnSplit,
    Ensemble,
    FilesSplit,
    GroupSplit,
    HashSplit,
    Spec,
    TimeSplit,
)
from declarative_ml.spec.doubt import Doubt
from declarative_ml.spec.first_rows import doubts
from declarative_ml.spec.gate_faults import (
    absent_champion,
    gate_columns,
    gate_demands,
    gate_faults,
    idle_champions,
)
from declarative_ml.spec.monotone import able_models, left_out, monotone_features, why_not
from declarative_ml.spec.positions import Path, Place, Positions, dotted
from declarative_ml.spec.tested import answer_files, columns_of_tests, demands_of_tests, faults_of_tests
from declarative_ml.spec.tuned import tune_faults

_CLASSES = frozenset({"binary", "multiclass"})
_BINARY = frozenset({"binary"})
_NUMBER = frozenset({"number"})
_ORDERED = _BINARY | _NUMBER


def check_spec(spec: Spec, positions: Positions) -> list[Problem]:
    """Contradictions inside the spec, without looking at data."""
    checks = (_task, _roles, _features, _split, _model, _monotone, _others, _held_out, _without_effect)
    return [problem for check in checks for problem in check(spec, _Report(positions))]


def check_data(spec: Spec, positions: Positions, *, remote: bool = False) -> list[Problem]:
    """Columns that the spec names and the data lacks; reads headers, and a few rows of delimited text.

    Behind `data.sql` only names are reported, as warnings, that neither the sources nor the query's
    text know. What the first rows have against the spec is a warning as well. Raises DataError for
    unreadable data. Databases are asked only with `remote`; without it, nothing is said of a table that
    comes from one.
    """
    report = _Report(positions)
    tables = [spec.data.source, *spec.data.sources.values(), *_parts(spec).values()]
    if not remote and any(source is not None and source.remote for source in tables):
        return []
    main: list[tuple[Path, Source]] = [
        (("data", "sources", name), source) for name, source in spec.data.sources.items()
    ]
    if spec.data.source is not None:
        main = [(("data", "source"), spec.data.source)]
    headers = [_columns(source, path) for path, source in main]
    columns = list(dict.fromkeys(name for header in headers for name in header))
    if spec.data.sql is not None:
        return _unknown_to_sql(spec, columns, spec.data.sql, report) + _answer_files(spec, report)
    problems = [report.column(path, name, columns) for path, name in _named(spec) if name not in columns]
    if not problems:
        problems = _no_features(spec, columns, report)
        problems += [report.doubt(doubt) for doubt in doubts(spec)]
    problems += [report.value("DML202", each.path, each.message, each.hint) for each in absent_champion(spec)]
    return problems + _other_files(spec, report) + _answer_files(spec, report)


class _UnreadableSource(DataError):
    """Data that cannot be read, and the place of the spec that names it."""

    def __init__(self, error: DataError, path: Path, hint: str | None) -> None:
        super().__init__(error.message, hint=hint)
        self.path = path


def _columns(source: Source, path: Path) -> list[str]:
    try:
        return source.columns()
    except DataError as error:
        raise _UnreadableSource(error, path, _hint_of_path(source) or error.hint) from error


def _hint_of_path(source: Source) -> str | None:
    """Why a path that is not there may be no path at all."""
    path = str(getattr(source, "path", ""))
    if re.search(r"\b(https?|ftp|s3|gs|az|abfss?|hdfs|dbfs|postgresql|mysql):/", path):
        return "only files of this machine can be read: download it first"
    variable = re.search(r"\$\{?(\w+)|%(\w+)%", path)
    if variable:
        return f"a variable of the environment is written ${{env:{variable[1] or variable[2]}}}"
    return None


@dataclass(frozen=True)
class _Report:
    """Makes problems at the places of paths."""

    positions: Positions

    def value(self, code: str, path: Path, message: str, hint: str | None = None) -> Problem:
        return self._at(self.positions.value(path), code, path, message, hint, "error")

    def key(self, code: str, path: Path, message: str, hint: str | None = None) -> Problem:
        return self._at(self.positions.key(path), code, path, message, hint, "error")

    def warning(self, code: str, path: Path, message: str, hint: str | None = None) -> Problem:
        return self._at(self.positions.key(path), code, path, message, hint, "warning")

    def doubt(self, doubt: Doubt) -> Problem:
        said = doubt.path in self.positions.nodes or not doubt.otherwise
        path = doubt.path if said else doubt.otherwise
        is_key = path[:1] == ("features",)
        place = self.positions.key(path) if is_key else self.positions.value(path)
        return self._at(place, doubt.code, path, doubt.message, doubt.hint, "warning")

    def column(self, path: Path, name: str, columns: list[str], where: str = "the data") -> Problem:
        """`name` is not among `columns`."""
        is_key = path[:1] == ("features",) or path[-1] == name
        place = self.positions.key(path) if is_key else self.positions.value(path)
        hint = _near_column(name, columns)
        return self._at(place, "DML201", path, f"{where} has no column '{name}'", hint, "error")

    def _at(
        self, place: Place, code: str, path: Path, message: str, hint: str | None, severity: str
    ) -> Problem:
        return Problem(
            code, message, severity, place.file, place.line, place.column, place.width, dotted(path), hint
        )


def _near_column(name: str, columns: list[str]) -> str:
    if "${" in name:
        return "references are looked up in values only, not in keys"
    plain = {_plain(column): column for column in reversed(columns)}
    near = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=0.66)
    if near:
        return f"did you mean '{plain[near[0]]}'?"
    if len(columns) == 1 and re.search(r"[,;\t|]", columns[0]):
        return f"the header is one column, '{columns[0][:40]}…': is the delimiter another one?"
    more = f" and {len(columns) - 12} more" if len(columns) > 12 else ""
    return f"columns: {', '.join(columns[:12])}{more}"


def _plain(name: str) -> str:
    """A name without what people write differently: capitals, blanks, hyphens and underscores."""
    return re.sub(r"[\s_.-]+", "", name.lower()) or name


# The task: what the target's type, the metrics and the options say about it must agree.


def _task(spec: Spec, report: _Report) -> Iterator[Problem]:
    """Everything that only some types of target allow, against the type or against each other."""
    known: frozenset[str] = frozenset({spec.target.type}) if spec.target.type else frozenset()
    because = f"target.type is {spec.target.type}"
    for path, what, tasks in _demands(spec):
        if not known:
            known, because = tasks, f"{what} is for {_list(tasks)} targets"
        elif known & tasks:
            known &= tasks
        else:
            is_metric = path[:2] in _METRICS or path[-1] == "metric"
            hint = _fitting_metrics(known) if is_metric else "remove one of the two"
            if path[-1] == "monotone" and "multiclass" in known:
                hint = "with several classes, what makes one more probable makes others less: remove monotone"
            yield report.value("DML101", path, f"{what} does not fit: {because}", hint)


_METRICS = (("evaluate", "metric"), ("evaluate", "metrics"), ("tune", "metric"))


def _demands(spec: Spec) -> Iterator[tuple[Path, str, frozenset[str]]]:
    """Path, words, and the types of target that it is for."""
    evaluate = spec.evaluate
    if evaluate.metric is not None:
        tasks: frozenset[str] = METRICS[evaluate.metric].tasks
        yield ("evaluate", "metric"), f"metric {evaluate.metric}", tasks
    for number, metric in enumerate(evaluate.metrics):
        yield ("evaluate", "metrics", number), f"metric {metric}", METRICS[metric].tasks
    if spec.tune is not None and spec.tune.metric is not None:
        yield ("tune", "metric"), f"metric {spec.tune.metric}", METRICS[spec.tune.metric].tasks
    if spec.target.positive is not None:
        yield ("target", "positive"), "target.positive", _BINARY
    if evaluate.threshold.maximize is not None or evaluate.threshold.value != 0.5:
        yield ("evaluate", "threshold"), "evaluate.threshold", _BINARY
    if evaluate.interval is not None:
        yield ("evaluate", "interval"), "evaluate.interval", _NUMBER
    yield from gate_demands(spec)
    for name, direction in monotone_features(spec).items():
        yield ("features", name, "monotone"), f"monotone {direction}", _ORDERED
    yield from demands_of_tests(spec)
    if spec.imbalance != "none":
        yield ("imbalance",), f"imbalance {spec.imbalance}", _CLASSES


def _fitting_metrics(tasks: frozenset[str]) -> str:
    return f"choose {_list([name for name, metric in METRICS.items() if metric.tasks & tasks])}"


def _list(words: Iterable[str]) -> str:
    *first, last = sorted(words) if isinstance(words, frozenset) else list(words)
    return f"{', '.join(first)} or {last}" if first else last


# Columns: each has one role.


def _roles(spec: Spec, report: _Report) -> Iterator[Problem]:
    """The target, the weight and the columns of the split are different columns, and none is a feature."""
    target = spec.target.column
    for path, name in _special(spec):
        if name == target:
            message = f"{dotted(path)} is the target '{target}'"
            yield report.value("DML103", path, message, "the target tells what to predict and nothing else")
    if spec.weight is not None and spec.weight in (spec.data.key, getattr(spec.data.split, "column", None)):
        hint = "give the weights a column of their own"
        yield report.value("DML103", ("weight",), f"'{spec.weight}' has two roles", hint)
    for number, name in enumerate(spec.exclude):
        if name == target:
            hint = "the target is never a feature: delete it here"
            yield report.value("DML102", ("exclude", number), f"the target '{target}' is excluded", hint)


def _special(spec: Spec) -> Iterator[tuple[Path, str]]:
    """Columns with a role of their own that neither the target nor a feature can have."""
    if spec.weight is not None:
        yield ("weight",), spec.weight
    if spec.data.key is not None:
        yield ("data", "key"), spec.data.key
    if isinstance(spec.data.split, TimeSplit | GroupSplit | ColumnSplit):
        yield ("data", "split", "column"), spec.data.split.column


def _features(spec: Spec, report: _Report) -> Iterator[Problem]:
    if spec.features == "auto":
        return
    if not spec.features and spec.others == "drop":
        hint = "name columns, or write features: auto"
        yield report.key("DML105", ("features",), "no column is left to learn from", hint)
    taken = {name: dotted(path) for path, name in _special(spec)}
    if isinstance(spec.data.split, TimeSplit):
        taken.pop(spec.data.split.column, None)
    taken |= dict.fromkeys(spec.exclude, "exclude")
    taken[spec.target.column] = "target"
    for name in spec.features:
        if name in taken:
            role = "the target" if taken[name] == "target" else f"named by {taken[name]}"
            message = f"'{name}' cannot be a feature: it is {role}"
            yield report.key("DML104", ("features", name), message, "delete it in one of the two places")


# Split and model.


def _split(spec: Spec, report: _Report) -> Iterator[Problem]:
    split, path = spec.data.split, ("data", "split")
    if isinstance(split, HashSplit) and spec.data.key is None:
        hint = "add 'key: COLUMN' under data, or use method: random"
        yield report.key("DML106", path, "a hash split needs data.key", hint)
    if isinstance(split, ColumnSplit) and len({split.train, split.validation, split.test}) < 3:
        hint = "for example train: train, validation: valid, test: test"
        message = "train, validation and test must be marked by different values"
        yield report.key("DML107", path, message, hint)
        return
    shares = [getattr(split, name, None) for name in ("validation", "test")]
    parts = [share for share in shares if isinstance(share, float)]
    if sum(parts) >= 1.0:
        message = f"validation and test take {sum(parts):.0%} of the rows: none are left to train on"
        yield report.key("DML107", path, message, "for example validation: 0.1 and test: 0.2")
    if getattr(split, "folds", None) is not None and getattr(split, "validation", None) is not None:
        hint = "keep one: folds hold out every training row once, validation holds out a share"
        yield report.key("DML107", (*path, "folds"), "folds and validation exclude each other", hint)


def _model(spec: Spec, report: _Report) -> Iterator[Problem]:
    if not isinstance(spec.model, Ensemble):
        return
    members = list(spec.model.members)
    for number, member in enumerate(members):
        first = members.index(member)
        if first < number:
            message = f"members {first + 1} and {number + 1} are the same model"
            hint = "an average of equal models changes nothing: delete one, or change its options"
            yield report.value("DML108", ("model", "members", number), message, hint)


def _monotone(spec: Spec, report: _Report) -> Iterator[Problem]:
    """Models that the spec names, and options of models to tune, must be able to keep its directions."""
    columns = monotone_features(spec)
    hint = f"choose {_list(able_models())}, or delete 'monotone'"
    for number, model in enumerate(spec.members):
        path: Path = ("model", "members", number) if isinstance(spec.model, Ensemble) else ("model",)
        if reason := why_not(model, columns):
            yield report.value("DML118", (*path, "type"), f"{model.type} {reason}", hint)
    without = left_out(spec)
    for key in spec.tune.space if spec.tune is not None else ():
        name = key.partition(".")[0]
        if reason := without.get(name):
            message = f"'{key}' cannot be tuned: {name} {reason}"
            yield report.key(
                "DML118", ("tune", "space", key), message, "delete it here, or delete 'monotone'"
            )


def _held_out(spec: Spec, report: _Report) -> Iterator[Problem]:
    """What needs held-out rows, where the split has none."""
    split = spec.data.split
    if getattr(split, "validation", None) != 0.0 or getattr(split, "folds", None) is not None:
        return
    hint = "write folds: 5, or a share such as validation: 0.1"
    if spec.evaluate.interval is not None:
        message = "intervals are learned from the errors on held-out rows, and the split has none"
        yield report.value("DML107", ("evaluate", "interval"), message, hint)
    for cap in ("max_latency", "max_size"):
        if getattr(spec.model, cap, None) is not None:
            message = f"{cap} chooses candidates by held-out rows, and the split has none"
            yield report.value("DML107", ("model", cap), message, hint)


def _others(spec: Spec, report: _Report) -> Iterator[Problem]:
    found = ("DML117", tune_faults(spec)), ("DML125", gate_faults(spec)), ("DML131", faults_of_tests(spec))
    for code, faults in found:
        for fault in faults:
            make = report.key if fault.at_key else report.value
            yield make(code, fault.path, fault.message, fault.hint)


def _without_effect(spec: Spec, report: _Report) -> Iterator[Problem]:
    if spec.track.enabled is False and spec.track.register_as is not None:
        message = "track.register has no effect: tracking is off"
        yield report.warning("DML109", ("track", "register"), message, "remove 'enabled: false' to register")
    if spec.track.enabled is False and spec.track.tensorboard:
        message = "track.tensorboard has no effect: tracking is off"
        yield report.warning(
            "DML109", ("track", "tensorboard"), message, "remove 'enabled: false' to write it"
        )
    test = getattr(spec.data.split, "test", None)
    if test == 0.0:
        hint = "the report will show validation numbers only"
        yield report.warning("DML109", ("data", "split", "test"), "no rows are kept for a test", hint)
    for fault in idle_champions(spec):
        yield report.warning("DML109", fault.path, fault.message, fault.hint)


# The data's columns.


def _named(spec: Spec) -> Iterator[tuple[Path, str]]:
    """Every column that the spec names, with the place where it does."""
    yield ("target", "column"), spec.target.column
    yield from _special(spec)
    stratify = getattr(spec.data.split, "stratify", None)
    if isinstance(stratify, str):
        yield ("data", "split", "stratify"), stratify
    if spec.features != "auto":
        for name in spec.features:
            yield ("features", name), name
    for number, name in enumerate(spec.exclude):
        yield ("exclude", number), name
    for number, item in enumerate(spec.evaluate.slices):
        for name in [item] if isinstance(item, str) else item:
            path: Path = ("evaluate", "slices", number)
            yield path if isinstance(item, str) else (*path, name), name
    yield from columns_of_tests(spec)
    yield from gate_columns(spec)


def _unknown_to_sql(spec: Spec, columns: list[str], sql: str, report: _Report) -> list[Problem]:
    words = sql.lower()
    found = []
    for path, name in _named(spec):
        if name not in columns and name.lower() not in words:
            message = f"neither the sources nor data.sql mention a column '{name}'"
            found.append(report.warning("DML201", path, message, _near_column(name, columns)))
    return found


def _no_features(spec: Spec, columns: list[str], report: _Report) -> list[Problem]:
    used = {spec.target.column, *spec.exclude, *(name for _, name in _special(spec))}
    if spec.features != "auto" or set(columns) - used:
        return []
    message = "the data has no column left to learn from"
    hint = f"columns: {', '.join(columns[:12])}"
    return [report.key("DML105", ("exclude",) if spec.exclude else ("data", "source"), message, hint)]


def _other_files(spec: Spec, report: _Report) -> list[Problem]:
    """The separate test and validation files must hold the target and the named features."""
    needed = [spec.target.column, *(() if spec.features == "auto" else spec.features)]
    found = []
    for part, source in _parts(spec).items():
        path = ("data", "split", part)
        columns = _columns(source, path)
        found += [
            report.column(path, name, columns, f"the {part} data") for name in needed if name not in columns
        ]
    return found


def _answer_files(spec: Spec, report: _Report) -> list[Problem]:
    """Files of expected answers must hold the target."""
    target = spec.target.column
    headers = {path: _columns(source, path) for path, source in answer_files(spec).items()}
    where = "the file of expected answers"
    return [
        report.column(path, target, columns, where)
        for path, columns in headers.items()
        if target not in columns
    ]


def _parts(spec: Spec) -> dict[str, Source]:
    """The sources of test and validation rows that are apart from the others."""
    split = spec.data.split
    if not isinstance(split, FilesSplit):
        return {}
    parts = {"test": split.test, "validation": split.validation}
    return {name: source for name, source in parts.items() if isinstance(source, Source)}


def unreadable(error: DmlError, positions: Positions) -> Problem:
    """Data that cannot be read, as a problem of the spec that names it."""
    path: Path = getattr(error, "path", ("data", "source"))
    place = (*path, "path") if (*path, "path") in positions.nodes else path
    return _Report(positions).value("DML202", place, error.message, error.hint or "check the file")
