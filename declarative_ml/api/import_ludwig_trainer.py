"""Ludwig's section `trainer` as options of our models."""

from __future__ import annotations

import difflib
from typing import Any

from declarative_ml.api.import_config import as_number, as_text, as_truth, section
from declarative_ml.api.import_conversion import NO_L2, PEAK_RATE, Conversion
from declarative_ml.api.import_ludwig_absent import ABSENT, leave_out
from declarative_ml.api.import_ludwig_space import Option
from declarative_ml.spec.positions import Node
from declarative_ml.spec.positions import Path as Keys

MEASURED = ("validation_field", "validation_metric", "validation_measure")
"""Keys that say what is measured: not the model's affair."""

_MAX_PATIENCE = 100_000
"""The longest wait without gain that our options take: never stopping early."""
_EVALUATION_ROUNDS = 50
"""Ludwig's boosting_rounds_per_checkpoint when absent."""
_NEVER = "so long a wait that training never stops early"

_SPEED = "it has no effect on the model; threads follow resources.cpu"
_LENGTH = "the length of training is counted in epochs"
_RATE = "the learning rate rises and falls over the epochs by itself"
_BATCH = "the batch size stays as it is; it is chosen by the rows when absent"
_GONE = {
    "train_steps": _LENGTH, "steps_per_checkpoint": _LENGTH, "checkpoints_per_epoch": _LENGTH,
    "decay": _RATE, "decay_steps": _RATE, "decay_rate": _RATE, "staircase": _RATE,
    "learning_rate_scheduler": _RATE, "learning_rate_warmup_epochs": _RATE, "learning_rate_scaling": _RATE,
    "reduce_learning_rate_on_plateau": _RATE, "reduce_learning_rate_on_plateau_patience": _RATE,
    "reduce_learning_rate_on_plateau_rate": _RATE, "reduce_learning_rate_eval_metric": _RATE,
    "reduce_learning_rate_eval_split": _RATE, "increase_batch_size_on_plateau": _BATCH,
    "increase_batch_size_on_plateau_patience": _BATCH, "increase_batch_size_on_plateau_rate": _BATCH,
    "increase_batch_size_on_plateau_max": _BATCH, "increase_batch_size_eval_metric": _BATCH,
    "increase_batch_size_eval_split": _BATCH, "effective_batch_size": _BATCH, "max_batch_size": _BATCH,
    "gradient_accumulation_steps": _BATCH, "eval_batch_size": _SPEED, "evaluate_training_set": _SPEED,
    "use_mixed_precision": _SPEED, "compile": _SPEED, "enable_profiling": _SPEED, "profiler": _SPEED,
    "enable_gradient_checkpointing": _SPEED, "shuffle_buffer_size": _SPEED, "skip_all_evaluation": _SPEED,
    "verbose": _SPEED, "tree_learner": _SPEED, "device": _SPEED,
    "should_shuffle": "rows are always shuffled between epochs",
    "gradient_clipping": "gradients are not clipped by an option",
    "bucketing_field": "there are no sequences to put into buckets",
    "regularization_lambda": NO_L2, "regularization_type": NO_L2, "regularizer": NO_L2,
    "loss_balancing": "there is one target, so there are no losses to balance",
    "dropout_rate": "dropout belongs to the combiner, where it is read",
    "type": "the trainer follows from the model",
}  # fmt: skip
_NETWORK = ("epochs", "batch_size", "learning_rate", "early_stop", "optimizer")
_SAME_BOOSTING = (
    "learning_rate", "num_leaves", "min_data_in_leaf", "bagging_fraction", "bagging_freq",
    "feature_fraction", "lambda_l1", "lambda_l2", "max_bin", "cat_smooth", "cat_l2",
)  # fmt: skip
_BOOSTING = (*_SAME_BOOSTING, "num_boost_round", "early_stop", "extra_trees")
_ADAMW = "AdamW is the one optimizer of the mlp"
_DEPTHS = range(1, 9)
_AS_LEAVES = "leaves limit a tree here, not its depth: as many as a tree of that depth can have"


def import_lbfgs(job: Conversion, keys: Keys, options: dict[str, Node]) -> None:
    """The trainer of a linear model, whose optimizer is L-BFGS."""
    optimizer: Keys = (*keys, "optimizer")
    why = "without hidden layers this is a linear model, which L-BFGS fits here as well"
    job.changed((*optimizer, "type"), ("model", "type"), why, "linear")
    chosen = options["optimizer"].value
    if "max_iter" in chosen:
        job.number_option((*optimizer, "max_iter"), "iterations", chosen["max_iter"])
    for key in options:
        if key not in MEASURED:
            why = "L-BFGS takes all rows at once; model.penalty is chosen on held-out rows"
            job.left_out((*keys, key), why)


