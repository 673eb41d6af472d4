"""Ludwig's input features as ours: types, missing values, scales; and what has no counterpart."""

from __future__ import annotations

from typing import Any

from declarative_ml.api.import_config import as_number, as_text, as_truth, mapping, section, text, where
from declarative_ml.api.import_conversion import NO_DROP, Conversion
from declarative_ml.api.import_ludwig_absent import leave_out
from declarative_ml.api.import_ludwig_text import text_option
from declarative_ml.core.errors import UsageError
from declarative_ml.spec.positions import Node
from declarative_ml.spec.positions import Path as Keys
from declarative_ml.steps.profile import OUTPUTS

Options = dict[str, tuple[Keys, Node]]
"""Options by name: the feature's own, else those of its type, each with where it stands."""

FEATURE_TYPES = {
    "binary": "binary", "category": "category", "date": "date", "number": "number", "numerical": "number",
    "text": "text",
}  # fmt: skip
UNSUPPORTED = {
    "text": "free text is no target: no text is written here",
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
_OUTLIERS = ("outlier_strategy", "outlier_threshold", "outlier_replacement_strategy")
_ORDERED = {"bfill", "ffill", "backfill", "pad"}
_SCALES = {"zscore": "standard", "minmax": "minmax", "iq": "robust"}
_TEXT = "a text becomes its words and pairs of words, weighed by TF-IDF: no network reads it"
_ENCODERS = {
    "mlp": {
        "number": "an mlp takes numbers as themselves and as ramps between quantiles (model.bins)",
        "binary": "an mlp takes the two values as -1 and +1",
        "category": "an mlp learns an embedding of each level (model.embedding_size)",
        "date": "a date becomes days, and month, weekday, day of year and hour on circles",
        "text": _TEXT,
    },
    "linear": {
        "number": "a linear model weighs each number as it is scaled",
        "binary": "a linear model takes the two values as -1 and +1",
        "category": "a linear model has a weight for each level",
        "date": "a date becomes days, and month, weekday, day of year and hour on circles",
        "text": _TEXT,
    },
    "lightgbm": {
        "number": "trees split on the values themselves",
        "binary": "trees split on the two values",
        "category": "trees split on sets of levels",
        "date": "a date becomes days, year, month, day, weekday, day of year and hour",
        "text": _TEXT,
    },
}
"""What our models make of a feature, by model and type."""
_SAME_ENCODERS: dict[str, dict[str, tuple[str, ...]]] = {
    "mlp": {
        "number": ("passthrough", "ple"), "binary": ("passthrough",), "category": ("dense", "embed"),
        "text": ("tf_idf",),
    },
    "linear": {
        "number": ("passthrough",), "binary": ("passthrough",), "category": ("sparse", "onehot"),
        "text": ("tf_idf",),
    },
    "lightgbm": {
        "number": ("passthrough",), "binary": ("passthrough",), "category": ("passthrough",),
        "text": ("tf_idf",),
    },
}  # fmt: skip
"""Ludwig's encoders that do the same."""
SIZES_OF_ENCODERS = {"embedding_size": ("category", "embedding_size"), "num_bins": ("number", "bins")}
"""Encoders' options that are one option of the mlp: of which type, and ours."""
_OF_ENCODER = "an option of Ludwig's encoder"
_ROLES = ("name", "type", "column", "preprocessing", "encoder")
_OLD_SIZES = ("embedding_size",)
"""Options of an encoder that used to stand beside its name."""
_OTHERS = {
    "tied": "weights are not shared between features",
    "tied_weights": "weights are not shared between features",
    "proc_column": "it is Ludwig's own",
    "missing_value_strategy": "Ludwig reads it below preprocessing only",
}


Sizes = list[tuple[str, Keys, Node]]
"""Options of the mlp that encoders name: ours, and where each stands with its value."""


def import_features(
    job: Conversion, inputs: list[Node], config: dict[str, Node], reserved: dict[str, str], model: str
) -> Sizes:
    """Set `features`. Returns what the encoders say about the options of the model, an mlp.

    `reserved` says which columns cannot be features, and why. Raises UsageError when none is left.
    """
    features = _Features(job, config, dict(reserved), model)
    for number, node in enumerate(inputs):
        features.add(("input_features", number), node)
    if not job.spec.get("features"):
        raise UsageError(
            f"{where(inputs[0])}: none of the input features has a counterpart",
            hint="features are of type number, category, binary, date or text",
        )
    features.default_encoders()
    return features.sizes


class _Features:
    """The features so far."""

    def __init__(
        self, job: Conversion, config: dict[str, Node], reserved: dict[str, str], model: str
    ) -> None:
        self.job, self.config, self.reserved, self.model = job, config, reserved, model
        self.sizes: Sizes = []
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
        carry_names(
            self.job, keys, feature, f"features: {column} ({ours})", "a feature is called by its column"
        )
        self._preprocessing(keys, feature, column, ours)
        self._encoder(keys, feature, ours)
        for key in feature:
            if key not in _ROLES and key not in _OLD_SIZES:
                leave_out(self.job, (*keys, key), feature[key], _OTHERS.get(key, _OF_ENCODER))

    def _refusal(self, kind: str, column: str) -> str | None:
        if kind not in FEATURE_TYPES:
            return UNSUPPORTED.get(kind, f"there is no feature type {kind}")
        if column in OUTPUTS:
            return "the model's output has that name: rename the column in data.sql to use it"
        return self.reserved.get(column)

    def _preprocessing(self, keys: Keys, feature: dict[str, Node], column: str, kind: str) -> None:
        options: Options = dict(self.defaults.get(kind, {}))
        for key, node in section(feature, "preprocessing").items():
            options[key] = (*keys, "preprocessing", key), node
        if kind == "number":
            _Number(self.job, column, options, self.model).convert()
        for key, (path, node) in options.items():
            if kind == "category":
                _category(self.job, column, path, key, node)
            elif kind == "text":
                text_option(self.job, column, path, key, node, options)
            elif kind in ("binary", "date"):
                _plain(self.job, kind, path, key, node)

    def _encoder(self, keys: Keys, feature: dict[str, Node], kind: str) -> None:
        """The encoder, nested or, as it used to be, its name with its options beside it."""
        node = feature.get("encoder")
        if node is not None and node.is_mapping:
            self._encoder_options(kind, (*keys, "encoder"), node.value)
        elif node is not None:
            self._encoder_type((*keys, "encoder"), kind, node)
        self._encoder_options(kind, keys, {key: feature[key] for key in _OLD_SIZES if key in feature})

    def _encoder_options(self, kind: str, keys: Keys, options: dict[str, Node]) -> None:
        for key, node in options.items():
            path = (*keys, key)
            if key == "type":
                self._encoder_type(path, kind, node)
            elif self.model == "mlp" and key in SIZES_OF_ENCODERS and SIZES_OF_ENCODERS[key][0] == kind:
                self.sizes.append((SIZES_OF_ENCODERS[key][1], path, node))
            else:
                leave_out(self.job, path, node, _OF_ENCODER)

    def _encoder_type(self, path: Keys, kind: str, node: Node) -> None:
        what = _ENCODERS[self.model][kind]
        if as_text(node) in _SAME_ENCODERS[self.model].get(kind, ()):
            self.job.carried(path, f"model: {what}")
        else:
            self.job.changed(path, f"model: encoding of a {kind}", what)

    def default_encoders(self) -> None:
        """The encoders of whole types that a feature has."""
        used = _used(self.job)
        for name, node in section(self.config, "defaults").items():
            kind = FEATURE_TYPES.get(name)
            if kind in used:
                encoder = section(mapping(node, name), "encoder")
                self._encoder_options(str(kind), ("defaults", name, "encoder"), encoder)


def carry_names(job: Conversion, keys: Keys, feature: dict[str, Node], ours: str, why: str) -> None:
    """The verdict on a feature's `name`, `column` and `type`; `why` where the two names differ."""
    name, column = as_text(feature["name"]), as_text(feature.get("column"))
    if column not in (None, "", name):
        job.changed((*keys, "name"), ours, why)
    for key in ("name", "column", "type"):
        job.carried((*keys, key), ours)


def leave_out_defaults(job: Conversion, config: dict[str, Node]) -> None:
    """What is said for whole types and has no verdict yet, when all else has one."""
    used = _used(job)
    for top in ("defaults", "preprocessing"):
        for name in section(config, top):
            if FEATURE_TYPES.get(name) in used:
                overridden = (top, name, "preprocessing") if top == "defaults" else (top, name)
                job.left_out(overridden, f"each {name} feature says it otherwise")
                job.left_out((top, name), f"no counterpart for this default of {name} features")
            elif name in FEATURE_TYPES or name in UNSUPPORTED:
                job.left_out((top, name), f"no feature of the type {name} is imported")
            elif top == "defaults":
                job.left_out((top, name), "it is no feature type")


def _used(job: Conversion) -> set[str]:
    """The types that a feature of the spec has."""
    return {options["type"] for options in job.spec["features"].values()}


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

    def __init__(self, job: Conversion, column: str, options: Options, model: str) -> None:
        self.job, self.column, self.options, self.model = job, column, options, model

    def convert(self) -> None:
        """A verdict on each option, and the feature's own options."""
        _, stated = self.options.get("missing_value_strategy", ((), None))
        unsaid = stated is None or stated.value is None
        strategy = "fill_with_const" if unsaid else str(as_text(stated))
        for key, (path, node) in self.options.items():
            if key == "missing_value_strategy":
                self._strategy(path, strategy)
            elif key == "fill_value" and strategy == "fill_with_const":
                self._constant(path, node)
            elif key == "fill_value":
                self.job.left_out(path, f"without effect beside {strategy}")
            elif key == "normalization":
                self._scale(path, as_text(node))
            elif key == "computed_fill_value":
                self.job.left_out(path, "Ludwig computes it by itself")
            elif key in _OUTLIERS:
                why = "outliers stay; scale robust and quantile compress them"
                leave_out(self.job, path, node, why)
            else:
                self.job.left_out(path, "no counterpart for this option of a number")

    def _put(self, option: str, value: Any, path: Keys, why: str = "") -> None:
        """Set an option of the feature; what stands for a whole type is told for all of them at once."""
        self.job.put(("features", self.column, option), value)
        whole_type = path[0] != "input_features"
        ours = f"{'features of type number' if whole_type else f'features.{self.column}'}: {option} {value}"
        if why:
            self.job.changed(path, ours, why)
        else:
            self.job.carried(path, ours)

    def _strategy(self, path: Keys, strategy: str) -> None:
        if strategy in _FILLS:
            self._put("missing", _FILLS[strategy], path)
        elif strategy == "fill_with_const" and "fill_value" in self.options:
            self.job.carried(path, "features: missing, a number; see fill_value")
        elif strategy == "fill_with_const":
            self._put("missing", "zero", path)
        elif strategy in _ORDERED:
            self._put("missing", "median", path, "the order of rows means nothing here")
        elif strategy == "drop_row":
            self._put("missing", "median", path, NO_DROP)
        else:
            self._put("missing", "median", path, f"numbers are not filled by {strategy}")

    def _constant(self, path: Keys, node: Node) -> None:
        value = as_number(node)
        if value is None or abs(value) > 1e38:
            self._put("missing", "zero", path, "it is no number that a column can hold")
        elif value == 0:
            self._put("missing", "zero", path)
        else:
            self._put("missing", value, path)

    def _scale(self, path: Keys, name: str | None) -> None:
        if self.model == "lightgbm":
            self.job.left_out(path, "trees need no scale")
        elif name in _SCALES:
            self._put("scale", _SCALES[name], path)
        elif name == "log1p":
            self._put("scale", "quantile", path, "by rank instead of log: a long tail is compressed too")
        else:
            why = "unscaled numbers spoil the fit; scale none would keep them as they are"
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
        why = NO_DROP if as_text(node) == "drop_row" else "categories are not filled"
        job.changed(path, "features: a missing value is a level of its own", why)
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


def _plain(job: Conversion, kind: str, path: Keys, key: str, node: Node) -> None:
    """One option of the preprocessing of a binary or a date, whose features have no options."""
    if key in ("missing_value_strategy", "fill_value"):
        why = NO_DROP if as_text(node) == "drop_row" else f"a {kind} is not filled"
        job.changed(path, f"features: a missing {kind} stays missing", why)
    elif key == "datetime_format":
        job.left_out(path, "the pattern of a date is found in the data")
    elif key == "fallback_true_label":
        job.left_out(path, "which of the two values counts as true makes no difference to a feature")
    else:
        job.left_out(path, f"a {kind} feature has no options")
