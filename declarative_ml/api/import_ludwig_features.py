"""Ludwig's input features as ours: types, missing values, scales; and what has no counterpart."""

from __future__ import annotations

from typing import Any

from declarative_ml.api.import_config import as_number, as_text, as_truth, mapping, section, text, where
from declarative_ml.api.import_conversion import Conversion
from declarative_ml.core.errors import UsageError
from declarative_ml.spec.positions import Node
from declarative_ml.spec.positions import Path as Keys
from declarative_ml.steps.profile import OUTPUTS

Options = dict[str, tuple[Keys, Node]]
"""Options by name: the feature's own, else those of its type, each with where it stands."""

FEATURE_TYPES = {
    "binary": "binary", "category": "category", "date": "date", "number": "number", "numerical": "number",
}  # fmt: skip
UNSUPPORTED = {
    "text": "there is no feature type for free text",
    "sequence": "there is no feature type for sequences",
    "image": "there is no feature type for images",
    "audio": "there is no feature type for sound",
    "video": "there is no feature type for video",
    "set": "there is no feature type for sets of values",
    "bag": "there is no feature type for bags of values",
    "vector": "a vector is no column: give each of its numbers a column of its own",
    "timeseries": "there is no feature type for series in a cell; lags can be columns, by data.sql",
    "h3": "there is no feature type for H3 cells",
    "anomaly": "there is no detection of anomalies without labels",
    "category_distribution": "a distribution over classes is no column of classes",
}
_FILLS = {"fill_with_mean": "mean", "fill_with_median": "median"}
_ORDERED = {"bfill", "ffill", "backfill", "pad"}
_SCALES = {"zscore": "standard", "minmax": "minmax", "iq": "robust"}
_ENCODERS = {
    "number": {"passthrough"},
    "binary": {"passthrough"},
    "category": {"dense", "embed"},
}
"""Encoders that do what an mlp does here."""
_ENCODED = {
    "number": "an mlp takes numbers as themselves and as ramps between quantiles (model.bins)",
    "binary": "an mlp takes the two values as -1 and +1",
    "category": "an mlp learns an embedding of each level (model.embedding_size)",
    "date": "a date becomes days, and month, weekday, day of year and hour on circles",
}
_ROLES = ("name", "type", "column", "preprocessing", "encoder")
_OTHERS = {
    "tied": "weights are not shared between features",
    "tied_weights": "weights are not shared between features",
    "proc_column": "it is Ludwig's own",
    "missing_value_strategy": "Ludwig reads it below preprocessing only",
}


def import_features(
    job: Conversion,
    inputs: list[Node],
    config: dict[str, Node],
    target: str,
    reserved: dict[str, str],
    model_type: str,
) -> list[tuple[Keys, Node]]:
    """Set `features`. Returns the embedding sizes that the config names, for the model.

    `reserved` says which columns cannot be features, and why. Raises UsageError when none is left.
    """
    features = _Features(job, config, {**reserved, target: "it is the target"}, model_type)
    for number, node in enumerate(inputs):
        features.add(("input_features", number), node)
    if not job.spec.get("features"):
        raise UsageError(
            f"{where(inputs[0])}: none of the input features has a counterpart",
            hint="features are of type number, category, binary or date",
        )
    features.rest()
    return features.sizes


