"""igel's algorithms and their scikit-learn arguments as our `model`."""

from __future__ import annotations

import difflib
import re

from declarative_ml.api.import_config import as_number, as_text, as_truth, section, where
from declarative_ml.api.import_conversion import Conversion
from declarative_ml.api.import_ludwig_model import depth_as_leaves
from declarative_ml.core.errors import UsageError
from declarative_ml.spec.positions import Node
from declarative_ml.spec.positions import Path as Keys

_TREES = "trees are boosted here, not averaged: usually stronger, with fewer of them"
_LINEAR = "the linear model here minimises log loss or squared error with an L2 penalty"
_CHOSEN = "its L2 penalty is chosen on held-out rows unless C or alpha is given"
_BAYES = "naive Bayes adds up evidence as a linear model does, which learns it"
_ALGORITHMS: dict[str, tuple[str, str]] = {
    "gradientboosting": ("lightgbm", ""),
    "randomforest": ("lightgbm", _TREES),
    "forest": ("lightgbm", _TREES),
    "extratrees": ("lightgbm", _TREES),
    "extratree": ("lightgbm", "one tree is weak: many are boosted here"),
    "decisiontree": ("lightgbm", "one tree is weak: many are boosted here"),
    "bagging": ("lightgbm", _TREES),
    "adaboost": ("lightgbm", "trees are boosted by gradients here, not by reweighted rows"),
    "nearestneighbor": ("lightgbm", "there are no nearest neighbours: they cannot ship as a small graph"),
    "svm": ("lightgbm", "there are no kernel machines; lightgbm learns what is not linear"),
    "nusvm": ("lightgbm", "there are no kernel machines; lightgbm learns what is not linear"),
    "logisticregression": ("linear", _CHOSEN),
    "linearregression": ("linear", f"{_CHOSEN}; penalty 0 would be ordinary least squares"),
    "ridge": ("linear", f"{_CHOSEN}; for classes it minimises log loss"),
    "lasso": ("linear", "there is no L1 penalty: weights shrink, but none becomes 0"),
    "lassolars": ("linear", "there is no L1 penalty: weights shrink, but none becomes 0"),
    "elasticnet": ("linear", "there is no L1 penalty: weights shrink, but none becomes 0"),
    "bayesianregression": ("linear", _CHOSEN),
    "ardregression": ("linear", "one penalty for all columns, chosen on held-out rows"),
    "linearsvm": ("linear", _LINEAR),
    "sgdclassifier": ("linear", _LINEAR),
    "sgdregressor": ("linear", _LINEAR),
    "perceptron": ("linear", _LINEAR),
    "passiveagressiveclassifier": ("linear", _LINEAR),
    "huberregression": ("linear", f"{_LINEAR}; outliers of the target count fully"),
    "theilsenregression": ("linear", f"{_LINEAR}; outliers of the target count fully"),
    "ransacregression": ("linear", f"{_LINEAR}; outliers of the target count fully"),
    "poissonregression": ("linear", f"{_LINEAR}; the target is no count"),
    "gammaregression": ("linear", f"{_LINEAR}; the target is a plain number"),
    "tweedieregression": ("linear", f"{_LINEAR}; the target is a plain number"),
    "bernoullinaivebayes": ("linear", _BAYES),
    "categoricalnaivebayes": (
        "linear",
        _BAYES,
    ),
    "complementnaivebayes": (
        "linear",
        _BAYES,
    ),
    "gaussiannaivebayes": ("linear", _BAYES),
    "multinomialnaivebayes": (
        "linear",
        _BAYES,
    ),
    "calibratedclassifier": ("linear", "probabilities are always calibrated, whatever the model"),
    "neuralnetwork": ("mlp", ""),
    "bernoullirbm": ("mlp", "there are no Boltzmann machines; an mlp is the neural network here"),
    "boltzmannmachine": ("mlp", "there are no Boltzmann machines; an mlp is the neural network here"),
}
_SUFFIX = re.compile(r"(classifier|regressor)(cv)?$")
_CV = "the penalty is chosen on held-out rows"


