"""How a value of the wrong kind was probably meant, and examples of right ones."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from pydantic.fields import FieldInfo

from declarative_ml.features import FEATURES
from declarative_ml.learning.metric_names import METRICS
from declarative_ml.spec.letters import odd_letter, plain
from declarative_ml.spec.positions import Path, dotted
from declarative_ml.spec.right_values import EXAMPLES
from declarative_ml.spec.shapes import field_at, place_of
from declarative_ml.spec.yaml_reader import resolve_scalar

TRUTH = {
    **dict.fromkeys(("yes", "on", "y", "true", "1"), "true"),
    **dict.fromkeys(("no", "off", "n", "false", "0", "never", "none"), "false"),
}
"""What people and older YAML write for true and false."""

_UNSET = {"auto", "default", "none", "null", "nil", "all", "max", "unlimited", "n/a", "-", "automatic", "inf"}


@dataclass(frozen=True)
class Wrong:
    """A value that is not of the kind that its place wants."""

    value: Any
    path: Path
    data: Any
    """The whole document."""
    kinds: Sequence[str]
    """What is wanted, in words: "a number", "a list", …"""
    choices: Sequence[str] = ()
    quoted: bool = False
    several_lines: bool = False

    @property
    def name(self) -> str:
        """Its own key."""
        return next((str(part) for part in reversed(self.path) if isinstance(part, str)), "")

    @property
    def is_number(self) -> bool:
        """Whether a number is wanted."""
        return bool({"a number", "a whole number"} & set(self.kinds))


def hint_for(wrong: Wrong) -> str:
    """The way out: the value as it was probably meant, else an example or what the key is for."""
    guesses = (_truth, _number, _a_list, _a_text, _a_mapping)
    return next((hint for guess in guesses if (hint := guess(wrong))), None) or about(wrong.path, wrong.data)


def about(path: Path, data: Any) -> str:
    """An example of what may stand at `path` and what holds when nothing does."""
    field, place = field_at(data, path), place_of(path)
    name = dotted(path[-1:]) if path and isinstance(path[-1], str) else ""
    value = None if field is None else field.default
    if place == "features.*":
        return f"for example {name}: number"
    if place == "tune.space.*":
        return f"for example {name}: {{low: 0.01, high: 0.3}}, or {{choices: [VALUE, VALUE]}}"
    if place == "evaluate.gates.*":
        return f"for example {name}: {{metric: roc_auc, min: 0.8}}"
    if name and isinstance(value, bool | int | float | str) and value != "":
        return f"for example {name}: {str(value).lower() if isinstance(value, bool) else value}"
    example = EXAMPLES.get(place) or EXAMPLES.get(place.removesuffix("[]"))
    absent = _when_absent(field)
    if example:
        return f"for example {example}" + (f"; {absent}" if absent and value is None else "")
    if field is None:
        return "`dml schema` and docs/reference.md list what may stand here"
    return f"{name}: {field.description}" if name else str(field.description)


def _when_absent(field: FieldInfo | None) -> str:
    """What a field's description says of its absence."""
    clauses = re.split(r"; |\. ", field.description or "") if field is not None else []
    found = next((clause for clause in clauses if "absent" in clause.lower()), "")
    return found[:1].lower() + found[1:]


def _truth(wrong: Wrong) -> str | None:
    if "true or false" not in wrong.kinds or isinstance(wrong.value, list | dict):
        return None
    word = plain(str(wrong.value)).lower()
    if len(wrong.kinds) > 1 and word not in TRUTH:
        return None
    return f"write {TRUTH[word]}" if word in TRUTH else "write true or false"


def _number(wrong: Wrong) -> str | None:
    if not wrong.is_number or not isinstance(wrong.value, str):
        return None
    if wrong.value.lower() in _UNSET and "a list" not in wrong.kinds:
        return _unset(wrong)
    comment = re.fullmatch(r"(\S+)\s*(?:#|//).*", wrong.value)
    if comment and number_in(comment[1], wrong.kinds) is not None:
        return f"a comment begins with a blank and '#': {wrong.name}: {comment[1]}  # …"
    number = number_in(wrong.value, wrong.kinds)
    if number is None:
        return None
    if wrong.quoted and re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?", wrong.value):
        return "remove the quotation marks"
    odd = odd_letter(wrong.value)
    return f"write {number}" + (f": here stands {odd}" if odd else "")