class _Features:
    """The features so far."""

    def __init__(
        self, job: Conversion, config: dict[str, Node], reserved: dict[str, str], model_type: str
    ) -> None:
        self.job, self.reserved, self.model_type = job, reserved, model_type
        self.sizes: list[tuple[Keys, Node]] = []
        self.defaults = _defaults(config)

    def add(self, keys: Keys, node: Node) -> None:
        """Take one input feature, or say why not."""
        feature = mapping(node, "an input feature")
        name = text(feature, "name", node, "an input feature")
        kind = text(feature, "type", node, f"the feature '{name}'").lower()
        column = as_text(feature.get("column")) or name
        reason = self._refusal(kind, column)
        if reason is not None:
            self.job.left_out(keys, reason)
            return
        ours = FEATURE_TYPES[kind]
        self.reserved[column] = f"the column '{column}' is a feature already"
        self.job.ask(column, feature.get("column", feature["name"]))
        self.job.put(("features", column), {"type": ours})
        self._names(keys, feature, name, column, ours)
        self._preprocessing(keys, feature, column, ours)
        self._encoder(keys, feature, ours)
        for key in feature:
            if key not in _ROLES and key != "embedding_size":
                self.job.left_out((*keys, key), _OTHERS.get(key, "an option of Ludwig's encoder"))

    def _refusal(self, kind: str, column: str) -> str | None:
        if kind not in FEATURE_TYPES:
            return UNSUPPORTED.get(kind, f"there is no feature type {kind}")
        if column in OUTPUTS:
            return "the model's output has that name: rename the column in data.sql to use it"
        return self.reserved.get(column)

    def _names(self, keys: Keys, feature: dict[str, Node], name: str, column: str, ours: str) -> None:
        words = f"features: {column} ({ours})"
        for key in ("name", "column", "type"):
            if key in feature and (key != "name" or name == column):
                self.job.carried((*keys, key), words)
        if name != column:
            self.job.changed((*keys, "name"), words, "a feature is called by its column")

    def _preprocessing(self, keys: Keys, feature: dict[str, Node], column: str, kind: str) -> None:
        options: Options = dict(self.defaults.get(kind, {}))
        for key, node in section(feature, "preprocessing").items():
            options[key] = (*keys, "preprocessing", key), node
        if kind == "number":
            _Number(self.job, column, options, self.model_type).convert()
        for key, (path, node) in options.items():
            if kind == "category":
                _category(self.job, column, path, key, node)
            elif kind in ("binary", "date"):
                _plain(self.job, kind, column, path, key)

    def _encoder(self, keys: Keys, feature: dict[str, Node], kind: str) -> None:
        """The encoder, nested or, as it used to be, its name with its options beside it."""
        options: Options = {}
        if (node := feature.get("encoder")) is not None:
            nested = node.value if node.is_mapping else {"type": node}
            below: Keys = ("encoder",) if node.is_mapping else ()
            for key, child in nested.items():
                options[key] = (*keys, *below, key) if below else (*keys, "encoder"), child
        if "embedding_size" in feature:
            options["embedding_size"] = (*keys, "embedding_size"), feature["embedding_size"]
        self._encoder_options(kind, options)

    def _encoder_options(self, kind: str, options: Options) -> None:
        for key, (path, node) in options.items():
            if self.model_type == "gbm":
                self.job.left_out(path, "trees split on values and levels: there is no encoder")
            elif key == "type" and as_text(node) in _ENCODERS.get(kind, ()):
                self.job.carried(path, f"model: {_ENCODED[kind]}")
            elif key == "type":
                self.job.changed(path, f"model: encoding of a {kind}", _ENCODED[kind])
            elif key == "embedding_size" and kind == "category":
                self.sizes.append((path, node))
            else:
                self.job.left_out(path, "an option of Ludwig's encoder")

    def rest(self) -> None:
        """What is said for types that no feature has, and encoders of whole types."""
        for kind, child in self.defaults_encoders():
            self._encoder_options(kind, child)
        for top in ("defaults", "preprocessing"):
            for name, node in mapping(self.job.root, "the config").items():
                if name == top and node.is_mapping:
                    self._rest_of(top, node)

    def _rest_of(self, top: str, node: Node) -> None:
        used = {options["type"] for options in self.job.spec["features"].values()}
        for name in node.value:
            if FEATURE_TYPES.get(name) in used:
                self.job.left_out((top, name), f"no counterpart for this default of {name} features")
            elif name in FEATURE_TYPES or name in UNSUPPORTED:
                self.job.left_out((top, name), f"no feature of the type {name} is imported")
            elif top == "defaults":
                self.job.left_out((top, name), "it is no feature type")

    def defaults_encoders(self) -> list[tuple[str, Options]]:
        """The encoders in `defaults`, by our type; only of types that a feature has."""
        used = {options["type"] for options in self.job.spec["features"].values()}
        found: list[tuple[str, Options]] = []
        for name, node in section(mapping(self.job.root, "the config"), "defaults").items():
            kind = FEATURE_TYPES.get(name)
            if kind in used:
                encoder = section(mapping(node, name), "encoder")
                keys: Keys = ("defaults", name, "encoder")
                found.append((str(kind), {key: ((*keys, key), child) for key, child in encoder.items()}))
        return found


def _defaults(config: dict[str, Node]) -> dict[str, Options]:
    """Preprocessing for all features of a type: `defaults`, and `preprocessing` as it used to be."""
    found: dict[str, Options] = {}
    for name, node in section(config, "preprocessing").items():
        if name in FEATURE_TYPES:
            old = found.setdefault(FEATURE_TYPES[name], {})
            for key, child in mapping(node, f"preprocessing.{name}").items():
                old[key] = ("preprocessing", name, key), child
    for name, node in section(config, "defaults").items():
        if name in FEATURE_TYPES:
            new = found.setdefault(FEATURE_TYPES[name], {})
            for key, child in section(mapping(node, f"defaults.{name}"), "preprocessing").items():
                new[key] = ("defaults", name, "preprocessing", key), child
    return found


