"""Ludwig's section `hyperopt` as `tune`: what is searched, by which metric, and in how many trials."""

from __future__ import annotations

import difflib

from declarative_ml.api.import_config import as_number, as_text, is_off, section
from declarative_ml.api.import_conversion import FEWEST_TRIALS, MOST_TRIALS, Conversion, trials_within
from declarative_ml.api.import_ludwig_metrics import no_metric, our_metric
from declarative_ml.api.import_ludwig_model import Section
from declarative_ml.api.import_ludwig_parameters import Parameters
from declarative_ml.api.import_report import short
from declarative_ml.learning.metric_names import METRICS
from declarative_ml.spec.document import LEAST_SECONDS
from declarative_ml.spec.positions import Node
from declarative_ml.spec.positions import Path as Keys

_AT: Keys = ("hyperopt",)
_NOTHING = "nothing that it searches is an option here; tune: {} searches what the model suggests"
_NO_ROWS = "a search compares options on held-out rows, and this split has none for validation"
_FIRST = "the first trial is the model with the options it has"
_SEED = "one seed drives every random choice: seed"
_RESUMED = "trials are cached steps of the workspace, so a search goes on where it stopped"
_MEASURED = ("metric", "goal", "output_feature", "split")
_NESTED = ("executor", "sampler", "search_alg", "scheduler")
PLACE = (
    "a run is on this machine: resources.cpu limits its threads, and resources.processes share the training "
    "of networks; dml run --engine ray spreads its steps over a cluster"
)
_LEFT_OUT = {
    "cpu_resources_per_trial": "trials share the threads of the run: resources.cpu",
    "gpu_resources_per_trial": "a run uses no GPU",
    "max_concurrent_trials": "four trials see the same results and run side by side where there are threads",
    "kubernetes_namespace": "deploy.namespace says where a training in a cluster runs",
    "study_name": _RESUMED,
    "storage": _RESUMED,
    "random_state": _SEED,
    "random_state_seed": _SEED,
    "seed": _SEED,
    "points_to_evaluate": _FIRST,
}
_OFF_HERE = ("gpu_resources_per_trial", "kubernetes_namespace")
"""What a run does not use: where it is off, that is the same."""
_HERE = ("local", "serial", "optuna")
"""Executors in one process."""
_GUIDED = ("hyperopt", "optuna", "tpe", "auto")
"""Searches that are a TPE, or that leave it open."""
_TPE = "a guided search, by Optuna's TPE"
_POOR = "a trial whose first fold is worse than half of those before it stops there"


def import_hyperopt(job: Conversion, config: dict[str, Node], trainer: str, output: Section) -> None:
    """Set `tune`, and `resources.time` where the search has a time.

    All else of the spec is set before. `trainer` is the name of their section, `output` the feature that
    is our target.
    """
    options = section(config, "hyperopt")
    parameters = section(options, "parameters")
    if not options:
        return
    if job.spec["data"].get("split", {}).get("validation") == 0:
        job.left_out(_AT, _NO_ROWS)
        return
    found = Parameters(job, config, trainer, output)
    executor = options.get("executor")
    kind = executor.value.get("type") if executor is not None and executor.is_mapping else None
    found.convert(parameters, closed=as_text(kind) == "optuna")
    if not found.space:
        job.left_out(_AT, _NOTHING)
        return
    search = _Search(job, found.points, output)
    search.settings(_AT, options, "hyperopt")
    search.measured(options)
    said = job.spec.get("tune", {})
    if found.points > 1:
        said.setdefault("trials", trials_within(found.points))
    order = ("trials", "metric")
    job.spec["tune"] = {**{key: said[key] for key in order if key in said}, "space": found.space}


