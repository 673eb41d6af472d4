"""The operators on texts, and the tables from texts or numbers to texts or numbers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from declarative_ml.formats.tf.node import Node, Operator

_MARK = "\x01"
"""Stands around every token for a moment; texts lose it first, since it separates tokens anyway."""
_KINDS = ("strings", "int64s", "floats")
_DEFAULTS = {"strings": "_Unused", "int64s": -1, "floats": -0.0}
"""Of ai.onnx.ml's LabelEncoder."""


def _label_encoder(node: Node) -> Any:
    tf, value = node.tf, node.tensor(0)
    keys, _ = _table_part(node, "keys")
    values, kind = _table_part(node, "values")
    default = node.attributes.get(f"default_{kind[:-1]}", _DEFAULTS[kind])
    if value.dtype.is_integer and list(keys) == list(range(len(keys))):
        return _at(node, value, values, default)
    if node.lite or value.dtype.is_floating:
        raise node.refuse("other keys than 0, 1, 2 …" if node.lite else "keys that are fractions")
    dtype = {"strings": tf.string, "int64s": tf.int64, "floats": tf.float32}[kind]
    firsts = _without_repeats(keys)
    source = tf.lookup.KeyValueTensorInitializer(
        tf.constant(keys[firsts], value.dtype), tf.constant(values[firsts], dtype)
    )
    table = tf.lookup.StaticHashTable(source, tf.constant(default, dtype))
    node.translation.resources.append(table)
    return table.lookup(value)


def _at(node: Node, value: Any, values: np.ndarray, default: Any) -> Any:
    """The value whose number is `value`: no table is needed."""
    import numpy as np

    tf, count = node.tf, len(values)
    rows = tf.constant(np.append(values, np.array([default], dtype=values.dtype)))
    inside = (value >= 0) & (value < count)
    return tf.gather(rows, tf.where(inside, value, tf.constant(count, value.dtype)))


def _table_part(node: Node, part: str) -> tuple[np.ndarray, str]:
    """The keys or values with their kind."""
    import numpy as np

    for kind in _KINDS:
        if f"{part}_{kind}" in node.attributes:
            given = node.attributes[f"{part}_{kind}"]
            dtype: Any = {"strings": object, "int64s": np.int64, "floats": np.float32}[kind]
            return np.array(given, dtype=dtype), kind
    raise node.refuse(f"{part} as a tensor")


def _without_repeats(keys: np.ndarray) -> list[int]:
    """The place of each key's first entry."""
    firsts: dict[Any, int] = {}
    for place, key in enumerate(keys.tolist()):
        firsts.setdefault(key, place)
    return list(firsts.values())


def _string_concat(node: Node) -> Any:
    """The old Add is the one that broadcasts texts."""
    return node.tf.raw_ops.Add(x=node.tensor(0), y=node.tensor(1))


def _string_normalizer(node: Node) -> Any:
    attributes, tf = node.attributes, node.tf
    case = attributes.get("case_change_action", "NONE")
    if attributes.get("stopwords"):
        raise node.refuse("stopwords")
    if case == "NONE":
        return tf.identity(node.tensor(0))
    if attributes.get("locale") not in ("C", "POSIX"):
        raise node.refuse(f"the locale {attributes.get('locale') or 'en_US'}: only C is the same everywhere")
    return (tf.strings.lower if case == "LOWER" else tf.strings.upper)(node.tensor(0))


def _string_split(node: Node) -> Any:
    """The pieces, as many columns as the most that a text has, and how many each has."""
    tf, value = node.tf, node.tensor(0)
    delimiter = node.attributes.get("delimiter", "")
    if "maxsplit" in node.attributes:
        raise node.refuse("maxsplit")
    flat = tf.reshape(value, [-1])
    pieces = tf.strings.split(flat, delimiter or None)
    counts = pieces.row_lengths()
    if delimiter:
        # Of an empty text TensorFlow makes one empty piece, ONNX none.
        counts = tf.where(tf.equal(flat, ""), tf.zeros_like(counts), counts)
    most = tf.cast(tf.reduce_max(tf.concat([counts, [0]], axis=0)), tf.int32)
    table = pieces.to_tensor("")[:, :most]
    shape = tf.shape(value)
    return [tf.reshape(table, tf.concat([shape, [most]], axis=0)), tf.reshape(counts, shape)]


def _regex_full_match(node: Node) -> Any:
    return node.tf.strings.regex_full_match(node.tensor(0), node.attributes["pattern"])


def _tokenizer(node: Node) -> Any:
    """The matches of `tokenexp` in each text, [.., most]."""
    tf, attributes = node.tf, node.attributes
    expression = attributes.get("tokenexp")
    if not expression or attributes.get("mark", 0) or attributes.get("mincharnum", 1) > 1:
        raise node.refuse("separators, mark or mincharnum")
    if re.search(expression, _MARK):
        raise node.refuse("a tokenexp that matches U+0001")
    value = node.tensor(0)
    text = tf.strings.regex_replace(value, _MARK, " ")
    marked = tf.strings.regex_replace(text, f"({expression})", rf"{_MARK}\1{_MARK}")
    # What was between two tokens alternates with the tokens.
    pieces = tf.strings.split(marked, _MARK)
    return pieces[..., 1::2].to_tensor(attributes.get("pad_value", ""))


TEXT_OPERATORS: dict[str, Operator] = {
    "LabelEncoder": _label_encoder,
    "RegexFullMatch": _regex_full_match,
    "StringConcat": _string_concat,
    "StringNormalizer": _string_normalizer,
    "StringSplit": _string_split,
    "Tokenizer": _tokenizer,
}
