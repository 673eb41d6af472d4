"""A Ludwig config as a spec: sections, target and metric. Table, features and model have their own modules.

Old spellings (`training`, `numerical`, `split_probabilities`, parameters that are not nested) are read as
Ludwig's own upgrades read them.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from declarative_ml.api.import_config import (
    as_number,
    as_text,
    as_truth,
    items,
    mapping,
    section,
    text,
    where,
)
from declarative_ml.api.import_conversion import OWN_WEIGHTS, Conversion
from declarative_ml.api.import_ludwig_absent import leave_out
from declarative_ml.api.import_ludwig_features import (
    UNSUPPORTED,
    carry_names,
    import_features,
    leave_out_defaults,
)
from declarative_ml.api.import_ludwig_hyperopt import PLACE, import_hyperopt
from declarative_ml.api.import_ludwig_metrics import our_metric
from declarative_ml.api.import_ludwig_model import import_model, model_kind
from declarative_ml.api.import_ludwig_table import import_table
from declarative_ml.api.import_report import Imported, short
from declarative_ml.core.errors import UsageError
from declarative_ml.core.task import TaskType
from declarative_ml.spec.positions import Node
from declarative_ml.spec.positions import Path as Keys

_TARGETS: dict[str, TaskType] = {
    "binary": "binary", "category": "multiclass", "number": "number", "numerical": "number",
}  # fmt: skip
_HINT = "a Ludwig config lists input_features and output_features, each with a name and a type"
_NO_LANGUAGE = "language models have no counterpart"
_SECTIONS = {
    "backend": PLACE,
    "ludwig_version": "it is Ludwig's own",
    "base_model": _NO_LANGUAGE,
    "prompt": _NO_LANGUAGE,
    "adapter": _NO_LANGUAGE,
    "quantization": _NO_LANGUAGE,
    "generation": _NO_LANGUAGE,
}
_KNOWN = (
    "model_type", "input_features", "output_features", "combiner", "trainer", "training", "preprocessing",
    "defaults", "hyperopt", *_SECTIONS,
)  # fmt: skip
_ONE_TARGET = "there is one target, so it depends on no other"
_OUTPUT = {
    "threshold": "a threshold is for binary outputs",
    "top_k": "accuracy among the first k has no counterpart; log_loss values good ranks",
    "dependencies": _ONE_TARGET,
    "reduce_dependencies": _ONE_TARGET,
    "reduce_input": "the columns of a table are not reduced",
    "num_classes": "the classes are found in the data",
    "clip": "predictions are not clipped",
    "proc_column": "it is Ludwig's own",
}
_NO_TERM = "the loss has no such term; probabilities are calibrated on held-out rows"
_LOSS = {
    "weight": "there is one target, so its loss needs no weight",
    "confidence_penalty": _NO_TERM,
    "robust_lambda": _NO_TERM,
}
_USUAL_LOSSES = {
    "binary_weighted_cross_entropy", "softmax_cross_entropy", "mean_squared_error",
    "root_mean_squared_error",
}  # fmt: skip
_CALIBRATED = "probabilities are calibrated on held-out rows"


def import_ludwig(
    config: Path, output: Path, *, data: str | None = None, name: str | None = None, force: bool = False
) -> Imported:
    """Write a spec that does what the Ludwig `config` does, as near as can be, and say what differs.

    Raises UsageError for a config without anything to learn or when `output` exists and `force` is not
    set, SpecError for what is not YAML, DataError when `data` lacks a column that the config names.
    """
    job = Conversion("Ludwig", config, output, data=data, name=name, force=force)
    job.open_data()
    _Ludwig(job).convert()
    return job.finish()


class _Ludwig:
    """One conversion, section after section."""

    def __init__(self, job: Conversion) -> None:
        self.job = job
        self.config = mapping(job.root, "the config")
        self.trainer = "trainer" if "trainer" in self.config else "training"
        self.target = ""
        self.output: tuple[Keys, dict[str, Node]] = ((), {})

    def convert(self) -> None:
        model_type = self._model_type()
        self._sections()
        self._target(items(self.config, "output_features", _HINT))
        reserved = {self.target: "it is the target", **import_table(self.job, self.config, self.target)}
        inputs = items(self.config, "input_features", _HINT)
        kind = model_kind(self.config, self.trainer, self.output, model_type)
        sizes = import_features(self.job, inputs, self.config, reserved, kind)
        import_model(self.job, self.config, self.trainer, self.output, kind, sizes)
        self._measured()
        if "hyperopt" in self.config:
            import_hyperopt(self.job, self.config, self.trainer, self.output)
        leave_out_defaults(self.job, self.config)
        for key in self.output[1]:
            self.job.left_out((*self.output[0], key), "an option of Ludwig's decoder")

    def _model_type(self) -> str:
        node = self.config.get("model_type")
        found = "ecd" if node is None else as_text(node)
        if found not in ("ecd", "gbm"):
            at = where(node) if node else self.job.config
            raise UsageError(
                f"{at}: model_type {short(found)} has no counterpart",
                hint="only ecd and gbm learn from tables; a language model does not",
            )
        return found

    def _sections(self) -> None:
        for name, node in self.config.items():
            if name == "backend" and as_text(node.value.get("type") if node.is_mapping else node) == "local":
                keys: Keys = (name, "type") if node.is_mapping else (name,)
                self.job.carried(keys, "always so: a run is on this machine")
            if name in _SECTIONS:
                self.job.left_out((name,), _SECTIONS[name])
            elif name not in _KNOWN:
                near = difflib.get_close_matches(name, _KNOWN, n=1)
                meant = f": did you mean '{near[0]}'?" if near else ""
                self.job.left_out((name,), f"unknown to Ludwig as well{meant}")
        if "trainer" in self.config and "training" in self.config:
            self.job.left_out(("training",), "the section trainer is there, its new name")

    # The target.

    def _target(self, outputs: list[Node]) -> None:
        kinds = []
        for number, node in enumerate(outputs):
            feature = mapping(node, "an output feature")
            name = text(feature, "name", node, "an output feature")
            kind = text(feature, "type", node, f"the feature '{name}'").lower()
            kinds.append(f"'{short(name)}' ({short(kind)})")
            keys: Keys = ("output_features", number)
            if kind not in _TARGETS:
                reason = UNSUPPORTED.get(kind, f"there is no type {kind}")
                self.job.left_out(keys, f"{reason}; a target is one class or one number")
            elif self.output[0]:
                self.job.left_out(keys, f"a spec has one target, here {self.target}: write a second spec")
            else:
                self.output = keys, feature
                self._take_target(keys, feature, name, kind)
        if not self.output[0]:
            raise UsageError(
                f"{where(outputs[0])}: no output can be predicted here: {', '.join(kinds)}",
                hint="a target is one class or one number: an output of type binary, category or number",
            )

    def _take_target(self, keys: Keys, feature: dict[str, Node], name: str, kind: str) -> None:
        column = as_text(feature.get("column")) or name
        self.target = column
        self.job.ask(column, feature.get("column", feature["name"]))
        self.job.put(("target",), {"column": column, "type": _TARGETS[kind]})
        ours = f"target: {column} ({_TARGETS[kind]})"
        carry_names(self.job, keys, feature, ours, "a target is called by its column")
        for key, node in feature.items():
            self._target_option((*keys, key), key, node, kind)
        self._default_loss(kind, section(feature, "loss"))

    def _target_option(self, keys: Keys, key: str, node: Node, kind: str) -> None:
        if key == "preprocessing":
            self._target_preprocessing(keys, mapping(node, key), kind)
        elif key == "loss":
            for option, child in mapping(node, key).items():
                self._loss((*keys, option), option, child)
        elif key == "calibration" and as_truth(node) is False:
            self.job.changed(keys, "target: calibrated", f"always: {_CALIBRATED}")
        elif key == "calibration":
            self.job.carried(keys, f"always so: {_CALIBRATED}")
        elif key == "threshold" and kind == "binary":
            self._threshold(keys, as_number(node))
        elif key in _OUTPUT:
            leave_out(self.job, keys, node, _OUTPUT[key])

    def _threshold(self, keys: Keys, value: int | float | None) -> None:
        if value is not None and 0 <= value <= 1:
            self.job.carried(keys, ("evaluate", "threshold"), value)
        else:
            self.job.left_out(keys, "evaluate.threshold is a probability; 0.5 when absent")

    def _target_preprocessing(self, keys: Keys, options: dict[str, Node], kind: str) -> None:
        for key, node in options.items():
            path, value = (*keys, key), as_text(node)
            if key == "missing_value_strategy" and value == "drop_row":
                self.job.carried(path, "always so: rows without a target are left out")
            elif key == "missing_value_strategy":
                why = "a target is never made up: such rows are left out"
                self.job.changed(path, "target: rows without it are left out", why)
            elif key == "normalization" and value in (None, "zscore"):
                self.job.carried(path, "always so: models see a number target standardised")
            elif key == "normalization":
                why = "models see a number target standardised; predictions are in its own unit"
                self.job.changed(path, "target: standardised", why)
            elif key == "fallback_true_label" and kind == "binary" and value is not None:
                self.job.carried(path, ("target", "positive"), value)
            else:
                leave_out(self.job, path, node, "the target is taken as it is; change it in data.sql")

    def _default_loss(self, kind: str, own: dict[str, Node]) -> None:
        """The loss that `defaults` names for outputs of this type, as far as the output does not."""
        of_type = section(section(self.config, "defaults"), kind)
        for key, node in section(of_type, "loss").items():
            path: Keys = ("defaults", kind, "loss", key)
            if key in own:
                self.job.left_out(path, "the output's own loss says it otherwise")
            else:
                self._loss(path, key, node)

    def _loss(self, path: Keys, key: str, node: Node) -> None:
        if key == "type" and as_text(node) in _USUAL_LOSSES:
            self.job.carried(path, "always so: log loss for classes, squared error for numbers")
        elif key == "type":
            why = "models minimise log loss for classes and squared error for numbers"
            self.job.changed(path, "model: its usual loss", why)
        elif key in ("positive_class_weight", "class_weights") and node.value in (None, 1):
            self.job.carried(path, "imbalance: none")
        elif key in ("positive_class_weight", "class_weights"):
            self.job.balance(path, "weights", OWN_WEIGHTS)
        elif key == "weight" and node.value == 1:
            self.job.carried(path, "always so: one target, one loss")
        else:
            leave_out(self.job, path, node, _LOSS.get(key, "the loss has no options"))

    # What is measured.

    def _measured(self) -> None:
        options = section(self.config, self.trainer)
        field = options.get("validation_field")
        if field is not None:
            if as_text(field) in (None, "combined", self.target, as_text(self.output[1]["name"])):
                self.job.carried((self.trainer, "validation_field"), f"target: {self.target}")
            else:
                self.job.left_out((self.trainer, "validation_field"), f"the target is {self.target}")
        for key in ("validation_metric", "validation_measure"):
            if key in options:
                self._validation_metric((self.trainer, key), as_text(options[key]))

    def _validation_metric(self, keys: Keys, name: str | None) -> None:
        if name in (None, "loss"):
            self.job.carried(keys, "always so: early stopping watches the loss of held-out rows")
            return
        metric, differs = our_metric(str(name), self.job.spec["target"]["type"])
        why = "it is the report's primary metric; early stopping watches the loss"
        self.job.primary_metric(keys, metric, f"{differs}; {why}" if differs else why)