def _unset(wrong: Wrong) -> str:
    field = field_at(wrong.data, wrong.path)
    if field is None or field.is_required():
        return about(wrong.path, wrong.data)
    absent = _when_absent(field) if field.default is None else f"then it is {field.default}"
    return f"delete '{wrong.name}'" + (f"; {absent}" if absent else "")


def number_in(text: str, kinds: Sequence[str] = ("a number",)) -> str | None:
    """The number that a text stands for, as YAML wants it: of 20%, 1/5, 0,2, 1,000, 2k, 007 and 1_000."""
    text = plain(text).strip("'\"").replace(" ", "")
    whole = "a number" not in kinds
    if re.fullmatch(r"[+-]?[1-9]\d{0,2}(,\d{3})+", text):
        text = text.replace(",", "")
    elif re.fullmatch(r"[+-]?\d+,\d+", text) and not whole:
        text = text.replace(",", ".")
    scale = 1.0
    if found := re.fullmatch(r"([+-]?[\d.]+)(%|k|K|M)", text):
        text, scale = found[1], {"%": 0.01, "k": 1e3, "K": 1e3, "M": 1e6}[found[2]]
    if found := re.fullmatch(r"(\d+)/(\d+)", text):
        text, scale = found[1], 1 / float(found[2]) if float(found[2]) else math.inf
    try:
        number = float(text) * scale
    except ValueError:
        return None
    if not math.isfinite(number) or (whole and not number.is_integer()):
        return None
    return f"{number:.0f}" if whole or (number.is_integer() and abs(number) < 1e15) else f"{number:.10g}"


def _a_list(wrong: Wrong) -> str | None:
    """A list is wanted, and something else stands there."""
    value = wrong.value
    if "a list" not in wrong.kinds or isinstance(value, list):
        return None
    if isinstance(value, dict):
        return _list_of_mapping(value, wrong)
    if not isinstance(value, str):
        return f"write [{value}]"
    text = plain(value)
    dashed = re.fullmatch(r"-\s?\S+( -\s?\S+)*", text)
    if dashed or (wrong.several_lines and " " in text):
        return f"begin each line with '- ': - {text.lstrip('- ').split()[0]}"
    items = [item.strip().strip("'\"") for item in text.strip("[]").split(",")]
    return f"write [{', '.join(items)}]"


def _list_of_mapping(value: dict[str, Any], wrong: Wrong) -> str | None:
    if all(key.isdigit() for key in value):
        return f"a list is given as a whole: {wrong.name}: [VALUE, VALUE]"
    if wrong.name == "members":
        first = next(iter(value), "")
        return f"write a list: [{{type: {first}, …}}, …]"
    if wrong.name == "slices":
        items = (f"{{{key}: {each}}}" for key, each in value.items() if not isinstance(each, list | dict))
        return f"write [{', '.join(items)}]"
    names = [key for key, each in value.items() if each is not False]
    flags = all(each is None or isinstance(each, bool) for each in value.values())
    return f"write [{', '.join(names)}]" if names and flags else None


def _a_text(wrong: Wrong) -> str | None:
    value = wrong.value
    if "a text" not in wrong.kinds or not isinstance(value, list | dict):
        return None
    if isinstance(value, dict):
        inner = next((value[key] for key in ("column", "name") if isinstance(value.get(key), str)), None)
        return f"write {wrong.name}: {inner}" if inner else None
    texts = [item for item in value if isinstance(item, str)]
    if len(texts) != len(value) or not texts:
        return None
    if len(texts) == 1:
        return f"write {wrong.name}: {_as_text(texts[0])}"
    if isinstance(wrong.path[-1], int):
        return "write the entries one below the other, in one list"
    if field_at(wrong.data, wrong.path) is not None and wrong.name in ("description", "owner", "sql"):
        return f'write one text: {wrong.name}: "{" ".join(texts)}"'
    return f"write one: {wrong.name}: {_as_text(texts[0])}"


def _as_text(text: str) -> str:
    """A text as YAML writes it: in quotation marks where it would be something else without."""
    if isinstance(resolve_scalar(text), str) and not re.search(r": | #|^[\s\[\]{}&*!|>'\"%@`#,?-]|:$", text):
        return text
    return "'" + text.replace("'", "''") + "'"


# Mappings that were written shorter than a spec allows, by the place where they belong.


