"""Ludwig's combiner, decoder and trainer as our `model`: mlp for ecd, lightgbm for gbm."""

from __future__ import annotations

import difflib

from declarative_ml.api.import_config import as_number, as_text, mapping, section
from declarative_ml.api.import_conversion import Conversion
from declarative_ml.spec.positions import Node
from declarative_ml.spec.positions import Path as Keys

Section = tuple[Keys, dict[str, Node]]
"""A section of their config: where it stands and what it holds."""

MAX_PATIENCE = 100_000
"""The longest wait without gain that our options take: never stopping early."""
_EVALUATION_ROUNDS = 50
"""Ludwig's boosting_rounds_per_checkpoint when absent."""
_DEPTH = 8
"""Up to this depth a limit on the leaves stands for one on the depth."""

_SIZES = ("output_size", "fc_size", "fc_output_size")
_STACK = ("fc_layers", "num_fc_layers", *_SIZES)
_ACTIVATIONS = {"relu": "relu", "tanh": "tanh", "gelu": "gelu", "silu": "silu", "swish": "silu"}
_LAYER = {
    "norm": "there are no normalisation layers",
    "norm_params": "there are no normalisation layers",
    "residual": "there are no residual connections",
    "use_bias": "every layer has a bias",
    "weights_initializer": "weights start as PyTorch starts them",
    "bias_initializer": "biases start as PyTorch starts them",
    "flatten_inputs": "the columns of a table are flat",
    "dropout": "one dropout for all layers: model.dropout",
    "activation": "one activation for all layers: model.activation",
}
_SPEED = "it has no effect on the model; threads follow resources.cpu"
_LENGTH = "the length of training is counted in epochs"
_RATE = "the learning rate rises and falls over the epochs by itself"
_BATCH = "the batch size stays as it is; it is chosen by the rows when absent"
_NEVER = "so long a wait that training never stops early"
_GONE = {
    "train_steps": _LENGTH, "steps_per_checkpoint": _LENGTH, "checkpoints_per_epoch": _LENGTH,
    "decay": _RATE, "decay_steps": _RATE, "decay_rate": _RATE, "staircase": _RATE,
    "learning_rate_scheduler": _RATE, "learning_rate_warmup_epochs": _RATE, "learning_rate_scaling": _RATE,
    "reduce_learning_rate_on_plateau": _RATE, "reduce_learning_rate_on_plateau_patience": _RATE,
    "reduce_learning_rate_on_plateau_rate": _RATE, "increase_batch_size_on_plateau": _BATCH,
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
    "regularization_lambda": "decay of weights is AdamW's (model.weight_decay); the numbers do not compare",
    "regularization_type": "decay of weights is AdamW's (model.weight_decay)",
    "regularizer": "decay of weights is AdamW's (model.weight_decay)",
    "loss_balancing": "there is one target, so there are no losses to balance",
    "dropout_rate": "dropout belongs to the combiner, where it is read",
    "type": "the trainer follows from the model",
}  # fmt: skip
_SAME_BOOSTING = (
    "learning_rate", "num_leaves", "min_data_in_leaf", "bagging_fraction", "bagging_freq",
    "feature_fraction", "lambda_l1", "lambda_l2", "max_bin", "cat_smooth", "cat_l2",
)  # fmt: skip
_MEASURED = ("validation_field", "validation_metric", "validation_measure")
"""Of the trainer's keys, those that say what is measured: not the model's affair."""


def import_model(
    job: Conversion,
    config: dict[str, Node],
    trainer: str,
    output: Section,
    model_type: str,
    sizes: list[tuple[Keys, Node]],
) -> None:
    """Set `model` from the combiner, the output's decoder and the section `trainer`.

    `sizes` are the embedding sizes that the features name.
    """
    options: Section = ((trainer,), section(config, trainer))
    combiner: Section = (("combiner",), section(config, "combiner"))
    decoder = _decoder(output)
    if model_type == "gbm":
        _Boosting(job, options).convert(combiner, decoder)
    else:
        network = _Network(job, options, combiner, decoder)
        network.convert(sizes)
    if "model_type" in config:
        job.carried(("model_type",), f"model.type: {job.spec['model']['type']}")
    if len(job.spec["model"]) == 1:
        job.spec["model"] = job.spec["model"]["type"]


