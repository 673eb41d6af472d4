"""Ludwig's combiner and decoder as our `model`: mlp or linear for ecd, lightgbm for gbm."""

from __future__ import annotations

from typing import Literal

from declarative_ml.api.import_config import as_number, as_text, mapping, section
from declarative_ml.api.import_conversion import Conversion
from declarative_ml.api.import_ludwig_absent import leave_out
from declarative_ml.api.import_ludwig_features import SIZES_OF_ENCODERS, Sizes
from declarative_ml.api.import_ludwig_space import Option
from declarative_ml.api.import_ludwig_trainer import (
    import_boosting_trainer,
    import_lbfgs,
    import_network_trainer,
)
from declarative_ml.spec.positions import Node
from declarative_ml.spec.positions import Path as Keys

Section = tuple[Keys, dict[str, Node]]
"""A section of their config: where it stands and what it holds."""

WIDTH = 256
"""Ludwig's width of a layer when absent."""
SIZES = ("output_size", "fc_size", "fc_output_size")
STACK = ("fc_layers", "num_fc_layers", *SIZES)
ACTIVATIONS = {"relu": "relu", "tanh": "tanh", "gelu": "gelu", "silu": "silu", "swish": "silu"}
_NO_NORM = "there are no normalisation layers"
_LAYER = {
    "norm": _NO_NORM,
    "norm_params": _NO_NORM,
    "residual": "there are no residual connections",
    "use_bias": "every layer has a bias",
    "weights_initializer": "weights start as PyTorch starts them",
    "bias_initializer": "biases start as PyTorch starts them",
    "flatten_inputs": "the columns of a table are flat",
    "dropout": "one dropout for all layers: model.dropout",
    "activation": "one activation for all layers: model.activation",
}
_HEADS = ("regressor", "classifier", "projector")


def model_kind(
    config: dict[str, Node], trainer: str, output: Section, model_type: str
) -> Literal["mlp", "linear", "lightgbm"]:
    """Our model: an ecd without hidden layers that L-BFGS fits is a linear one."""
    if model_type == "gbm":
        return "lightgbm"
    optimizer = section(section(config, trainer), "optimizer")
    hidden = widths_of(combiner_of(config)) + widths_of(decoder_of(config, output))
    return "linear" if as_text(optimizer.get("type")) == "lbfgs" and not hidden else "mlp"


def import_model(
    job: Conversion, config: dict[str, Node], trainer: str, output: Section, kind: str, sizes: Sizes
) -> None:
    """Set `model` of this kind from the combiner, the output's decoder and the section `trainer`.

    `sizes` are the model's options that the features name.
    """
    job.put(("model",), {"type": kind})
    combiner, decoder = combiner_of(config), decoder_of(config, output)
    keys, options = (trainer,), section(config, trainer)
    if kind == "mlp":
        _Network(job, combiner, decoder).convert(sizes)
        import_network_trainer(job, keys, options)
    else:
        _no_layers(job, combiner, decoder, kind)
    if kind == "lightgbm":
        import_boosting_trainer(job, keys, options)
    elif kind == "linear":
        import_lbfgs(job, keys, options)
    if "model_type" in config:
        job.carried(("model_type",), f"model.type: {kind}")


def combiner_of(config: dict[str, Node]) -> Section:
    """The combiner's options by name; none without a combiner."""
    return ("combiner",), section(config, "combiner")


def decoder_of(config: dict[str, Node], output: Section) -> Section:
    """The decoder's options by name: nested, beside the feature's own as they used to be, or by default."""
    keys, feature = output
    node = feature.get("decoder")
    if node is not None and node.is_mapping:
        return (*keys, "decoder"), mapping(node, "decoder")
    found = {key: child for key, child in feature.items() if key in (*STACK, *_LAYER, "decoder")}
    kind = (as_text(feature.get("type")) or "").lower()
    default = section(section(section(config, "defaults"), kind), "decoder")
    return (keys, found) if found else (("defaults", kind, "decoder"), default)


