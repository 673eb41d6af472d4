"""A Ludwig config as a spec: sections, targets, splits. Features and models have modules of their own.

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
    kind_of,
    mapping,
    section,
    text,
    where,
)
from declarative_ml.api.import_conversion import Conversion
from declarative_ml.api.import_ludwig_features import FEATURE_TYPES, UNSUPPORTED, import_features
from declarative_ml.api.import_ludwig_model import import_model
from declarative_ml.api.import_report import Imported
from declarative_ml.core.errors import UsageError
from declarative_ml.core.task import TaskType
from declarative_ml.learning.metric_names import METRICS
from declarative_ml.spec.positions import Node
from declarative_ml.spec.positions import Path as Keys

_TARGETS: dict[str, TaskType] = {
    "binary": "binary", "category": "multiclass", "number": "number", "numerical": "number",
}  # fmt: skip
_HINT = "a Ludwig config lists input_features and output_features, each with a name and a type"
_SECTIONS = {
    "hyperopt": "there is no search over options: write the best values found under model",
    "backend": "a run is one process on this machine; resources.cpu limits its threads",
    "ludwig_version": "it is Ludwig's own",
    "base_model": "language models have no counterpart",
    "prompt": "language models have no counterpart",
    "adapter": "language models have no counterpart",
    "quantization": "language models have no counterpart",
    "generation": "language models have no counterpart",
}
_KNOWN = (
    "model_type", "input_features", "output_features", "combiner", "trainer", "training", "preprocessing",
    "defaults", *_SECTIONS,
)  # fmt: skip
_METRICS = {
    "accuracy": "accuracy", "accuracy_micro": "accuracy", "roc_auc": "roc_auc", "precision": "precision",
    "recall": "recall", "f1": "f1", "mean_absolute_error": "mae", "mean_squared_error": "rmse",
    "root_mean_squared_error": "rmse", "mean_absolute_percentage_error": "mape", "r2": "r2",
}  # fmt: skip
_OUTPUT = {
    "threshold": "a threshold is for binary outputs",
    "top_k": "accuracy among the first k has no counterpart; log_loss values good ranks",
    "dependencies": "there is one target, so it depends on no other",
    "reduce_dependencies": "there is one target, so it depends on no other",
    "reduce_input": "the columns of a table are not reduced",
    "num_classes": "the classes are found in the data",
    "proc_column": "it is Ludwig's own",
}
_LOSS = {
    "weight": "there is one target, so its loss needs no weight",
    "confidence_penalty": "the loss has no such term; probabilities are calibrated on held-out rows",
    "robust_lambda": "the loss has no such term; probabilities are calibrated on held-out rows",
}
_USUAL_LOSSES = {
    "binary_weighted_cross_entropy", "softmax_cross_entropy", "mean_squared_error",
    "root_mean_squared_error",
}  # fmt: skip


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
        self.reserved: dict[str, str] = {}
        """Columns that cannot be features, with the reason."""

    def convert(self) -> None:
        model_type = self._model_type()
        self._unknown_sections()
        self._target(items(self.config, "output_features", _HINT))
        self._preprocessing()
        inputs = items(self.config, "input_features", _HINT)
        sizes = import_features(self.job, inputs, self.config, self.target, self.reserved, model_type)
        import_model(self.job, self.config, self.trainer, self.output, model_type, sizes)
        self._metric()
        for key in self.output[1]:
            self.job.left_out((*self.output[0], key), "an option of Ludwig's decoder")

    def _model_type(self) -> str:
        node = self.config.get("model_type")
        found = "ecd" if node is None else as_text(node)
        if found not in ("ecd", "gbm"):
            at = where(node) if node else self.job.config
            raise UsageError(
                f"{at}: model_type {found} has no counterpart",
                hint="only ecd and gbm learn from tables; a language model does not",
            )
        return found

    def _unknown_sections(self) -> None:
        for name in self.config:
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
        for number, node in enumerate(outputs):
            feature = mapping(node, "an output feature")
            column, kind = text(feature, "name", node, "an output feature"), self._type(feature, node)
            keys: Keys = ("output_features", number)
            if kind not in _TARGETS:
                reason = UNSUPPORTED.get(kind, f"there is no type {kind}")
                self.job.left_out(keys, f"{reason}; a target is one class or one number")
            elif self.output[0]:
                self.job.left_out(keys, f"a spec has one target, here {self.target}: write a second spec")
            else:
                self.output = keys, feature
                self._take_target(keys, feature, column, kind)
        if not self.output[0]:
            named = ", ".join(
                f"'{as_text(node.value['name'])}' ({as_text(node.value['type'])})" for node in outputs
            )
            raise UsageError(
                f"{where(outputs[0])}: no output can be predicted here: {named}",
                hint="a target is one class or one number: an output of type binary, category or number",
            )

    def _type(self, feature: dict[str, Node], node: Node) -> str:
        return text(feature, "type", node, f"the feature '{as_text(feature.get('name'))}'").lower()

    def _take_target(self, keys: Keys, feature: dict[str, Node], name: str, kind: str) -> None:
        column = as_text(feature.get("column")) or name
        self.target = column
        self.job.ask(column, feature.get("column", feature["name"]))
        self.job.put(("target",), {"column": column, "type": _TARGETS[kind]})
        ours = f"target: {column} ({_TARGETS[kind]})"
        for key in ("name", "column", "type"):
            if key in feature and (key != "name" or name == column):
                self.job.carried((*keys, key), ours)
        if name != column:
            self.job.changed((*keys, "name"), ours, "a target is called by its column")
        for key, node in feature.items():
            self._target_option((*keys, key), key, node, kind)

    def _target_option(self, keys: Keys, key: str, node: Node, kind: str) -> None:
        if key == "preprocessing":
            self._target_preprocessing(keys, mapping(node, key), kind)
        elif key == "loss":
            self._loss(keys, mapping(node, key))
        elif key == "calibration" and as_truth(node) is False:
            why = "probabilities are always calibrated on held-out rows"
            self.job.changed(keys, "target: calibrated", why)
        elif key == "calibration":
            self.job.carried(keys, "always so: probabilities are calibrated on held-out rows")
        elif key == "threshold" and kind == "binary":
            self._threshold(keys, as_number(node))
        elif key in _OUTPUT:
            self.job.left_out(keys, _OUTPUT[key])

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
                self.job.left_out(path, "the target is taken as it is; change it in data.sql")

    def _loss(self, keys: Keys, options: dict[str, Node]) -> None:
        for key, node in options.items():
            path, value = (*keys, key), as_text(node)
            if key == "type" and value in _USUAL_LOSSES:
                self.job.carried(path, "always so: log loss for classes, squared error for numbers")
            elif key == "type":
                why = "models minimise log loss for classes and squared error for numbers"
                self.job.changed(path, "model: its usual loss", why)
            elif key in ("positive_class_weight", "class_weights") and node.value in (None, 1, 1.0):
                self.job.carried(path, "imbalance: none")
            elif key in ("positive_class_weight", "class_weights") and self._is_classes():
                why = "there are no weights of one's own: with weights, all classes count equally"
                self.job.changed(path, ("imbalance",), why, "weights")
            else:
                self.job.left_out(path, _LOSS.get(key, "the loss has no options"))

    def _is_classes(self) -> bool:
        return bool(self.job.spec["target"]["type"] != "number")

    # Preprocessing of the whole table.

    def _preprocessing(self) -> None:
        options = section(self.config, "preprocessing")
        keys: Keys = ("preprocessing",)
        self._split(options)
        for key, node in options.items():
            path, value = (*keys, key), as_number(node)
            if key in ("sample_ratio", "sample_size") and (value == 1 or node.value is None):
                self.job.carried(path, "always so: all rows are used")
            elif key in ("sample_ratio", "sample_size"):
                self.job.left_out(path, "all rows are used; give a smaller file, or filter in data.sql")
            elif key in ("oversample_minority", "undersample_majority"):
                self._balance(path, key, value)
            elif key == "force_split":
                self._force_split(path, node)
            elif key not in FEATURE_TYPES and key not in UNSUPPORTED:
                self.job.left_out(path, "no counterpart for this option of the whole table")

    def _balance(self, path: Keys, key: str, ratio: int | float | None) -> None:
        if ratio is None:
            self.job.carried(path, "imbalance: none")
        elif not self._is_classes():
            self.job.left_out(path, "the target is a number: it has no classes to balance")
        elif key == "undersample_majority":
            why = "no row is thrown away: with weights, all classes count equally"
            self.job.changed(path, ("imbalance",), why, "weights")
        elif ratio == 1:
            self.job.carried(path, ("imbalance",), "oversample")
        else:
            self.job.changed(
                path, ("imbalance",), "rare classes are drawn until all count equally", "oversample"
            )

    def _force_split(self, path: Keys, node: Node) -> None:
        if as_truth(node):
            self.job.carried(path, "data.split: a column named split is not looked for")
        else:
            self.job.left_out(
                path, "a column named split is not looked for; data.split {method: column} names one"
            )

    def _split(self, options: dict[str, Node]) -> None:
        """The split, in its new and its old spelling."""
        base: Keys = ("preprocessing",)
        if "split" in options:
            keys: Keys = (*base, "split")
            chosen = section(options, "split")
            kind, column = as_text(chosen.get("type")) or "random", chosen.get("column")
            kind_at, column_at = (*keys, "type"), (*keys, "column")
            shares_at, shares = (*keys, "probabilities"), chosen.get("probabilities")
        else:
            kind, column = ("stratify", options["stratify"]) if options.get("stratify") else ("random", None)
            kind_at = column_at = (*base, "stratify")
            shares_at, shares = (*base, "split_probabilities"), options.get("split_probabilities")
            if shares is None and column is None:
                return
            if column is not None and column.value is None:
                self.job.carried(column_at, "data.split.method: random")
                kind, column = "random", None
        self._method(kind, kind_at, as_text(column), column_at, column)
        if shares is not None:
            self._shares(shares_at, shares)

    def _method(self, kind: str, kind_at: Keys, name: str | None, name_at: Keys, node: Node | None) -> None:
        """Set the method and its column; a random split where there is no counterpart."""
        job, split = self.job, ("data", "split")
        methods = {"random": "random", "stratify": "random", "fixed": "column", "datetime": "time"}
        if kind == "fixed":
            name = name or "split"
        needs = kind in ("stratify", "datetime", "hash")
        if (needs and name is None) or (name == self.target and kind != "stratify"):
            why = f"a {kind} split needs a column of its own: this one is random"
            job.changed(kind_at, (*split, "method"), why, "random")
            job.left_out(name_at, "a random split has no column")
            return
        if kind not in (*methods, "hash"):
            job.changed(kind_at, (*split, "method"), f"there is no split of the kind {kind}", "random")
            job.left_out(name_at, "a random split has no column")
            return
        job.carried(kind_at, (*split, "method"), methods.get(kind, "hash"))
        if name is None:
            return
        job.ask(name, node or job.root.value["preprocessing"].value["split"])
        self._split_column(kind, name, name_at, node)

    def _split_column(self, kind: str, name: str, name_at: Keys, node: Node | None) -> None:
        job, split = self.job, ("data", "split")
        if kind == "random":
            job.left_out(name_at, "a random split has no column")
        elif kind == "stratify":
            job.carried(name_at, (*split, "stratify"), True if name == self.target else name)
        elif kind == "hash":
            job.carried(name_at, ("data", "key"), name)
            self.reserved[name] = "it is data.key, which tells the parts: it cannot be a feature as well"
        else:
            job.carried(name_at, (*split, "column"), name)
        if kind == "fixed":
            for part, value in (("train", "0"), ("validation", "1"), ("test", "2")):
                job.put((*split, part), value)
            self.reserved[name] = "it is the column of the split: it cannot be a feature as well"

    def _shares(self, keys: Keys, node: Node) -> None:
        shares = [as_number(item) for item in node.value] if isinstance(node.value, list) else []
        numbers = [float(share) for share in shares if share is not None and 0 <= share <= 1e6]
        total = sum(numbers)
        held_out = [round(number / total, 6) for number in numbers[1:]] if total else []
        if self.job.spec["data"]["split"]["method"] == "column":
            self.job.left_out(keys, "the split column says the parts")
        elif len(shares) != 3 or len(held_out) != 2 or sum(held_out) >= 1:
            held = "" if isinstance(node.value, list) else f", not {kind_of(node)}"
            self.job.left_out(keys, f"it must be the shares of train, validation and test{held}")
        else:
            validation, test = held_out
            self.job.put(("data", "split", "validation"), validation)
            self.job.put(("data", "split", "test"), test)
            ours = f"data.split: validation {validation:g}, test {test:g}"
            if abs(total - 1) < 1e-6:
                self.job.carried(keys, ours)
            else:
                self.job.changed(keys, ours, f"the shares add up to {total:g}: they are scaled to 1")

    # What is measured.

    def _metric(self) -> None:
        options = section(self.config, self.trainer)
        field = options.get("validation_field")
        if field is not None:
            known = as_text(field) in (None, "combined", self.target, as_text(self.output[1]["name"]))
            if known:
                self.job.carried((self.trainer, "validation_field"), f"target: {self.target}")
            else:
                self.job.left_out((self.trainer, "validation_field"), f"the target is {self.target}")
        for key in ("validation_metric", "validation_measure"):
            if key in options:
                self._validation_metric((self.trainer, key), as_text(options[key]))

    def _validation_metric(self, keys: Keys, name: str | None) -> None:
        ours = _METRICS.get(name or "")
        if name in (None, "loss"):
            self.job.carried(keys, "always so: early stopping watches the loss of held-out rows")
        elif ours is None or self.job.spec["target"]["type"] not in METRICS[ours].tasks:
            task = self.job.spec["target"]["type"]
            fitting = ", ".join(metric for metric, found in METRICS.items() if task in found.tasks)
            self.job.left_out(keys, f"not a metric for this target; there are {fitting}")
        else:
            why = "it is the report's primary metric; early stopping watches the loss"
            self.job.changed(keys, ("evaluate", "metric"), why, ours)
