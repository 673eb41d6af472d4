"""Trees as nested CASE: a NULL takes ELSE, so the branch that missing values take is always written there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from declarative_ml.formats.sqltext.expressions import Expression, chained, literal, number
from declarative_ml.formats.sqltext.values import Values, shortest
from declarative_ml.graph.tree_ensemble import BRANCH_MEMBER, member_sets

if TYPE_CHECKING:
    import numpy as np

_OPERATORS = ("<=", "<", ">=", ">", "=", "<>")
"""By the number of a node's mode."""
_OPPOSITES = (">", ">=", "<", "<=", "<>", "=")


def add_trees(values: Values, tensor: np.ndarray, options: Mapping[str, Any]) -> np.ndarray:
    """The sums of the leaves, [1, targets]. The features become columns, as float32 has them."""
    import numpy as np

    targets = int(options.get("n_targets", 1))
    trees = _Trees(values, [values.rounded(value) for value in tensor[0]], options)
    sums: list[list[tuple[str | Expression, ...]]] = [[] for _ in range(targets)]
    for root in options["tree_roots"]:
        for target in trees.targets(root):
            sums[target].append(trees.tree(root, target))
    out = np.empty((1, targets), dtype=object)
    for target, terms in enumerate(sums):
        out[0, target] = values.make("float32", chained(terms, "\n  + "), nullable=False) if terms else 0.0
    return out


class _Trees:
    """A TreeEnsemble's attributes, and its trees one by one."""

    def __init__(self, values: Values, features: list[Any], options: Mapping[str, Any]) -> None:
        from onnx import numpy_helper

        self._dialect = values.dialect
        self._features = features
        self._names: list[tuple[str | Expression, ...]] = []
        for value in features:
            if isinstance(value, Expression):
                value.column = True
            self._names.append(values.text(value, "float32"))
        arrays = {
            name: numpy_helper.to_array(options[name]).tolist() if name in options else []
            for name in ("nodes_modes", "nodes_splits", "leaf_weights")
        }
        self._options = options
        self._modes: list[int] = arrays["nodes_modes"]
        self._splits: list[float] = arrays["nodes_splits"]
        self._weights: list[float] = arrays["leaf_weights"]
        self._missing = options.get("nodes_missing_value_tracks_true") or [0] * len(self._modes)
        members = options.get("membership_values")
        sets = iter(member_sets(None if members is None else numpy_helper.to_array(members)))
        self._members = {
            node: next(sets).tolist() for node, mode in enumerate(self._modes) if mode == BRANCH_MEMBER
        }

    def targets(self, root: int) -> list[int]:
        """The targets that a tree's leaves add to."""
        found, todo = set(), [(root, False)]
        while todo:
            place, is_leaf = todo.pop()
            if is_leaf:
                found.add(self._options["leaf_targetids"][place])
            else:
                todo += [self._child(place, side) for side in ("true", "false")]
        return sorted(found)

    def tree(self, root: int, target: int) -> tuple[str | Expression, ...]:
        """One tree's leaf for `target`, without recursion: trees may be deeper than Python's stack."""
        parts: list[str | Expression] = []
        texts: list[str] = []
        todo: list[str | tuple[int, bool]] = [(root, False)]

        def flush() -> None:
            if texts:
                parts.append("".join(texts))
                texts.clear()

        while todo:
            item = todo.pop()
            if isinstance(item, str):
                texts.append(item)
            elif item[1]:
                texts.append(self._leaf(item[0], target))
            else:
                before, feature, behind, then, other = self._test(item[0])
                texts.append(before)
                for piece in feature:
                    if isinstance(piece, str):
                        texts.append(piece)
                    else:
                        flush()
                        parts.append(piece)
                texts.append(behind)
                todo += [" END", other, " ELSE ", then]
        flush()
        return tuple(parts)

    def _child(self, node: int, side: str) -> tuple[int, bool]:
        """The number of a node or of a leaf, and whether it is a leaf."""
        place = self._options[f"nodes_{side}nodeids"][node]
        return place, bool(self._options[f"nodes_{side}leafs"][node])

    def _leaf(self, leaf: int, target: int) -> str:
        here = self._options["leaf_targetids"][leaf] == target
        return literal(shortest(self._weights[leaf]) if here else 0.0, "float32", self._dialect)

    def _test(self, node: int) -> tuple[str, tuple[str | Expression, ...], str, Any, Any]:
        """`CASE WHEN `, the feature, ` <= 1.5 THEN `, and the two children."""
        feature = self._names[self._options["nodes_featureids"][node]]
        then, other = self._child(node, "true"), self._child(node, "false")
        turned = bool(self._missing[node])
        mode = self._modes[node]
        if mode == BRANCH_MEMBER:
            listed = ", ".join(number(value) for value in self._members[node])
            test = f" {'NOT ' if turned else ''}IN ({listed}) THEN "
        else:
            test = f" {(_OPPOSITES if turned else _OPERATORS)[mode]} {_split(self._splits[node], mode)} THEN "
        return "CASE WHEN ", feature, test, *((other, then) if turned else (then, other))


def _split(value: float, mode: int) -> str:
    """The shortest decimal that parts the float32 numbers as `value` does."""
    import numpy as np

    if not np.isfinite(value):
        return f"'{'-' if value < 0 else ''}Infinity'"
    exact = np.float32(value)
    if mode in (0, 3):
        low, high = float(exact), float(np.nextafter(exact, np.float32(np.inf)))
        fits = [digits for digits in _rounded(value) if low <= digits < high]
    elif mode in (1, 2):
        low, high = float(np.nextafter(exact, np.float32(-np.inf))), float(exact)
        fits = [digits for digits in _rounded(value) if low < digits <= high]
    else:
        fits = []
    return number(fits[0] if fits else float(exact))


def _rounded(value: float) -> Iterator[float]:
    for digits in range(1, 12):
        yield float(f"{value:.{digits}g}")
