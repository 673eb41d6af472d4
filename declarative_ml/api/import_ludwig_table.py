"""Ludwig's preprocessing of the whole table: the split, samples of the rows, and their balance."""

from __future__ import annotations

from declarative_ml.api.import_config import as_number, as_text, as_truth, kind_of, section
from declarative_ml.api.import_conversion import KEPT_SHARES, Conversion
from declarative_ml.api.import_ludwig_features import FEATURE_TYPES, UNSUPPORTED
from declarative_ml.spec.positions import Node
from declarative_ml.spec.positions import Path as Keys

_SPLIT: Keys = ("data", "split")
_METHODS = {"random": "random", "stratify": "random", "fixed": "column", "datetime": "time", "hash": "hash"}
_NEED_COLUMN = ("stratify", "datetime", "hash")
_PARTS = {"train": "0", "validation": "1", "test": "2"}
"""How the column of a fixed split marks the rows."""


def import_table(job: Conversion, config: dict[str, Node], target: str) -> dict[str, str]:
    """Set `data.split`, `data.key` and `imbalance`.

    Returns the columns that cannot be features any more, each with the reason.
    """
    options = section(config, "preprocessing")
    table = _Table(job, target)
    table.split(options)
    for key, node in options.items():
        if key not in FEATURE_TYPES and key not in UNSUPPORTED:
            table.option(("preprocessing", key), key, node)
    return table.reserved


class _Table:
    """The options of the table so far."""

    def __init__(self, job: Conversion, target: str) -> None:
        self.job, self.target = job, target
        self.reserved: dict[str, str] = {}

    def option(self, path: Keys, key: str, node: Node) -> None:
        """The verdict on one option beside those of the split, which has one already."""
        value = as_number(node)
        if key in ("sample_ratio", "sample_size") and (value == 1 or node.value is None):
            self.job.carried(path, "always so: all rows are used")
        elif key in ("sample_ratio", "sample_size"):
            self.job.left_out(path, "all rows are used; give a smaller file, or filter in data.sql")
        elif key in ("oversample_minority", "undersample_majority") and value is None:
            self.job.carried(path, "imbalance: none")
        elif key == "oversample_minority":
            why = "" if value == 1 else "rare classes are drawn until all count equally"
            self.job.balance(path, "oversample", why)
        elif key == "undersample_majority":
            why = "no row is thrown away: with weights, all classes count equally"
            self.job.balance(path, "weights", why)
        elif key == "force_split" and as_truth(node):
            self.job.carried(path, "data.split: a column named split is not looked for")
        elif key == "force_split":
            why = "a column named split is not looked for; data.split {method: column} names one"
            self.job.left_out(path, why)
        elif key == "split":
            self.job.left_out(path, "no counterpart for this option of the split")
        else:
            self.job.left_out(path, "no counterpart for this option of the whole table")

    def split(self, options: dict[str, Node]) -> None:
        """The split, in its new and its old spelling."""
        base: Keys = ("preprocessing",)
        if "split" in options:
            chosen, below = section(options, "split"), (*base, "split")
            self._method(
                as_text(chosen.get("type")) or "random", (*below, "type"),
                chosen.get("column"), (*below, "column"), options["split"],
            )  # fmt: skip
            self._shares((*below, "probabilities"), chosen.get("probabilities"))
        elif (by := options.get("stratify")) is not None and by.value is not None:
            at = (*base, "stratify")
            self._method("stratify", at, by, at, by)
            self._shares((*base, "split_probabilities"), options.get("split_probabilities"))
        else:
            self.job.carried((*base, "stratify"), "data.split.method: random")
            self._shares((*base, "split_probabilities"), options.get("split_probabilities"))

    def _method(self, kind: str, kind_at: Keys, column: Node | None, column_at: Keys, whole: Node) -> None:
        """Set the method and its column; a random split where there is no counterpart."""
        job, name = self.job, as_text(column) or ("split" if kind == "fixed" else None)
        refused = None
        if kind not in _METHODS:
            refused = f"there is no split of the kind {kind}"
        elif (kind in _NEED_COLUMN and name is None) or (name == self.target and kind != "stratify"):
            refused = f"a {kind} split needs a column of its own: this one is random"
        if refused is not None:
            job.changed(kind_at, (*_SPLIT, "method"), refused, "random")
        elif kind == "random":
            job.changed(kind_at, (*_SPLIT, "method"), KEPT_SHARES, "random")
        else:
            job.carried(kind_at, (*_SPLIT, "method"), _METHODS[kind])
        if name is None or refused is not None or kind == "random":
            job.left_out(column_at, "a random split has no column")
            return
        job.ask(name, column or whole)
        self._column(kind, name, column_at)

    def _column(self, kind: str, name: str, at: Keys) -> None:
        if kind == "stratify":
            self.job.carried(at, (*_SPLIT, "stratify"), True if name == self.target else name)
        elif kind == "hash":
            self.job.carried(at, ("data", "key"), name)
            self.reserved[name] = "it is data.key, which tells the parts: it cannot be a feature as well"
        else:
            self.job.carried(at, (*_SPLIT, "column"), name)
        if kind == "fixed":
            for part, mark in _PARTS.items():
                self.job.put((*_SPLIT, part), mark)
            self.reserved[name] = "it is the column of the split: it cannot be a feature as well"

    def _shares(self, keys: Keys, node: Node | None) -> None:
        if node is None:
            return
        shares = [as_number(item) for item in node.value] if isinstance(node.value, list) else []
        numbers = [float(share) for share in shares if share is not None and 0 <= share <= 1e6]
        total = sum(numbers)
        held_out = [round(number / total, 6) for number in numbers[1:]] if total else []
        method = self.job.spec["data"].get("split", {}).get("method", "random")
        if method == "column":
            self.job.left_out(keys, "the split column says the parts")
        elif len(shares) != 3 or len(held_out) != 2 or sum(held_out) >= 1:
            held = "" if isinstance(node.value, list) else f", not {kind_of(node)}"
            self.job.left_out(keys, f"it must be the shares of train, validation and test{held}")
        else:
            self._set_shares(keys, method, held_out, total)

    def _set_shares(self, keys: Keys, method: str, held_out: list[float], total: float) -> None:
        validation, test = held_out
        self.job.put((*_SPLIT, "method"), method)
        self.job.put((*_SPLIT, "validation"), validation)
        self.job.put((*_SPLIT, "test"), test)
        ours = f"data.split: validation {validation:g}, test {test:g}"
        if abs(total - 1) < 1e-6:
            self.job.carried(keys, ours)
        else:
            self.job.changed(keys, ours, f"the shares add up to {total:g}: they are scaled to 1")