def import_network_trainer(job: Conversion, keys: Keys, options: dict[str, Node]) -> None:
    """The trainer of an ecd as options of the mlp."""
    for key, node in options.items():
        path = (*keys, key)
        if key == "epochs" and as_number(options.get("train_steps")) is not None:
            job.left_out(path, "without effect beside train_steps; model.epochs when absent: by the rows")
        elif key == "epochs":
            job.number_option(path, "epochs", node)
        elif key in ("batch_size", "learning_rate") and as_text(node) == "auto":
            job.changed(
                path,
                f"model.{key}: as it is when absent",
                "Ludwig tries it out before training; here it has a default",
            )
        elif key == "batch_size":
            job.number_option(path, "batch_size", node)
        elif key == "learning_rate":
            job.number_option(path, "learning_rate", node, why=PEAK_RATE)
        elif key == "early_stop":
            _epochs_without_gain(job, path, node, options)
        elif key == "optimizer":
            _optimizer(job, path, node)
        else:
            _left_out(job, path, key, node, _NETWORK)


def _epochs_without_gain(job: Conversion, path: Keys, node: Node, options: dict[str, Node]) -> None:
    """Ludwig counts evaluations: one an epoch, unless it is told otherwise."""
    patience = as_number(node)
    each = as_number(options.get("checkpoints_per_epoch")) or 0
    if patience is None:
        job.left_out(path, "model.early_stopping takes a number")
    elif patience <= 0:
        epochs = as_number(options.get("epochs"))
        never = int(epochs) if epochs and 1 <= epochs <= _MAX_PATIENCE else _MAX_PATIENCE
        job.option(path, "early_stopping", never, why=_NEVER)
    elif each > 1:
        why = f"in epochs: Ludwig counts evaluations, {each:g} an epoch"
        job.option(path, "early_stopping", max(1, round(patience / each)), why=why)
    elif as_number(options.get("steps_per_checkpoint")):
        job.option(path, "early_stopping", patience, why="in epochs: Ludwig counts evaluations")
    else:
        job.option(path, "early_stopping", patience)


def _optimizer(job: Conversion, path: Keys, node: Node) -> None:
    if not node.is_mapping:
        job.changed(path, "model: AdamW", "the one optimizer of the mlp")
        return
    is_adamw = as_text(node.value.get("type")) == "adamw"
    for key, child in node.value.items():
        below = (*path, key)
        if key == "type" and is_adamw:
            job.carried(below, "always so: AdamW")
        elif key == "type":
            job.changed(below, "model: AdamW", "the one optimizer of the mlp")
        elif key == "weight_decay" and (is_adamw or as_number(child) == 0):
            job.number_option(below, "weight_decay", child)
        elif key == "weight_decay":
            job.left_out(below, NO_L2)
        else:
            job.left_out(below, "AdamW has no further options here")


def import_boosting_trainer(job: Conversion, keys: Keys, options: dict[str, Node]) -> None:
    """The trainer of a gbm as options of lightgbm."""
    for key, node in options.items():
        path = (*keys, key)
        if key in _SAME_BOOSTING:
            job.number_option(path, key, node)
        elif key == "num_boost_round":
            job.number_option(path, "rounds", node)
        elif key == "extra_trees" and as_truth(node) is not None:
            job.option(path, key, as_truth(node))
        elif key == "early_stop":
            _rounds_without_gain(job, path, node, options)
        elif key == "boosting_rounds_per_checkpoint":
            why = "held-out rows are looked at after every round; early_stopping counts rounds"
            job.changed(path, "model.early_stopping: in rounds", why)
        elif key == "max_depth":
            job.depth_as_leaves(path, node, taken="num_leaves" in options)
        elif key == "boosting_type" and as_text(node) == "gbdt":
            job.carried(path, "always so: gradient-boosted trees")
        elif key == "boosting_type":
            job.changed(path, "model: gradient-boosted trees", f"there is no {as_text(node)} here")
        elif key.endswith("_seed"):
            job.left_out(path, "one seed drives every random choice: seed")
        else:
            _left_out(job, path, key, node, _BOOSTING)