def _span_of_time(seconds: int) -> str:
    """As people write it: `2h`, `1h30m`, `90s`."""
    if seconds % 60:
        return f"{seconds}s"
    hours, minutes = divmod(seconds // 60, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes else "")


class _Search:
    """What is said about a search beside its space."""

    def __init__(self, job: Conversion, points: int, output: Section) -> None:
        self.job, self.points = job, points
        self.names = (job.spec["target"]["column"], as_text(output[1]["name"]))

    def settings(self, keys: Keys, options: dict[str, Node], part: str) -> None:
        """The executor, the search and the scheduler, one in the other as each version has them."""
        for key, node in options.items():
            path = (*keys, key)
            if key in _NESTED and node.is_mapping:
                self.settings(path, node.value, key)
            elif key == "num_samples":
                self._number_of_trials(path, node)
            elif key == "time_budget_s":
                self._time(path, node)
            elif key in _LEFT_OUT and key in _OFF_HERE and is_off(node):
                self.job.carried(path, "always so: there is none here")
            elif key in _LEFT_OUT:
                self.job.left_out(path, _LEFT_OUT[key])
            elif (part == "executor" and key == "type") or key == "executor":
                self._executor(path, as_text(node))
            elif (part in ("sampler", "search_alg") and key == "type") or key in ("sampler", "search_alg"):
                self._algorithm(path, as_text(node))
            elif (part == "scheduler" and key == "type") or key in ("scheduler", "pruner"):
                self._scheduler(path, as_text(node))
            elif part != "hyperopt":
                self.job.left_out(path, f"an option of Ludwig's {part.replace('search_alg', 'search')}")
            elif key not in _MEASURED and key != "parameters":
                near = difflib.get_close_matches(key, (*_MEASURED, *_NESTED, "parameters"), n=1)
                meant = f": did you mean '{near[0]}'?" if near else ""
                self.job.left_out(path, f"no key of hyperopt that is known here{meant}")

    def _number_of_trials(self, path: Keys, node: Node) -> None:
        samples = as_number(node)
        if samples is None or samples < 1:
            self.job.left_out(path, "tune.trials is a number")
            return
        trials = trials_within(samples * self.points)
        why = _FIRST
        if self.points > 1:
            why = f"{self.points} points of the grid, {samples:g} each; {why}"
        if trials != samples * self.points:
            why = f"{why}; from {FEWEST_TRIALS} to {MOST_TRIALS}"
        self.job.changed(path, ("tune", "trials"), why, trials)

    def _time(self, path: Keys, node: Node) -> None:
        seconds = as_number(node)
        if seconds is None or not LEAST_SECONDS <= seconds <= 1e9:
            self.job.left_out(path, f"resources.time is the time of a run, {LEAST_SECONDS} seconds at least")
            return
        why = "the time of the whole run, with the fits after the search"
        self.job.changed(path, ("resources", "time"), why, _span_of_time(int(seconds)))

    def _executor(self, path: Keys, kind: str | None) -> None:
        if kind in _HERE:
            self.job.carried(path, "always so: a run is on this machine")
        else:
            self.job.left_out(path, PLACE)

    def _algorithm(self, path: Keys, kind: str | None) -> None:
        if kind is None or kind in _GUIDED:
            self.job.carried(path, f"always so: {_TPE}")
        else:
            why = f"in place of {short(kind)}: each trial learns from those before it"
            self.job.changed(path, f"tune: {_TPE}", why)

    def _scheduler(self, path: Keys, kind: str | None) -> None:
        if kind in (None, "fifo"):
            self.job.changed(path, "tune: poor trials stop early", _POOR)
        else:
            self.job.changed(path, "tune: poor trials stop early", f"in place of {short(kind)}: {_POOR}")

    # By which metric.

    def measured(self, options: dict[str, Node]) -> None:
        """The metric, its direction, and on which rows of which output it is measured."""
        feature = as_text(options.get("output_feature"))
        of_target = feature in (None, "combined", *self.names)
        if "output_feature" in options and of_target:
            self.job.carried((*_AT, "output_feature"), f"target: {self.names[0]}")
        elif not of_target:
            self.job.left_out((*_AT, "output_feature"), f"the target is {self.names[0]}")
        metric = self._metric(as_text(options.get("metric")), of_target=of_target)
        if "goal" in options:
            self._goal((*_AT, "goal"), as_text(options["goal"]), metric)
        if "split" in options:
            self._rows((*_AT, "split"), as_text(options["split"]))

    def _metric(self, name: str | None, *, of_target: bool) -> str | None:
        """Our metric, where theirs has a counterpart."""
        path, task = (*_AT, "metric"), self.job.spec["target"]["type"]
        if name is None:
            return None
        if not of_target:
            self.job.left_out(path, f"it measures another output, and the target is {self.names[0]}")
            return None
        metric, why = our_metric(name, task)
        if metric is None:
            self.job.left_out(path, no_metric(task))
        elif why:
            self.job.changed(path, ("tune", "metric"), why, metric)
        else:
            self.job.carried(path, ("tune", "metric"), metric)
        return metric

    def _goal(self, path: Keys, goal: str | None, metric: str | None) -> None:
        if metric is None:
            self.job.left_out(path, "a metric knows which direction is better")
            return
        better = "maximize" if METRICS[metric].greater_is_better else "minimize"
        if goal == better:
            self.job.carried(path, f"tune.metric: {metric}")
        else:
            self.job.left_out(path, f"a search {better}s {metric}")

    def _rows(self, path: Keys, part: str | None) -> None:
        if part in (None, "validation"):
            self.job.carried(path, "always so: options are compared on held-out rows")
        else:
            why = "neither the rows that were fitted nor the test rows choose options"
            self.job.changed(path, "tune: options are compared on held-out rows", why)