def _no_layers(job: Conversion, combiner: Section, decoder: Section, kind: str) -> None:
    """What a model without layers makes of those of others: nothing."""
    if kind == "linear" and "type" in combiner[1]:
        job.carried((*combiner[0], "type"), "model.type: linear")
    model = "trees have" if kind == "lightgbm" else "a linear model has"
    job.left_out(combiner[0], f"{model} no combiner")
    for key in decoder[1]:
        job.left_out((*decoder[0], key), f"{model} no decoder")


def searched_layer(kind: str, place: str, key: str, combiner: str) -> Option | str:
    """The option of the mlp that a key of the combiner or the decoder is when it is searched.

    Widths and depths, STACK, are none by themselves. Otherwise why there is none.
    """
    if kind != "mlp":
        return f"{'trees have' if kind == 'lightgbm' else 'a linear model has'} no {place}"
    if key == "type":
        return "one kind of model is searched at a time; model: auto fits several kinds"
    if place == "combiner" and combiner != "concat":
        return f"an option of the combiner {combiner}"
    if place == "combiner" and key == "dropout":
        return Option("dropout")
    if place == "combiner" and key == "activation":
        return Option("activation", value=lambda name: ACTIVATIONS.get(str(name)))
    plain = key.removeprefix("fc_")
    return _LAYER.get(plain.partition(".")[0], f"an option of Ludwig's {place}")


def searched_encoder(kind: str, feature: str, key: str) -> Option | str:
    """The option of the mlp that a key of the encoder of such a feature is, or why there is none."""
    option = SIZES_OF_ENCODERS.get(key)
    if kind == "mlp" and option is not None and option[0] == feature:
        return Option(option[1], "one for all columns, whatever their values")
    return "an option of Ludwig's encoder; options of features are not searched"


