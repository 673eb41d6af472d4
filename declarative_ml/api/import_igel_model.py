"""igel's algorithms and their scikit-learn arguments as our `model`."""

from __future__ import annotations

import difflib
import math
import re

from declarative_ml.api.import_config import as_number, as_text, as_truth, section, where
from declarative_ml.api.import_conversion import NO_L2, OWN_WEIGHTS, PEAK_RATE, Conversion, trials_within
from declarative_ml.api.import_report import short
from declarative_ml.core.errors import UsageError
from declarative_ml.spec.positions import Node
from declarative_ml.spec.positions import Path as Keys

_TREES = "trees are boosted here, not averaged: usually stronger, with fewer of them"
_ONE_TREE = "one tree is weak: many are boosted here"
_KERNELS = "there are no kernel machines; lightgbm learns what is not linear"
_LINEAR = "the linear model here minimises log loss or squared error with an L2 penalty"
_OUTLIERS = f"{_LINEAR}; outliers of the target count fully"
_PLAIN = f"{_LINEAR}; the target is a plain number"
_CHOSEN = "its L2 penalty is chosen on held-out rows unless C or alpha is given"
_NO_L1 = "there is no L1 penalty: weights shrink, but none becomes 0"
_BAYES = "naive Bayes adds up evidence as a linear model does, which learns it"
_BOLTZMANN = "there are no Boltzmann machines; an mlp is the neural network here"
_ALGORITHMS: dict[str, tuple[str, str]] = {
    "gradientboosting": ("lightgbm", ""),
    "randomforest": ("lightgbm", _TREES),
    "forest": ("lightgbm", _TREES),
    "extratrees": ("extra_trees", ""),
    "extratree": ("lightgbm", _ONE_TREE),
    "decisiontree": ("lightgbm", _ONE_TREE),
    "bagging": ("lightgbm", _TREES),
    "adaboost": ("lightgbm", "trees are boosted by gradients here, not by reweighted rows"),
    "nearestneighbor": ("lightgbm", "there are no nearest neighbours: they cannot ship as a small graph"),
    "svm": ("lightgbm", _KERNELS),
    "nusvm": ("lightgbm", _KERNELS),
    "logisticregression": ("linear", _CHOSEN),
    "linearregression": ("linear", f"{_CHOSEN}; penalty 0 would be ordinary least squares"),
    "ridge": ("linear", f"{_CHOSEN}; for classes it minimises log loss"),
    "lasso": ("linear", _NO_L1),
    "lassolars": ("linear", _NO_L1),
    "elasticnet": ("linear", _NO_L1),
    "bayesianregression": ("linear", _CHOSEN),
    "ardregression": ("linear", "one penalty for all columns, chosen on held-out rows"),
    "linearsvm": ("linear", _LINEAR),
    "sgdclassifier": ("linear", _LINEAR),
    "sgdregressor": ("linear", _LINEAR),
    "perceptron": ("linear", _LINEAR),
    "passiveagressiveclassifier": ("linear", _LINEAR),
    "huberregression": ("linear", _OUTLIERS),
    "theilsenregression": ("linear", _OUTLIERS),
    "ransacregression": ("linear", _OUTLIERS),
    "poissonregression": ("linear", _PLAIN),
    "gammaregression": ("linear", _PLAIN),
    "tweedieregression": ("linear", _PLAIN),
    "bernoullinaivebayes": ("linear", _BAYES),
    "categoricalnaivebayes": ("linear", _BAYES),
    "complementnaivebayes": ("linear", _BAYES),
    "gaussiannaivebayes": ("linear", _BAYES),
    "multinomialnaivebayes": ("linear", _BAYES),
    "calibratedclassifier": ("linear", "probabilities are always calibrated, whatever the model"),
    "neuralnetwork": ("mlp", ""),
    "bernoullirbm": ("mlp", _BOLTZMANN),
    "boltzmannmachine": ("mlp", _BOLTZMANN),
}
"""igel's names in lower case without spaces -> our model, and what differs."""
_TUPLE = re.compile(r"\(([0-9 ]{1,9},?)+\)")
_SUFFIX = re.compile(r"(classifier|regressor)(cv)?$")
_SCORERS = {
    "neg_log_loss": "log_loss", "neg_brier_score": "brier", "neg_mean_absolute_error": "mae",
    "neg_mean_squared_error": "rmse", "neg_root_mean_squared_error": "rmse",
    "neg_median_absolute_error": "median_absolute_error", "neg_mean_absolute_percentage_error": "mape",
    "roc_auc_ovr": "roc_auc", **{
        name: name for name in (
            "accuracy", "balanced_accuracy", "f1", "f1_macro", "precision", "recall", "roc_auc",
            "average_precision", "r2",
        )
    },
}  # fmt: skip
"""scikit-learn's names of scores -> our metrics."""
_SAMPLES = 10
"""What a random search of scikit-learn tries when nobody says how much."""
_NONE = (None, "None", "none")
_NO_VALIDATION = "data.split.validation is a share of all rows; it is chosen by their number when absent"