def _decoder(output: Section) -> Section:
    """The decoder's options by name, nested or, as they used to be, beside the feature's own."""
    keys, feature = output
    node = feature.get("decoder")
    if node is not None and node.is_mapping:
        return (*keys, "decoder"), mapping(node, "decoder")
    names = (*_STACK, *_LAYER, "decoder")
    return keys, {key: child for key, child in feature.items() if key in names}


class _Network:
    """An ecd as an mlp: its layers are the combiner's, then the decoder's."""

    def __init__(self, job: Conversion, trainer: Section, combiner: Section, decoder: Section) -> None:
        self.job = job
        self.trainer, self.combiner, self.decoder = trainer, combiner, decoder

    def convert(self, sizes: list[tuple[Keys, Node]]) -> None:
        combined, decoded = _widths(self.combiner), _widths(self.decoder)
        kind = as_text(self.combiner[1].get("type")) or "concat"
        if kind != "concat":
            combined = []
        optimizer = section(self.trainer[1], "optimizer")
        if as_text(optimizer.get("type")) == "lbfgs" and not combined + decoded:
            self._linear(optimizer)
            for keys, _ in sizes:
                self.job.left_out(keys, "a linear model has no embeddings: each level has a weight")
            return
        self.job.put(("model",), {"type": "mlp"})
        self._combiner_type(kind)
        if combined + decoded:
            self._layers(combined, decoded)
        self._combiner_options(kind)
        self._decoder_options()
        self._embedding(sizes)
        for key, node in self.trainer[1].items():
            self._trainer_option((*self.trainer[0], key), key, node)

    def _linear(self, optimizer: dict[str, Node]) -> None:
        """An ecd without hidden layers that L-BFGS fits is a linear model."""
        job, keys = self.job, (*self.trainer[0], "optimizer")
        job.put(("model",), {"type": "linear"})
        why = "without hidden layers this is a linear model, which L-BFGS fits here as well"
        job.changed((*keys, "type"), ("model", "type"), why, "linear")
        if "max_iter" in optimizer:
            job.number_option((*keys, "max_iter"), "iterations", optimizer["max_iter"])
        if "type" in self.combiner[1]:
            job.carried(("combiner", "type"), "model.type: linear")
        job.left_out(self.combiner[0], "a linear model has no such option")
        for key in self.decoder[1]:
            job.left_out((*self.decoder[0], key), "a linear model has no such option")
        for key in self.trainer[1]:
            if key not in _MEASURED:
                job.left_out(
                    (*self.trainer[0], key),
                    "L-BFGS takes all rows at once; model.penalty is chosen on held-out rows",
                )

    def _combiner_type(self, kind: str) -> None:
        if "type" not in self.combiner[1]:
            return
        keys = (*self.combiner[0], "type")
        if kind == "concat":
            self.job.carried(keys, "model.type: mlp")
        else:
            why = f"there is no {kind}: mlp is the neural network here; lightgbm is worth a try"
            self.job.changed(keys, ("model", "type"), why, "mlp")

    def _layers(self, combined: list[int], decoded: list[int]) -> None:
        """The widths as one stack, with a verdict on each key that they come from."""
        layers = [*combined, *decoded]
        combiner = [keys for keys in _stack_keys(self.combiner) if combined]
        decoder = [keys for keys in _stack_keys(self.decoder) if decoded]
        why = "one stack here: the decoder's layers come after the combiner's"
        fits = all(self.job.option(keys, "layers", layers) for keys in combiner)
        if fits:
            for keys in decoder:
                self.job.option(keys, "layers", layers, why=why)

    def _combiner_options(self, kind: str) -> None:
        keys, options = self.combiner
        for key, node in options.items():
            path = (*keys, key)
            if key == "type":
                continue
            if kind != "concat":
                self.job.left_out(path, f"an option of the combiner {kind}")
            elif key == "dropout":
                self.job.number_option(path, "dropout", node)
            elif key == "activation" and as_text(node) in _ACTIVATIONS:
                self.job.option(path, "activation", _ACTIVATIONS[as_text(node) or ""])
            elif key == "activation":
                why = f"there are {', '.join(sorted(set(_ACTIVATIONS.values())))}"
                self.job.option(path, "activation", "relu", why=why)
            elif key == "fc_layers":
                _left_out_layers(self.job, path, node)
            elif key in _SIZES:
                self.job.left_out(path, "the width of layers that are not there: num_fc_layers says how many")
            elif key == "num_fc_layers":
                why = "an mlp has at least one layer; absent, they are chosen by the rows"
                self.job.changed(path, "model.layers: by the rows", why)
            else:
                self.job.left_out(path, _LAYER.get(key, "an option of Ludwig's combiner"))

    def _decoder_options(self) -> None:
        keys, options = self.decoder
        for key, node in options.items():
            path, value = (*keys, key), as_text(node)
            if key in ("type", "decoder") and value in ("regressor", "classifier", "projector"):
                self.job.carried(path, "always so: one layer from the last hidden one to the target")
            elif key in ("type", "decoder"):
                why = "one layer leads from the last hidden one to the target"
                self.job.changed(path, "model: the same head for all", why)
            elif key == "fc_layers":
                _left_out_layers(self.job, path, node)
            elif key in ("num_fc_layers", *_SIZES):
                self.job.left_out(path, "the decoder has no hidden layers")
            elif key == "calibration":
                self.job.carried(path, "always so: probabilities are calibrated on held-out rows")
            else:
                gone = _LAYER.get(key.removeprefix("fc_"), "an option of Ludwig's decoder")
                self.job.left_out(path, gone)

    def _embedding(self, sizes: list[tuple[Keys, Node]]) -> None:
        numbers = {as_number(node) for _, node in sizes}
        for keys, node in sizes:
            if len(numbers) > 1:
                self.job.left_out(keys, "all categories have one width of embedding: model.embedding_size")
            else:
                why = "one width for all categories, whatever their number of levels"
                self.job.number_option(keys, "embedding_size", node, why=why)

    def _trainer_option(self, path: Keys, key: str, node: Node) -> None:
        if key in _MEASURED:
            return
        if key == "epochs":
            self.job.number_option(path, "epochs", node)
        elif key in ("batch_size", "learning_rate") and as_text(node) == "auto":
            self.job.changed(path, f"model.{key}: as it is when absent", "it is not found by trials")
        elif key == "batch_size":
            self.job.number_option(path, "batch_size", node)
        elif key == "learning_rate":
            why = "the same number, but it is the peak: AdamW's rate falls over the epochs"
            self.job.number_option(path, "learning_rate", node, why=why)
        elif key == "early_stop":
            self._early_stop(path, node)
        elif key == "optimizer":
            self._optimizer(path, node)
        elif key in _GONE:
            self.job.left_out(path, _GONE[key])
        else:
            self.job.left_out(path, _unknown(key, ("epochs", "batch_size", "learning_rate", "early_stop")))

    def _early_stop(self, path: Keys, node: Node) -> None:
        patience = as_number(node)
        if patience is None or patience > 0:
            self.job.number_option(path, "early_stopping", node)
        else:
            epochs = as_number(self.trainer[1].get("epochs"))
            never = int(epochs) if epochs and 1 <= epochs <= MAX_PATIENCE else MAX_PATIENCE
            self.job.option(path, "early_stopping", never, why=_NEVER)

    def _optimizer(self, path: Keys, node: Node) -> None:
        if not node.is_mapping:
            self.job.changed(path, "model: AdamW", "the one optimizer of the mlp")
            return
        for key, child in node.value.items():
            below, value = (*path, key), as_text(child)
            if key == "type" and value == "adamw":
                self.job.carried(below, "always so: AdamW")
            elif key == "type":
                self.job.changed(below, "model: AdamW", "the one optimizer of the mlp")
            elif key == "weight_decay":
                self.job.number_option(below, "weight_decay", child)
            else:
                self.job.left_out(below, "AdamW has no further options here")