def import_igel_model(job: Conversion, model: dict[str, Node], config: dict[str, Node]) -> None:
    """Set `model` from igel's section. Raises UsageError for an algorithm that igel does not have."""
    name = _algorithm(job, model, config)
    for key, node in model.items():
        if key in ("arguments", "params"):
            _arguments(job, ("model", key), node, name)
        elif key == "cross_validate":
            _cross_validate(job, node)
        elif key == "use_cv_estimator" and as_truth(node):
            job.changed(("model", key), "model: tuned on held-out rows", _CV)
        elif key == "use_cv_estimator":
            job.carried(("model", key), "data.split: validation by size")
        elif key == "hyperparameter_search":
            why = "there is no search over options: write the best values found under model"
            job.left_out(("model", key), why)
        elif key not in ("type", "algorithm"):
            job.left_out(("model", key), "no counterpart for this option of a model")
    if len(job.spec["model"]) == 1:
        job.spec["model"] = job.spec["model"]["type"]


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
        raise UsageError(f"{where(node)}: igel has no algorithm '{written}' for a table", hint=meant)
    kind, why = _ALGORITHMS[name]
    job.put(("model",), {"type": kind})
    if why:
        job.changed(("model", "algorithm"), ("model", "type"), why, kind)
    else:
        job.carried(("model", "algorithm"), ("model", "type"), kind)
    return name


def _cross_validate(job: Conversion, node: Node) -> None:
    for key, child in section({"cross_validate": node}, "cross_validate").items():
        path: Keys = ("model", "cross_validate", key)
        folds = as_number(child)
        if key == "cv" and isinstance(folds, int) and 2 <= folds <= 20:
            job.put(("data", "split", "method"), "random")
            job.carried(path, ("data", "split", "folds"), folds)
        elif key == "cv":
            job.left_out(path, "data.split.folds is a whole number from 2 to 20")
        elif key == "n_jobs":
            _threads(job, path, child)
        else:
            job.left_out(path, "no counterpart for this option of a cross-validation")


def _threads(job: Conversion, path: Keys, node: Node) -> None:
    number = as_number(node)
    if isinstance(number, int) and 1 <= number <= 1024:
        job.carried(path, ("resources", "cpu"), number)
    else:
        job.carried(path, "resources.cpu: all processors, as when absent")


def _arguments(job: Conversion, path: Keys, node: Node, algorithm: str) -> None:
    if not node.is_mapping:
        if as_text(node) in (None, "default"):
            job.carried(path, "model: options as they are when absent")
        else:
            job.left_out(path, "arguments are a mapping, or default")
        return
    convert = {"lightgbm": _trees, "linear": _linear, "mlp": _network}[job.spec["model"]["type"]]
    for key, child in node.value.items():
        below = (*path, key)
        if not _common(job, below, key, child):
            convert(job, below, key, child, algorithm)


def _common(job: Conversion, path: Keys, key: str, node: Node) -> bool:
    """Arguments that mean the same for all algorithms. Returns whether `key` is one."""
    number = as_number(node)
    if key == "random_state" and isinstance(number, int) and 0 <= number < 2**31:
        job.changed(path, ("seed",), "one seed drives every random choice of a run", number)
    elif key == "random_state":
        job.left_out(path, "seed is a whole number; it is 42 when absent")
    elif key == "n_jobs":
        _threads(job, path, node)
    elif key == "class_weight" and as_text(node) is None and not node.is_mapping:
        job.carried(path, "imbalance: none")
    elif key == "class_weight" and as_text(node) == "balanced":
        if job.spec["target"]["type"] == "number":
            job.left_out(path, "the target is a number: it has no classes to balance")
        else:
            job.carried(path, ("imbalance",), "weights")
    elif key == "class_weight":
        why = "there are no weights of one's own: with weights, all classes count equally"
        job.changed(path, ("imbalance",), why, "weights")
    elif key == "verbose":
        job.left_out(path, "progress is shown unless --quiet is given")
    else:
        return False
    return True