def import_model(job: Conversion, model: dict[str, Node], config: dict[str, Node]) -> None:
    """Set `model` from igel's section. Raises UsageError for an algorithm that igel does not have."""
    name = _algorithm(job, model, config)
    for key, node in model.items():
        path: Keys = ("model", key)
        if key in ("arguments", "params") and node.is_mapping:
            _Arguments(job, name, node.value).convert(path)
        elif key in ("arguments", "params") and as_text(node) in (None, "default"):
            job.carried(path, "model: options as they are when absent")
        elif key in ("arguments", "params"):
            job.left_out(path, "arguments are a mapping, or default")
        elif key == "cross_validate":
            for option, child in section(model, key).items():
                _cross_validate(job, (*path, option), option, child)
        elif key == "use_cv_estimator":
            _cv_estimator(job, path, node)
        elif key == "hyperparameter_search":
            _search(job, path, section(model, key))
        elif key not in ("type", "algorithm"):
            job.left_out(path, "no counterpart for this option of a model")


def _algorithm(job: Conversion, model: dict[str, Node], config: dict[str, Node]) -> str:
    """igel's name of the algorithm, in lower case without spaces; sets `model.type`."""
    node = model.get("algorithm")
    written = as_text(node)
    if node is None or written is None:
        at = where(node or config["model"])
        raise UsageError(f"{at}: model.algorithm is missing", hint="igel needs one, such as RandomForest")
    name = re.sub(r"[^a-z]", "", written.lower())
    name = name if name in _ALGORITHMS else _SUFFIX.sub("", name)
    if name not in _ALGORITHMS:
        near = difflib.get_close_matches(name, _ALGORITHMS, n=1)
        meant = f"did you mean {near[0]}?" if near else "`igel models` lists them"
        raise UsageError(f"{where(node)}: igel has no algorithm '{short(written)}' for a table", hint=meant)
    kind, why = _ALGORITHMS[name]
    job.put(("model",), {"type": kind})
    if why:
        job.changed(("model", "algorithm"), ("model", "type"), why, kind)
    else:
        job.carried(("model", "algorithm"), ("model", "type"), kind)
    return name


def _cv_estimator(job: Conversion, path: Keys, node: Node) -> None:
    if not as_truth(node):
        job.carried(path, "model: as it is when absent")
    elif job.spec["model"]["type"] == "linear":
        job.changed(path, "model.penalty: as it is when absent", "the penalty is chosen on held-out rows")
    else:
        job.left_out(path, "early stopping on held-out rows takes its place; `tune` searches over options")


def _search(job: Conversion, path: Keys, options: dict[str, Node]) -> None:
    """A grid or a random search, as a search of as many trials over what our model suggests."""
    arguments = section(options, "arguments")
    if "cv" in arguments:
        _cross_validate(job, (*path, "arguments", "cv"), "cv", arguments["cv"])
    method = as_text(options.get("method")) or ""
    samples = as_number(arguments.get("n_iter")) or _SAMPLES
    trials = int(samples) if method.startswith("random") else _points(options.get("parameter_grid"))
    why = "the options of scikit-learn's estimators are not ours: the model's own suggestions are tried"
    job.changed(path, ("tune", "trials"), why, trials_within(trials))


def _points(grid: Node | None) -> int:
    """The points of a grid, or of a list of grids."""
    if grid is None or not isinstance(grid.value, dict | list):
        return _SAMPLES
    if isinstance(grid.value, list):
        return sum(map(_points, grid.value))
    return math.prod(
        len(child.value) if isinstance(child.value, list) else 1 for child in grid.value.values()
    )