class _Boosting:
    """A gbm as lightgbm."""

    def __init__(self, job: Conversion, trainer: Section) -> None:
        self.job, (self.keys, self.options) = job, trainer

    def convert(self, combiner: Section, decoder: Section) -> None:
        self.job.put(("model",), {"type": "lightgbm"})
        self.job.left_out(combiner[0], "trees have no combiner")
        for key in decoder[1]:
            self.job.left_out((*decoder[0], key), "trees have no decoder")
        for key, node in self.options.items():
            self._option((*self.keys, key), key, node)

    def _option(self, path: Keys, key: str, node: Node) -> None:
        job = self.job
        if key in _MEASURED:
            return
        if key in _SAME_BOOSTING:
            job.number_option(path, key, node)
        elif key == "num_boost_round":
            job.number_option(path, "rounds", node)
        elif key == "early_stop":
            self._early_stop(path, node)
        elif key == "boosting_rounds_per_checkpoint":
            why = "held-out rows are looked at after every round; early_stopping counts rounds"
            job.changed(path, "model.early_stopping: in rounds", why)
        elif key == "max_depth":
            depth_as_leaves(job, path, node, taken="num_leaves" in self.options)
        elif key == "boosting_type" and as_text(node) == "gbdt":
            job.carried(path, "always so: gradient-boosted trees")
        elif key == "boosting_type":
            job.changed(path, "model: gradient-boosted trees", f"there is no {as_text(node)} here")
        elif key.endswith("_seed"):
            job.left_out(path, "one seed drives every random choice: seed")
        elif key in _GONE:
            job.left_out(path, _GONE[key])
        else:
            job.left_out(path, _unknown(key, (*_SAME_BOOSTING, "num_boost_round", "early_stop")))

    def _early_stop(self, path: Keys, node: Node) -> None:
        evaluations = as_number(node)
        each = as_number(self.options.get("boosting_rounds_per_checkpoint")) or _EVALUATION_ROUNDS
        if evaluations is None:
            self.job.left_out(path, "model.early_stopping takes a number")
        elif evaluations > 0:
            why = f"in rounds: Ludwig counts evaluations, one every {each:g} rounds"
            self.job.option(path, "early_stopping", int(evaluations * each), why=why)
        else:
            rounds = as_number(self.options.get("num_boost_round")) or MAX_PATIENCE
            self.job.option(path, "early_stopping", int(rounds), why=_NEVER)


