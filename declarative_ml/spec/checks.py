"""What a spec means beyond its shape: do the parts fit each other?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from declarative_ml.core.errors import Problem
from declarative_ml.learning.metric_names import METRICS
from declarative_ml.spec.apm_doubts import apm_doubts
from declarative_ml.spec.data_checks import special_columns
from declarative_ml.spec.deploy_faults import deploy_faults
from declarative_ml.spec.document import (
    ColumnSplit,
    Ensemble,
    HashSplit,
    Spec,
    TimeSplit,
)
from declarative_ml.spec.gate_faults import (
    gate_demands,
    gate_faults,
    idle_comparisons,
)
from declarative_ml.spec.monotone import able_models, left_out, monotone_features, why_not
from declarative_ml.spec.positions import Path, Positions, dotted
from declarative_ml.spec.problem_report import Report
from declarative_ml.spec.processes import crowded_processes, idle_processes
from declarative_ml.spec.served import (
    canary_faults,
    idle_reload,
    unnamed_models,
)
from declarative_ml.spec.tested import demands_of_tests, faults_of_tests
from declarative_ml.spec.tuned import tune_faults
from declarative_ml.spec.watched import faults_of_monitor

_CLASSES = frozenset({"binary", "multiclass"})
_BINARY = frozenset({"binary"})
_NUMBER = frozenset({"number"})
_ORDERED = _BINARY | _NUMBER


def check_spec(spec: Spec, positions: Positions) -> list[Problem]:
    """Contradictions inside the spec, without looking at data."""
    checks = (
        _task,
        _roles,
        _features,
        _contract,
        _split,
        _model,
        _monotone,
        _others,
        _held_out,
        _deploy,
        _without_effect,
    )
    return [problem for check in checks for problem in check(spec, Report(positions))]


# The task: what the target's type, the metrics and the options say about it must agree.


def _task(spec: Spec, report: Report) -> Iterator[Problem]:
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


def _roles(spec: Spec, report: Report) -> Iterator[Problem]:
    """The target, the weight and the columns of the split are different columns, and none is a feature."""
    target = spec.target.column
    for path, name in special_columns(spec):
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


def _features(spec: Spec, report: Report) -> Iterator[Problem]:
    if spec.features == "auto":
        return
    if not spec.features and spec.others == "drop":
        hint = "name columns, or write features: auto"
        yield report.key("DML105", ("features",), "no column is left to learn from", hint)
    taken = {name: dotted(path) for path, name in special_columns(spec)}
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


def _split(spec: Spec, report: Report) -> Iterator[Problem]:
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


def _model(spec: Spec, report: Report) -> Iterator[Problem]:
    if not isinstance(spec.model, Ensemble):
        return
    members = list(spec.model.members)
    for number, member in enumerate(members):
        first = members.index(member)
        if first < number:
            message = f"members {first + 1} and {number + 1} are the same model"
            hint = "an average of equal models changes nothing: delete one, or change its options"
            yield report.value("DML108", ("model", "members", number), message, hint)


def _monotone(spec: Spec, report: Report) -> Iterator[Problem]:
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


def _held_out(spec: Spec, report: Report) -> Iterator[Problem]:
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


def _contract(spec: Spec, report: Report) -> Iterator[Problem]:
    """Parts of the data contract are of tables that there are."""
    data, path = spec.data, ("data", "checks")
    if data.checks is None:
        return
    for name in data.checks.sources:
        if name not in data.sources:
            known = f"there are: {', '.join(data.sources)}" if data.sources else "delete 'sources' here"
            message = f"data.sources has no '{name}' to check" if data.sources else "there is one source"
            yield report.key("DML018", (*path, "sources", name), message, known)
    if data.sources and "" in data.checks.parts():
        hint = "write sources: {NAME: …} under checks, and table: … for the rows that sql gives"
        yield report.key("DML018", path, "there are several sources, each with checks of its own", hint)
    if data.checks.table is not None and data.sql is None:
        hint = "write its checks directly under 'checks'"
        yield report.key("DML018", (*path, "table"), "checks.table is of what sql gives; there is none", hint)


def _others(spec: Spec, report: Report) -> Iterator[Problem]:
    found = (
        ("DML117", tune_faults(spec)),
        ("DML125", gate_faults(spec)),
        ("DML131", faults_of_tests(spec)),
        ("DML141", faults_of_monitor(spec)),
        ("DML148", unnamed_models(spec)),
        ("DML149", canary_faults(spec)),
        ("DML176", crowded_processes(spec)),
    )
    for code, faults in found:
        for fault in faults:
            make = report.key if fault.at_key else report.value
            yield make(code, fault.path, fault.message, fault.hint)


def _deploy(spec: Spec, report: Report) -> Iterator[Problem]:
    for fault in deploy_faults(spec):
        make = report.warning if fault.warning else report.key if fault.at_key else report.value
        yield make(fault.code, fault.path, fault.message, fault.hint)


def _without_effect(spec: Spec, report: Report) -> Iterator[Problem]:
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
    for fault in (*idle_comparisons(spec), *idle_reload(spec)):
        yield report.warning("DML109", fault.path, fault.message, fault.hint)
    for fault in idle_processes(spec):
        yield report.warning("DML175", fault.path, fault.message, fault.hint)
    for code, fault in apm_doubts(spec):
        yield report.warning(code, fault.path, fault.message, fault.hint)