def _trees(job: Conversion, path: Keys, key: str, node: Node, algorithm: str) -> None:
    number, boosted = as_number(node), algorithm == "gradientboosting"
    if key == "n_estimators" and boosted:
        job.number_option(path, "rounds", node)
    elif key == "n_estimators":
        job.left_out(path, "trees that are averaged are not rounds of boosting: rounds stop by themselves")
    elif key == "learning_rate" and boosted:
        job.number_option(path, "learning_rate", node)
    elif key == "subsample" and boosted:
        job.number_option(path, "bagging_fraction", node)
    elif key == "max_depth":
        depth_as_leaves(job, path, node, taken="num_leaves" in job.spec["model"])
    elif key == "max_leaf_nodes" and number is not None:
        job.number_option(path, "num_leaves", node)
    elif key == "min_samples_leaf" and isinstance(number, int):
        job.number_option(path, "min_data_in_leaf", node)
    elif key == "max_features" and isinstance(number, float):
        why = "drawn for each tree, not for each split"
        job.number_option(path, "feature_fraction", node, why=why)
    elif key == "n_iter_no_change" and number is not None:
        job.number_option(path, "early_stopping", node)
    else:
        job.left_out(path, "the model lightgbm has no such option")


def _linear(job: Conversion, path: Keys, key: str, node: Node, algorithm: str) -> None:
    number, value = as_number(node), as_text(node)
    if key == "C" and number is not None and number > 0 and algorithm == "logisticregression":
        job.option(path, "penalty", 1 / number)
    elif key == "alpha" and algorithm == "ridge":
        job.number_option(path, "penalty", node)
    elif key == "max_iter":
        job.number_option(path, "iterations", node)
    elif key == "penalty" and value == "l2":
        job.carried(path, "always so: an L2 penalty")
    elif key == "penalty" and value in (None, "none", "None"):
        job.option(path, "penalty", 0.0)
    elif key == "penalty":
        job.changed(path, "model: an L2 penalty", f"there is no penalty {value}")
    elif key == "fit_intercept" and as_truth(node):
        job.carried(path, "always so: with an intercept")
    elif key == "solver" and value == "lbfgs":
        job.carried(path, "always so: L-BFGS")
    elif key == "solver":
        job.changed(path, "model: L-BFGS", "the one solver of the linear model")
    else:
        job.left_out(path, "the model linear has no such option")


def _network(job: Conversion, path: Keys, key: str, node: Node, algorithm: str) -> None:
    value = as_text(node)
    if key == "hidden_layer_sizes":
        widths = (
            [as_number(item) for item in node.value] if isinstance(node.value, list) else [as_number(node)]
        )
        job.option(path, "layers", _tuple(value) or widths)
    elif key == "activation" and value in ("relu", "tanh"):
        job.option(path, "activation", value)
    elif key == "activation":
        job.option(path, "activation", "relu", why=f"there is no {value} between layers")
    elif key == "learning_rate_init":
        why = "the same number, but it is the peak: AdamW's rate falls over the epochs"
        job.number_option(path, "learning_rate", node, why=why)
    elif key == "batch_size" and value != "auto":
        job.number_option(path, "batch_size", node)
    elif key == "batch_size":
        job.carried(path, "model.batch_size: by the rows, as when absent")
    elif key == "max_iter":
        job.number_option(path, "epochs", node)
    elif key == "n_iter_no_change":
        job.number_option(path, "early_stopping", node)
    elif key == "early_stopping" and as_truth(node):
        job.carried(path, "always so: held-out rows say when to stop")
    elif key == "early_stopping":
        job.changed(path, "model.early_stopping: as it is when absent", "held-out rows say when to stop")
    elif key == "solver":
        job.changed(path, "model: AdamW", "the one optimizer of the mlp")
    elif key == "alpha":
        job.left_out(path, "decay of weights is AdamW's (model.weight_decay); the numbers do not compare")
    else:
        job.left_out(path, "the model mlp has no such option")


def _tuple(text: str | None) -> list[int]:
    """The widths in `(64, 32)`, which YAML reads as text; none in any other text."""
    return [int(part) for part in re.findall(r"\d+", text)] if text and text.startswith("(") else []