def depth_as_leaves(job: Conversion, path: Keys, node: Node, *, taken: bool) -> None:
    """A limit on the depth of trees as one on their leaves. `taken`: the leaves have a limit already."""
    depth = as_number(node)
    if not taken and depth is not None and 1 <= depth <= _DEPTH:
        why = "leaves limit a tree here, not its depth: as many as a tree of that depth can have"
        job.option(path, "num_leaves", 2 ** int(depth), why=why)
    else:
        job.left_out(path, "leaves limit a tree here, not its depth: model.num_leaves")


def _widths(stack: Section) -> list[int]:
    """The widths of the fully connected layers of a combiner or decoder."""
    _, options = stack
    size = next((as_number(options[key]) for key in _SIZES if key in options), None)
    layers = options.get("fc_layers")
    if layers is not None and isinstance(layers.value, list) and layers.value:
        found = [
            next((as_number(layer.value[key]) for key in _SIZES if key in layer.value), size)
            if layer.is_mapping
            else as_number(layer)
            for layer in layers.value
        ]
        return [int(width or 256) for width in found]
    number = as_number(options.get("num_fc_layers"))
    return [int(size or 256)] * int(number) if number is not None and 0 < number <= 64 else []


def _stack_keys(stack: Section) -> list[Keys]:
    """The keys that give the widths; below `fc_layers` only the sizes."""
    keys, options = stack
    layers = options.get("fc_layers")
    if layers is not None and isinstance(layers.value, list) and layers.value:
        inner = [
            (*keys, "fc_layers", number, key) if layer.is_mapping else (*keys, "fc_layers")
            for number, layer in enumerate(layers.value)
            for key in (layer.value if layer.is_mapping else ("",))
            if key in _SIZES or not layer.is_mapping
        ]
        outer = [(*keys, key) for key in ("num_fc_layers", *_SIZES) if key in options]
        return [*inner, *outer]
    return [(*keys, key) for key in _STACK if key in options]


def _left_out_layers(job: Conversion, path: Keys, node: Node) -> None:
    """What the layers of a list say beside their widths."""
    for number, layer in enumerate(node.value if isinstance(node.value, list) else []):
        for key in layer.value if layer.is_mapping else ():
            job.left_out((*path, number, key), _LAYER.get(key, "an option of Ludwig's layers"))
    job.left_out(path, "no layers are named")


def _unknown(key: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(key, (*known, *_GONE), n=1, cutoff=0.8)
    return f"no counterpart: did you mean '{near[0]}'?" if near else "no counterpart for this option"
