"""What the tests of imports share: configs of both tools, tables for them, and configs gone wrong."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from declarative_ml.api.import_igel import import_igel
from declarative_ml.api.import_ludwig import import_ludwig
from declarative_ml.api.import_report import Entry, Imported
from declarative_ml.core.errors import UsageError

CONFIGS = Path(__file__).parents[1] / "data"
IMPORT: dict[str, Callable[..., Imported]] = {"ludwig": import_ludwig, "igel": import_igel}


@dataclass(frozen=True)
class Case:
    """One config of a tool, with a table that has every column it names."""

    tool: str
    path: Path

    @property
    def config(self) -> Any:
        return yaml.safe_load(self.path.read_text())

    def run(self, output: Path, **options: Any) -> Imported:
        return IMPORT[self.tool](self.path, output, **options)

    def table(self, folder: Path, rows: int = 150) -> str:
        """Write the table. Its target depends on the first columns."""
        if self.tool == "ludwig":
            return str(write_table(folder / "table.csv", self.config, rows))
        delimiter = ";" if self.path.stem == "boosting_options" else ","
        return str(write_patients(folder / "patients.csv", rows, delimiter))


def cases(*tools: str) -> list[Case]:
    return [Case(tool, path) for tool in tools for path in sorted((CONFIGS / tool).glob("*.yaml"))]


def case(tool: str, name: str) -> Case:
    return Case(tool, CONFIGS / tool / f"{name}.yaml")


def imported(tool: str, text: str, folder: Path, **options: Any) -> Imported:
    """The import of a config that is written in the test."""
    (folder / "config.yaml").write_text(text)
    return IMPORT[tool](folder / "config.yaml", folder / "spec.yaml", **options)


def entry_of(found: Imported, theirs: str) -> Entry:
    (entry,) = [entry for entry in found.entries if entry.theirs == theirs]
    return entry


def written(found: Imported) -> dict[str, Any]:
    """The spec as any YAML reader sees it."""
    spec: dict[str, Any] = yaml.safe_load(found.text)
    return spec


def check_refused(tool: str, text: str, message: str, hint: str) -> None:
    """A config in the current folder that has nothing to learn: a UsageError, and no spec."""
    with pytest.raises(UsageError) as caught:
        imported(tool, text, Path())
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")
    assert not Path("spec.yaml").exists()


# Tables.


def write_patients(path: Path, rows: int = 200, delimiter: str = ",") -> Path:
    """Numbers with gaps, a category, a counter, and targets that depend on them."""
    source = random.Random(3)
    lines = ["visit,age,mass,town,sick,weight,waist,pulse,Species"]
    for row in range(rows):
        age, mass = source.gauss(50, 15), source.gauss(25, 5)
        signal = (age - 50) / 15 + (mass - 25) / 5 + source.gauss(0, 0.4)
        kind = "setosa" if signal < -1 else "virginica" if signal > 1 else "versicolor"
        shown = "" if source.random() < 0.05 else f"{age:.1f}"
        town = source.choice(["Köln", "Bonn", "Trier"])
        lines.append(
            f"{row},{shown},{mass:.2f},{town},{int(signal > 0)},{70 + 10 * signal:.1f},"
            f"{80 + 5 * signal + source.gauss(0, 5):.1f},{source.randint(50, 99)},{kind}"
        )
    text = "\n".join(lines).replace(",", delimiter) + "\n"
    path.write_text(text, encoding="latin-1" if delimiter == ";" else "utf-8")
    return path


def write_table(path: Path, config: dict[str, Any], rows: int) -> Path:
    """A table with every column that the config names; the outputs depend on the first two inputs."""
    source = random.Random(5)
    features = [*config["input_features"], *config["output_features"]]
    columns: dict[str, str] = {}
    for feature in features:
        columns.setdefault(feature.get("column", feature["name"]), feature["type"])
    targets = {feature.get("column", feature["name"]) for feature in config["output_features"]}
    table = {name: [_cell(kind, source) for _ in range(rows)] for name, kind in columns.items()}
    for name in columns:
        if name.endswith("_id"):
            table[name] = list(range(rows))
    signal = [_strength(columns, table, row) + source.gauss(0, 0.3) for row in range(rows)]
    for name in targets:
        table[name] = [_answer(columns[name], value) for value in signal]
    for name in ("split", "part"):
        table[name] = [[0, 0, 0, 1, 2][row % 5] for row in range(rows)]
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(table)
        writer.writerows(zip(*table.values()))
    return path


def _cell(kind: str, source: random.Random) -> object:
    if source.random() < 0.03 and kind != "date":
        return ""
    if kind in ("number", "numerical"):
        return round(source.gauss(0, 1), 3)
    if kind == "date":
        return f"20{source.randint(10, 20)}-{source.randint(1, 12):02d}-{source.randint(1, 28):02d}"
    return source.choice(["yes", "no"] if kind == "binary" else ["a", "b", "c", "d"])


def _strength(columns: dict[str, str], table: dict[str, list[Any]], row: int) -> float:
    values = [table[name][row] for name in list(columns)[:2]]
    return sum(
        value if isinstance(value, float) else {"a": 1.0, "yes": 1.0}.get(value, -0.5) for value in values
    )


def _answer(kind: str, value: float) -> object:
    if kind in ("number", "numerical"):
        return round(10 * value, 2)
    return "bot" if value > 0 else "human" if kind == "binary" or value > -1.5 else "other"


# Configs gone wrong.

JUNK = [
    None,
    True,
    False,
    -1,
    0,
    1,
    3,
    0.5,
    1e30,
    1e-300,
    10**17,
    "",
    "x",
    "auto",
    "none",
    "binary",
    "${env:HOME}",
    "(3, 4)",
    f"({'9' * 5000})",
    "\u2028 #:",
    [],
    {},
    [1],
    ["x"],
    [[]],
    {"type": "x"},
    [{"a": 1}],
]
KEYS = ["x", "type", "name", "a.b", "${x}", "123", "encoder", "defaults", "split", "penalty"]


def mutated(value: Any, source: random.Random, rate: float = 0.03) -> Any:
    """A copy with some of its values replaced by junk, keys added, left out and misspelt, at any depth."""
    if source.random() < rate:
        return source.choice(JUNK)
    if isinstance(value, list):
        items = [mutated(item, source, rate) for item in value]
        return [*items, source.choice(JUNK)] if source.random() < rate else items
    if not isinstance(value, dict):
        return value
    found = {}
    for key, child in value.items():
        if source.random() < rate:
            key = source.choice([*KEYS, key[:-1], key + "s"])
        if source.random() >= rate / 2:
            found[key] = mutated(child, source, rate)
    if source.random() < rate:
        found[source.choice(KEYS)] = source.choice(JUNK)
    return found


def damaged(text: str, source: random.Random) -> str:
    """A copy of a file with some characters replaced, lines left out, or its end cut off."""
    for _ in range(source.randint(1, 3)):
        at = source.randrange(len(text))
        text = source.choice(
            [
                text[:at] + source.choice("\t:-[]{}'\"#&*!|\x00é\n ") + text[at + 1 :],
                text[:at] + text[text.find("\n", at) + 1 :],
                text[: max(at, 1)],
            ]
        )
    return text


def leaf_paths(value: Any, path: str = "") -> Iterator[str]:
    """The leaves as this test understands them: scalars, empty collections, and lists of scalars."""
    if isinstance(value, dict) and value:
        for key, child in value.items():
            name = {True: "true", None: "null"}.get(key, str(key)) if not isinstance(key, str) else key
            name = f'"{name}"' if set(name) & set(".[]") else name
            yield from leaf_paths(child, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for number, child in enumerate(value):
            yield from leaf_paths(child, f"{path}[{number}]")
    else:
        yield path