def _cross_validate(job: Conversion, path: Keys, key: str, node: Node) -> None:
    folds = as_number(node)
    if key == "cv" and isinstance(folds, int) and 2 <= folds <= 20:
        job.put(("data", "split", "method"), "random")
        job.carried(path, ("data", "split", "folds"), folds)
    elif key == "cv":
        job.left_out(path, "data.split.folds is a whole number from 2 to 20")
    elif key == "scoring":
        why = "it is the report's primary metric; training minimises the loss"
        job.primary_metric(path, _SCORERS.get(as_text(node) or ""), why)
    elif key == "n_jobs":
        _threads(job, path, node)
    elif key == "verbose":
        job.left_out(path, "progress is shown unless --quiet is given")
    else:
        job.left_out(path, "no counterpart for this option of a cross-validation")


def _threads(job: Conversion, path: Keys, node: Node) -> None:
    number = as_number(node)
    if isinstance(number, int) and 1 <= number <= 1024:
        job.carried(path, ("resources", "cpu"), number)
    elif number == -1:
        job.carried(path, "resources.cpu: all processors, as when absent")
    else:
        job.changed(path, "resources.cpu: all processors", "threads do not change the model")


class _Arguments:
    """The arguments of one algorithm, as options of the model that stands for it."""

    def __init__(self, job: Conversion, algorithm: str, arguments: dict[str, Node]) -> None:
        self.job, self.algorithm, self.arguments = job, algorithm, arguments

    def convert(self, path: Keys) -> None:
        """A verdict on each argument below `path`."""
        kind = self.job.spec["model"]["type"]
        convert = {
            "lightgbm": self._trees,
            "extra_trees": self._averaged,
            "linear": self._linear,
            "mlp": self._network,
        }[kind]
        for key, node in self.arguments.items():
            if not self._common((*path, key), key, node) and not convert((*path, key), key, node):
                self.job.left_out((*path, key), f"the model {kind} has no such option")

    def _common(self, path: Keys, key: str, node: Node) -> bool:
        """Arguments that mean the same for all algorithms. Returns whether `key` is one."""
        job, number = self.job, as_number(node)
        if key == "random_state" and isinstance(number, int) and 0 <= number < 2**31:
            job.changed(path, ("seed",), "one seed drives every random choice of a run", number)
        elif key == "random_state":
            job.left_out(path, "seed is a whole number; it is 42 when absent")
        elif key == "n_jobs":
            _threads(job, path, node)
        elif key == "class_weight":
            self._class_weight(path, node)
        elif key == "verbose":
            job.left_out(path, "progress is shown unless --quiet is given")
        elif key == "validation_fraction":
            job.left_out(path, _NO_VALIDATION)
        else:
            return False
        return True

    def _class_weight(self, path: Keys, node: Node) -> None:
        value = as_text(node)
        if not node.is_mapping and value in _NONE:
            self.job.carried(path, "imbalance: none")
        elif value in ("balanced", "balanced_subsample"):
            self.job.balance(path, "weights")
        else:
            self.job.balance(path, "weights", OWN_WEIGHTS)

    def _trees(self, path: Keys, key: str, node: Node) -> bool:
        job, boosted = self.job, self.algorithm == "gradientboosting"
        same = {"max_leaf_nodes": "num_leaves", "n_iter_no_change": "early_stopping"}
        if boosted:
            same |= {
                "n_estimators": "rounds", "learning_rate": "learning_rate", "subsample": "bagging_fraction",
            }  # fmt: skip
        if key in same and as_number(node) is not None:
            job.number_option(path, same[key], node)
        elif key == "n_estimators" and not boosted:
            why = "trees that are averaged are not rounds of boosting: rounds stop by themselves"
            job.left_out(path, why)
        elif key == "max_depth":
            job.depth_as_leaves(path, node, taken=as_number(self.arguments.get("max_leaf_nodes")) is not None)
        elif key == "min_samples_leaf" and isinstance(as_number(node), int):
            job.number_option(path, "min_data_in_leaf", node)
        elif key == "max_features" and isinstance(as_number(node), float):
            why = "drawn for each tree, not for each split"
            job.number_option(path, "feature_fraction", node, why=why)
        else:
            return False
        return True

    def _averaged(self, path: Keys, key: str, node: Node) -> bool:
        number = as_number(node)
        if key == "n_estimators":
            self.job.number_option(path, "trees", node)
        elif key == "min_samples_leaf" and isinstance(number, int):
            self.job.number_option(path, "min_data_in_leaf", node)
        elif key == "max_features" and isinstance(number, float):
            self.job.number_option(path, "feature_fraction", node)
        else:
            return False
        return True

    def _linear(self, path: Keys, key: str, node: Node) -> bool:
        job, value = self.job, as_text(node)
        if key in ("C", "alpha"):
            return self._strength(path, key, as_number(node))
        if key == "max_iter" and self._uses_lbfgs():
            job.number_option(path, "iterations", node)
        elif key == "max_iter":
            job.left_out(path, "it counts the steps of another solver: model.iterations are those of L-BFGS")
        elif key == "penalty" and value == "l2":
            job.carried(path, "always so: an L2 penalty")
        elif key == "penalty" and value in _NONE:
            job.option(path, "penalty", 0.0)
        elif key == "penalty":
            job.changed(path, "model: an L2 penalty", f"there is no penalty {value}")
        elif key == "fit_intercept" and as_truth(node):
            job.carried(path, "always so: with an intercept")
        elif key == "fit_intercept":
            job.changed(path, "model: with an intercept", "there is always one")
        elif key == "solver" and self._uses_lbfgs():
            job.carried(path, "always so: L-BFGS")
        elif key == "solver":
            job.changed(path, "model: L-BFGS", "the one solver of the linear model")
        else:
            return False
        return True

    def _uses_lbfgs(self) -> bool:
        solver = as_text(self.arguments.get("solver")) or "lbfgs"
        return self.algorithm == "logisticregression" and solver == "lbfgs"

    def _strength(self, path: Keys, key: str, number: float | None) -> bool:
        """The strength of an L2 penalty on our loss; other losses and penalties do not compare."""
        logistic = self.algorithm == "logisticregression" and key == "C"
        ridge = self.algorithm == "ridge" and key == "alpha" and not self.job.has_classes
        if not logistic and not ridge:
            why = "it weighs another loss or penalty: model.penalty is chosen on held-out rows"
            self.job.left_out(path, why)
        elif logistic and "penalty" in self.arguments and as_text(self.arguments["penalty"]) in _NONE:
            self.job.left_out(path, "without effect: the penalty is none")
        elif number is None or (logistic and not 1e-9 <= number <= 1e9):
            self.job.left_out(path, "model.penalty takes a number: 1 / C, or alpha")
        else:
            self.job.option(path, "penalty", 1 / number if logistic else number)
        return True

    def _network(self, path: Keys, key: str, node: Node) -> bool:
        job, value = self.job, as_text(node)
        same = {"batch_size": "batch_size", "max_iter": "epochs", "n_iter_no_change": "early_stopping"}
        if key == "batch_size" and value == "auto":
            job.carried(path, "model.batch_size: by the rows, as when absent")
        elif key == "max_iter" and as_text(self.arguments.get("solver")) == "lbfgs":
            job.left_out(path, "it counts the steps of L-BFGS, not passes over the rows")
        elif key in same:
            job.number_option(path, same[key], node)
        elif key == "hidden_layer_sizes":
            items = node.value if isinstance(node.value, list) else [node]
            job.option(path, "layers", _tuple(value) or [as_number(item) for item in items])
        elif key == "activation" and value in ("relu", "tanh"):
            job.option(path, "activation", value)
        elif key == "activation":
            job.option(
                path, "activation", "relu", why=f"there is no {value or 'such function'} between layers"
            )
        elif key == "learning_rate_init":
            job.number_option(path, "learning_rate", node, why=PEAK_RATE)
        elif key == "early_stopping":
            self._early_stopping(path, node)
        elif key == "solver":
            job.changed(path, "model: AdamW", "the one optimizer of the mlp")
        elif key == "alpha":
            job.left_out(path, NO_L2)
        else:
            return False
        return True

    def _early_stopping(self, path: Keys, node: Node) -> None:
        if as_truth(node):
            self.job.carried(path, "always so: held-out rows say when to stop")
        else:
            why = "held-out rows say when to stop"
            self.job.changed(path, "model.early_stopping: as it is when absent", why)


def _tuple(text: str | None) -> list[int]:
    """The widths in `(64, 32)`, which YAML reads as text; none in any other text."""
    parts = [part.strip() for part in text[1:-1].split(",")] if text and _TUPLE.fullmatch(text) else []
    return [int(part) for part in parts if part]