class _Number:
    """Preprocessing of a number: what a missing value becomes, and the scale."""

    def __init__(self, job: Conversion, column: str, options: Options, model_type: str) -> None:
        self.job, self.column, self.options, self.model_type = job, column, options, model_type

    def convert(self) -> None:
        strategy = as_text(self.options["missing_value_strategy"][1]) if self._has_strategy() else None
        for key, (path, node) in self.options.items():
            if key == "missing_value_strategy":
                self._strategy(path, strategy)
            elif key == "fill_value" and strategy in (None, "fill_with_const"):
                self._constant(path, node)
            elif key == "fill_value":
                self.job.left_out(path, f"without effect beside {strategy}")
            elif key == "normalization":
                self._scale(path, as_text(node))
            elif key == "computed_fill_value":
                self.job.left_out(path, "Ludwig computes it by itself")
            elif key in ("outlier_strategy", "outlier_threshold", "outlier_replacement_strategy"):
                self.job.left_out(path, "outliers stay; scale robust and quantile compress them")
            else:
                self.job.left_out(path, "no counterpart for this option of a number")

    def _has_strategy(self) -> bool:
        return "missing_value_strategy" in self.options

    def _put(self, option: str, value: Any, path: Keys, why: str = "") -> None:
        """Set an option of the feature; what stands for a whole type is told for all of them at once."""
        self.job.put(("features", self.column, option), value)
        whole_type = path[0] != "input_features"
        ours = f"{'features of type number' if whole_type else f'features.{self.column}'}: {option} {value}"
        if why:
            self.job.changed(path, ours, why)
        else:
            self.job.carried(path, ours)

    def _strategy(self, path: Keys, strategy: str | None) -> None:
        if strategy in _FILLS:
            self._put("missing", _FILLS[strategy], path)
        elif strategy in (None, "fill_with_const"):
            if "fill_value" not in self.options:
                self._put("missing", "zero", path)
            else:
                self.job.carried(path, "features: missing takes a number")
        elif strategy in _ORDERED:
            self._put("missing", "median", path, "the order of rows means nothing here")
        elif strategy == "drop_row":
            why = "no row is dropped for a missing feature; WHERE … IS NOT NULL in data.sql does that"
            self._put("missing", "median", path, why)
        else:
            self._put("missing", "median", path, f"numbers are not filled by {strategy}")

    def _constant(self, path: Keys, node: Node) -> None:
        value = as_number(node)
        if value is None or abs(value) > 1e38:
            self.job.left_out(path, "missing takes a number")
        elif value == 0:
            self._put("missing", "zero", path)
        else:
            self._put("missing", value, path)

    def _scale(self, path: Keys, name: str | None) -> None:
        if self.model_type == "gbm":
            self.job.left_out(path, "trees need no scale")
        elif name in _SCALES:
            self._put("scale", _SCALES[name], path)
        elif name == "log1p":
            self._put("scale", "quantile", path, "by rank instead of log: a long tail is compressed too")
        else:
            why = "unscaled numbers spoil a neural network; scale none would keep them as they are"
            self._put("scale", "robust", path, why)


def _category(job: Conversion, column: str, path: Keys, key: str, node: Node) -> None:
    """One option of a category's preprocessing."""
    number = as_number(node)
    if key == "most_common" and isinstance(number, int) and 1 <= number <= 100_000:
        job.put(("features", column, "max_levels"), number)
        job.carried(path, f"features: max_levels {number}")
    elif key == "most_common" and node.value is None:
        job.carried(path, "features: max_levels as it is when absent")
    elif key == "missing_value_strategy" and as_text(node) in (None, "fill_with_const"):
        job.carried(path, "always so: a missing value is a level of its own")
    elif key == "missing_value_strategy":
        job.changed(path, "features: a missing value is a level of its own", "categories are not filled")
    elif key == "fill_value":
        job.carried(path, "always so: a missing value is a level of its own")
    elif key == "lowercase" and not as_truth(node):
        job.carried(path, "always so: levels are kept as they are written")
    elif key == "lowercase":
        job.left_out(path, "levels are kept as they are written; lower(…) in data.sql changes them")
    elif key == "most_common_percentile":
        job.left_out(path, "levels are limited by max_levels and min_count, not by a share")
    elif key == "computed_fill_value":
        job.left_out(path, "Ludwig computes it by itself")
    else:
        job.left_out(path, "no counterpart for this option of a category")


def _plain(job: Conversion, kind: str, column: str, path: Keys, key: str) -> None:
    """One option of the preprocessing of a binary or a date, whose features have no options."""
    if key in ("missing_value_strategy", "fill_value"):
        job.changed(path, f"features: a missing {kind} stays missing", f"a {kind} is not filled")
    elif key == "datetime_format":
        job.left_out(path, "the pattern of a date is found in the data")
    elif key == "fallback_true_label":
        job.left_out(path, "which of the two values counts as true makes no difference to a feature")
    else:
        job.left_out(path, f"a {kind} feature has no options")