def _a_mapping(wrong: Wrong) -> str | None:
    if not {"a mapping", "a list"} & set(wrong.kinds) and not wrong.choices:
        return None
    if place_of(wrong.path) == "features.*":
        return _feature(wrong)
    special = _SHORTER.get(place_of(wrong.path))
    hint = special(wrong.value) if special else None
    if hint is None and isinstance(wrong.value, list) and "a mapping" in wrong.kinds:
        if len(wrong.value) == 1 and isinstance(wrong.value[0], dict):
            return "remove the '- ': it makes a list"
        return None
    return hint


def _feature(wrong: Wrong) -> str | None:
    """A list in place of a column's type, or of the columns of one type."""
    items = wrong.value if isinstance(wrong.value, list) else []
    if len(items) == 1 and items[0] in list(FEATURES):
        return f"write {wrong.name}: {items[0]}"
    if items and wrong.name in FEATURES:
        return f"write each column with its type: {items[0]}: {wrong.name}"
    return None


def _data(value: Any) -> str | None:
    return f"write {{source: {value}}}" if isinstance(value, str) else None


def _source(value: Any) -> str | None:
    paths = [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
    return f"write {{type: file, path: [{', '.join(paths)}]}}" if paths else None


def _sources(value: Any) -> str | None:
    items = value if isinstance(value, list) else []
    paths = [str(item["path"]) for item in items if isinstance(item, dict) and "path" in item]
    named = (f"{re.sub(r'[^a-z0-9_]', '_', PurePath(path).stem.lower())}: {path}" for path in paths)
    return f"give each a name: {{{', '.join(named)}}}" if paths else None


def _split(value: Any) -> str | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1:
        return f"write {{test: {value if value < 0.5 else round(1 - value, 6):g}}}"
    numbers = isinstance(value, list) and all(isinstance(each, int | float) for each in value)
    if numbers and len(value) in (2, 3):
        scale = sum(value) or 1
        names = ("validation", "test") if len(value) == 3 else ("test",)
        shares = (f"{name}: {share / scale:g}" for name, share in zip(names, value[1:]))
        return f"write {{{', '.join(shares)}}}: the rest is trained on"
    return None


def _target(value: Any) -> str | None:
    if not isinstance(value, list) or not value or not isinstance(value[0], str):
        return None
    only = "" if len(value) == 1 else "a spec predicts one column: "
    return f"{only}write target: {value[0]}"


def _features(value: Any) -> str | None:
    if not isinstance(value, list) or not value:
        return None
    if isinstance(value[0], dict):
        name, kind = (value[0].get(key) for key in ("name", "type"))
        if list(value[0]) == ["type"]:  # a name, taken for a type
            return f"say the type of each column: {{{kind}: number, …}}; or features: auto"
        return f"name the column in front: {name or 'COLUMN'}: {kind or 'number'}, without '- '"
    return "say the type of each column: {COLUMN: number, …}; or features: auto"


def _model(value: Any) -> str | None:
    if not isinstance(value, list) or not value:
        return None
    if len(value) == 1:
        return "remove the '- ' or the brackets: they make a list"
    names = [item for item in value if isinstance(item, str)]
    members = ", ".join(names) if len(names) == len(value) else "…"
    return f"to average them: {{type: ensemble, members: [{members}]}}"


def _evaluate(value: Any) -> str | None:
    return f"write {{metric: {value}}}" if isinstance(value, str) and value in METRICS else None


def _metric(value: Any) -> str | None:
    if not isinstance(value, list) or not value:
        return None
    return f"write metric: {value[0]}, and others under 'metrics'"


def _threshold(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    number = number_in(value)
    if number is not None:
        return f"write {number}"
    return f"write {{maximize: {value if value in ('accuracy', 'balanced_accuracy', 'f1') else 'f1'}}}"


def _track(value: Any) -> str | None:
    if isinstance(value, str) and "://" in value:
        return f"write {{uri: {value}}}"
    word = str(value).lower()
    word = TRUTH.get(word, "true" if word == "mlflow" else "")
    return f"write {word}" if word else None


def _resources(value: Any) -> str | None:
    return f"write {{cpu: {value}}}" if isinstance(value, int) and not isinstance(value, bool) else None


_SHORTER: dict[str, Callable[[Any], str | None]] = {
    "data": _data,
    "data.source": _source,
    "data.sources": _sources,
    "data.split": _split,
    "target": _target,
    "features": _features,
    "model": _model,
    "evaluate": _evaluate,
    "evaluate.metric": _metric,
    "evaluate.threshold": _threshold,
    "track": _track,
    "resources": _resources,
}