class _Network:
    """An ecd as an mlp: its layers are the combiner's, then the decoder's."""

    def __init__(self, job: Conversion, combiner: Section, decoder: Section) -> None:
        self.job, self.combiner, self.decoder = job, combiner, decoder
        self.kind = as_text(combiner[1].get("type")) or "concat"

    def convert(self, sizes: Sizes) -> None:
        """A verdict on every key of the combiner and the decoder."""
        self._layers(widths_of(self.combiner), widths_of(self.decoder))
        for key, node in self.combiner[1].items():
            self._combiner_option((*self.combiner[0], key), key, node)
        for key, node in self.decoder[1].items():
            self._decoder_option((*self.decoder[0], key), key, node)
        self._sizes(sizes)

    def _layers(self, combined: list[int], decoded: list[int]) -> None:
        """The widths as one stack, with a verdict on each key that they come from."""
        layers = [*combined, *decoded]
        why = "one stack here: the decoder's layers come after the combiner's"
        for keys in _stack_keys(self.combiner) if combined else ():
            self.job.option(keys, "layers", layers)
        for keys in _stack_keys(self.decoder) if decoded else ():
            self.job.option(keys, "layers", layers, why=why)

    def _combiner_option(self, path: Keys, key: str, node: Node) -> None:
        if key == "type" and self.kind == "concat":
            self.job.carried(path, "model.type: mlp")
        elif key == "type":
            why = f"there is no {self.kind}: mlp is the neural network here; lightgbm is worth a try"
            self.job.changed(path, ("model", "type"), why, "mlp")
        elif self.kind != "concat":
            self.job.left_out(path, f"an option of the combiner {self.kind}")
        elif key == "dropout":
            self.job.number_option(path, "dropout", node)
        elif key == "activation" and as_text(node) in ACTIVATIONS:
            self.job.option(path, "activation", ACTIVATIONS[as_text(node) or ""])
        elif key == "activation":
            why = f"there are {', '.join(sorted(set(ACTIVATIONS.values())))}"
            self.job.option(path, "activation", "relu", why=why)
        elif key == "num_fc_layers":
            why = "an mlp has at least one layer; absent, they are chosen by the rows"
            self.job.changed(path, "model.layers: by the rows", why)
        elif key in SIZES:
            self.job.left_out(path, "the width of layers that are not there: num_fc_layers says how many")
        else:
            self._layer_option(path, key, node, "combiner")

    def _decoder_option(self, path: Keys, key: str, node: Node) -> None:
        if key in ("type", "decoder") and as_text(node) in _HEADS:
            self.job.carried(path, "always so: one layer from the last hidden one to the target")
        elif key in ("type", "decoder"):
            why = "one layer leads from the last hidden one to the target"
            self.job.changed(path, "model: the same head for all", why)
        elif key in ("num_fc_layers", *SIZES):
            self.job.left_out(path, "the decoder has no hidden layers")
        elif key == "calibration":
            self.job.carried(path, "always so: probabilities are calibrated on held-out rows")
        else:
            self._layer_option(path, key, node, "decoder")

    def _layer_option(self, path: Keys, key: str, node: Node, whose: str) -> None:
        """Options that layers of ours do not have."""
        key = key.removeprefix("fc_") if key != "fc_layers" else key
        if key == "fc_layers":
            self._unread_layers(path, node)
        elif key == "use_bias" and node.value is True:
            self.job.carried(path, "always so: every layer has a bias")
        else:
            leave_out(self.job, path, node, _LAYER.get(key, f"an option of Ludwig's {whose}"))

    def _unread_layers(self, path: Keys, node: Node) -> None:
        """What the layers of a list say beside their widths."""
        for number, layer in enumerate(node.value if isinstance(node.value, list) else []):
            for key, child in layer.value.items() if layer.is_mapping else ():
                why = _LAYER.get(key, "an option of Ludwig's layers")
                leave_out(self.job, (*path, number, key), child, why)
        self.job.left_out(path, "no layers are named")

    def _sizes(self, sizes: Sizes) -> None:
        """One width of embeddings and one number of ramps for all columns, if they name one."""
        for option, keys, node in sizes:
            if len({as_number(other) for name, _, other in sizes if name == option}) > 1:
                self.job.left_out(keys, f"all columns have the same: model.{option}")
            else:
                self.job.number_option(keys, option, node, why="one for all columns, whatever their values")


def widths_of(stack: Section) -> list[int]:
    """The widths of the fully connected layers of a combiner or decoder; no combiner but concat has any."""
    keys, options = stack
    if keys == ("combiner",) and as_text(options.get("type")) not in (None, "concat"):
        return []
    size = size_of(options)
    layers = layer_list(options)
    if layers:
        found = [size_of(layer.value) if layer.is_mapping else as_number(layer) for layer in layers]
        return [int(width or size or WIDTH) for width in found]
    number = as_number(options.get("num_fc_layers"))
    return [int(size or WIDTH)] * int(number) if number is not None and 0 < number <= 64 else []


def size_of(options: dict[str, Node]) -> float | None:
    """The width that a section names for its layers."""
    return next((as_number(options[key]) for key in SIZES if key in options), None)


def layer_list(options: dict[str, Node]) -> list[Node]:
    """The layers that a section lists one by one."""
    layers = options.get("fc_layers")
    return layers.value if layers is not None and isinstance(layers.value, list) else []


def _stack_keys(stack: Section) -> list[Keys]:
    """The keys that give the widths; below `fc_layers` only the sizes."""
    keys, options = stack
    layers = layer_list(options)
    if not layers:
        return [(*keys, key) for key in STACK if key in options]
    if not any(layer.is_mapping for layer in layers):
        inner: list[Keys] = [(*keys, "fc_layers")]
    else:
        inner = [
            (*keys, "fc_layers", number, key)
            for number, layer in enumerate(layers)
            for key in (layer.value if layer.is_mapping else ())
            if key in SIZES
        ]
    return [*inner, *((*keys, key) for key in ("num_fc_layers", *SIZES) if key in options)]