def _rounds_without_gain(job: Conversion, path: Keys, node: Node, options: dict[str, Node]) -> None:
    evaluations = as_number(node)
    each = as_number(options.get("boosting_rounds_per_checkpoint")) or _EVALUATION_ROUNDS
    if evaluations is None:
        job.left_out(path, "model.early_stopping takes a number")
    elif evaluations > 0:
        why = f"in rounds: Ludwig counts evaluations, one every {each:g} rounds"
        job.option(path, "early_stopping", int(evaluations * each), why=why)
    else:
        rounds = as_number(options.get("num_boost_round")) or _MAX_PATIENCE
        job.option(path, "early_stopping", int(rounds), why=_NEVER)


def searched_in_trainer(kind: str, key: str, options: dict[str, Node]) -> Option | str:
    """The option of a model of this kind that `trainer.KEY` is when it is searched, or why there is none."""
    find = {"mlp": _searched_in_network, "lightgbm": _searched_in_boosting, "linear": _searched_in_linear}
    known: tuple[str, ...] = _BOOSTING if kind == "lightgbm" else _NETWORK
    found = find[kind](key, options)
    if found is not None:
        return found
    first = key.partition(".")[0]
    near = difflib.get_close_matches(first, (*known, *_GONE), n=1, cutoff=0.8)
    meant = f"no counterpart: did you mean '{near[0]}'?" if near and near[0] != first else ""
    return _GONE.get(first) or meant or "no counterpart for this option of the trainer"


def _searched_in_network(key: str, options: dict[str, Node]) -> Option | str | None:
    if key in ("epochs", "batch_size"):
        return Option(key)
    if key == "learning_rate":
        return Option(key, PEAK_RATE)
    if key == "early_stop":
        each = as_number(options.get("checkpoints_per_epoch")) or 0
        if each > 1:
            why = f"in epochs: Ludwig counts evaluations, {each:g} an epoch"
            return Option("early_stopping", why, lambda count: _scaled(count, 1 / each))
        return Option("early_stopping", "in epochs: Ludwig counts evaluations")
    if key == "optimizer.weight_decay":
        optimizer = options.get("optimizer")
        is_adamw = optimizer is not None and optimizer.is_mapping
        is_adamw = is_adamw and as_text(section(options, "optimizer").get("type")) == "adamw"
        return Option("weight_decay") if is_adamw else NO_L2
    return _ADAMW if key.partition(".")[0] == "optimizer" else None


def _searched_in_boosting(key: str, options: dict[str, Node]) -> Option | str | None:
    if key in _SAME_BOOSTING or key == "extra_trees":
        return Option(key)
    if key == "num_boost_round":
        return Option("rounds")
    if key == "early_stop":
        each = as_number(options.get("boosting_rounds_per_checkpoint")) or _EVALUATION_ROUNDS
        why = f"in rounds: Ludwig counts evaluations, one every {each:g} rounds"
        return Option("early_stopping", why, lambda count: _scaled(count, each))
    if key == "max_depth":
        return Option("num_leaves", _AS_LEAVES, _leaves, log=True)
    if key == "boosting_type":
        return "there are gradient-boosted trees only"
    return "one seed drives every random choice: seed" if key.endswith("_seed") else None


def _searched_in_linear(key: str, options: dict[str, Node]) -> Option | str | None:
    if key == "optimizer.max_iter":
        return Option("iterations")
    return "L-BFGS takes all rows at once; model.penalty is chosen on held-out rows"


def _scaled(count: Any, by: float) -> int | None:
    """A count of evaluations as one of rounds or epochs; None where it is no count."""
    is_count = isinstance(count, int | float) and not isinstance(count, bool) and 0 < count <= _MAX_PATIENCE
    return max(1, round(count * by)) if is_count else None


def _leaves(depth: Any) -> int | None:
    return 2 ** int(depth) if depth in _DEPTHS and not isinstance(depth, bool) else None


def _left_out(job: Conversion, path: Keys, key: str, node: Node, known: tuple[str, ...]) -> None:
    """An option that no model of ours has: the reason, or the name that may have been meant."""
    if key in MEASURED:
        return
    near = difflib.get_close_matches(key, (*known, *_GONE, *ABSENT), n=1, cutoff=0.8)
    meant = f"no counterpart: did you mean '{near[0]}'?" if near and near[0] != key else ""
    leave_out(job, path, node, _GONE.get(key) or meant or "no counterpart for this option")
