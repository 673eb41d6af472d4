"""How igel reads its data: pandas' options as those of our source, `data.missing` and `exclude`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from declarative_ml.api.import_config import as_number, as_text, as_texts
from declarative_ml.api.import_conversion import Conversion
from declarative_ml.core.schema import DEFAULT_MISSING
from declarative_ml.spec.positions import Node
from declarative_ml.spec.positions import Path as Keys

_KEYS: Keys = ("dataset", "read_data_options")
_FILE_OPTIONS = {"sep": "delimiter", "delimiter": "delimiter", "encoding": "encoding"}
_TYPING = ("thousands", "decimal", "parse_dates", "dayfirst", "infer_datetime_format", "dtype")
_READING = "the reader has no such option; prepare the file, or shape it by data.sql"
_NEEDS_DATA = "it counts or leaves out columns: give --data, which tells their names"


def open_data(job: Conversion, config: dict[str, Node], dataset: dict[str, Node]) -> None:
    """Name the data in the spec and read its columns. Raises DataError when it cannot be read."""
    node = dataset.get("read_data_options")
    if node is not None and not node.is_mapping and as_text(node) in (None, "default"):
        job.carried(_KEYS, "data.source: as it is found")
    _input(job, config.get("input"))
    job.open_data(**_file_options(job, _reading(dataset)))


def import_reading(job: Conversion, dataset: dict[str, Node]) -> None:
    """The reading options that `open_data` did not need. The target must be set."""
    for key, node in _reading(dataset).items():
        _read_option(job, (*_KEYS, key), key, node)


def exclude(job: Conversion, names: list[str]) -> None:
    """Add columns to `exclude`, all but the target."""
    kept = job.spec.get("exclude", [])
    new = [name for name in names if name not in kept and name != job.spec["target"]["column"]]
    if new:
        job.put(("exclude",), [*kept, *new])


def _reading(dataset: dict[str, Node]) -> dict[str, Node]:
    node = dataset.get("read_data_options")
    return node.value if node is not None and node.is_mapping else {}


def _file_options(job: Conversion, options: dict[str, Node]) -> dict[str, Any]:
    """What the source must know before its columns can be read; a sample has no such options."""
    chosen: dict[str, Any] = {}
    if job.data is not None and job.data.startswith("sample:"):
        return chosen
    for key, option in _FILE_OPTIONS.items():
        value = as_text(options.get(key))
        if value is None:
            continue
        if option == "delimiter" and len(value) != 1:
            job.left_out((*_KEYS, key), "a delimiter is one character; it is found when absent")
        else:
            chosen[option] = value
            job.carried((*_KEYS, key), f"data.source.{option}: {value}")
    return chosen


def _input(job: Conversion, node: Node | None) -> None:
    """`input`, the path of the data, as some examples have it: from the config's folder, or from here."""
    if node is None:
        return
    path = as_text(node)
    places = [job.config.parent / path, Path(path)] if path else []
    found = [str(place) for place in places if place.is_file()]
    if job.data is not None:
        job.changed(("input",), f"data.source: {job.data}", "--data was given")
    elif found:
        job.data = found[0]
        job.carried(("input",), f"data.source: {path}")
    else:
        job.left_out(("input",), "there is no such file here: give --data")


def _read_option(job: Conversion, path: Keys, key: str, node: Node) -> None:
    texts = as_texts(node)
    if key == "na_values" and texts:
        spellings = list(dict.fromkeys([*DEFAULT_MISSING, *texts]))
        job.put(("data", "missing"), spellings)
        job.carried(path, f"data.missing: the usual spellings, and {', '.join(texts)}")
    elif key in ("usecols", "index_col"):
        _columns(job, path, key, node)
    elif key == "header" and (as_number(node) == 0 or as_text(node) == "infer"):
        job.carried(path, "always so: the first line has the names")
    elif key == "header":
        job.left_out(path, "the first line must have the names: write one into the file")
    elif key in _TYPING:
        job.left_out(path, "types and their spelling are found in all values of a column")
    else:
        job.left_out(path, _READING)


def _columns(job: Conversion, path: Keys, key: str, node: Node) -> None:
    """`usecols` leaves out the columns that it does not name, `index_col` those that it does."""
    if node.value is None or node.value is False:
        job.carried(path, "always so: every column is read as one")
        return
    names = _names(job, node)
    if names is None:
        job.left_out(path, _NEEDS_DATA if job.columns is None else "it names no columns of the data")
        return
    for name in names:
        job.ask(name, node)
    if key == "index_col":
        exclude(job, names)
        job.changed(path, f"exclude: {', '.join(names)}", "rows have no labels: the column is no feature")
    elif job.columns is None:
        job.left_out(path, _NEEDS_DATA)
    else:
        unused = [name for name in job.columns if name not in names]
        exclude(job, unused)
        why = "all columns are read; those that are not used are no features"
        job.changed(path, f"exclude: the {len(unused)} other columns", why)


def _names(job: Conversion, node: Node) -> list[str] | None:
    """The columns that a list, or one item, names or counts from 0; None when one cannot be told."""
    names: list[str | None] = []
    for item in node.value if isinstance(node.value, list) else [node]:
        number = as_number(item)
        if number is None:
            names.append(as_text(item))
        elif job.columns is not None and isinstance(number, int) and 0 <= number < len(job.columns):
            names.append(job.columns[number])
        else:
            names.append(None)
    found = [name for name in names if name]
    return found if found and len(found) == len(names) else None
