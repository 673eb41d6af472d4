"""A folder that predicts in the browser: the graph, a typed JavaScript module and a page with a form.

ONNX Runtime's build for the web has every operator of our graphs, those on texts too. One means something
else there: StringNormalizer in the locale "C" lowers all letters, not A to Z alone, so the module does that.
The runtime's files are not ours to download: `runtime` names where an npm install put them.
"""

from __future__ import annotations

import json
import shutil
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from declarative_ml.core.grammar import date_pattern, date_patterns, number_pattern
from declarative_ml.core.schema import ColumnRule
from declarative_ml.formats.base import Format, Original, Run
from declarative_ml.formats.rewrite.plain_trees import count_splits, unsupported_trees, without_tree_ensembles
from declarative_ml.graph.core import all_nodes, operators_of

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from onnx import ModelProto

    from declarative_ml.store.bundle import Input

RUNTIME_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
_COPIED = ("predictor.js", "predictor.d.ts", "values.js", "index.html", "form.js", "style.css")
_MANY_SPLITS = 20_000
_NUMBER = ColumnRule(type="number")


class OnnxWeb(Format):
    """model.onnx and schema.json, predictor.js with its types, index.html, and the runtime if it is given."""

    format: Literal["onnx-web"] = "onnx-web"
    runtime: str | None = Field(
        default=None,
        description="The folder dist of an npm install of onnxruntime-web, absolute or from ~; absent: "
        "README.txt tells what to copy",
    )
    trees: Literal["auto", "ensemble", "plain"] = Field(
        default="auto",
        description="ensemble: trees stay one operator, fast for many rows, but a megabyte takes "
        "seconds to load in a browser. plain: standard operators instead load in a tenth of the time and "
        "take longer for a row. auto: plain from 20,000 splits on",
    )
    about: ClassVar[str] = "a page and a JavaScript module that predict in the browser"

    @property
    def precision(self) -> float:
        """That of float32."""
        return 1e-5

    @property
    def _runtime(self) -> Path | None:
        return Path(self.runtime).expanduser() if self.runtime is not None else None

    def reads(self) -> tuple[Path, ...]:
        """See Format.reads: the runtime."""
        places = [self._runtime / name for name in RUNTIME_FILES] if self._runtime is not None else []
        return tuple(place for place in places if place.is_file())

    def refuse(self, original: Original) -> str | None:
        """Texts that are read before the graph; a runtime that is not where it is said to be."""
        for column in original.inputs:
            if column.reading is not None:
                reader = column.reading.reader
                return f"{reader} reads the texts of {column.name!r}, and does not run in a browser"
        if self._runtime is None:
            return None
        if not self._runtime.is_absolute():
            return f"runtime: {self.runtime!r} must be an absolute path, or start with ~"
        absent = [name for name in RUNTIME_FILES if not (self._runtime / name).is_file()]
        return f"runtime: {self._runtime} has no {', '.join(absent)}" if absent else None

    def write(self, original: Original, folder: Path) -> None:
        """See the class."""
        (folder / "model.onnx").write_bytes(self._graph(original))
        for name in _COPIED:
            (folder / name).write_bytes(asset(name).read_bytes())
        _write(folder / "schema.json", json.dumps(schema_of(original), ensure_ascii=False, indent=1))
        _write(folder / "row.d.ts", _row_type(original))
        _write(folder / "package.json", json.dumps(_package(original), ensure_ascii=False, indent=1))
        if self._runtime is not None:
            (folder / "runtime").mkdir()
            for name in RUNTIME_FILES:
                shutil.copyfile(self._runtime / name, folder / "runtime" / name)
        _write(folder / "README.txt", _read_me(original, _runtime_version(self._runtime)))

    def _graph(self, original: Original) -> bytes:
        """The content of model.onnx, the bundle's own where nothing of it has to change."""
        model = original.model
        splits = count_splits(model)
        plain = self.trees == "plain" or (self.trees == "auto" and splits >= _MANY_SPLITS)
        spelled = plain and splits > 0 and unsupported_trees(model) is None
        if not spelled and "StringNormalizer" not in original.operators:
            return original.content
        content: bytes = _lowered_before(
            without_tree_ensembles(model) if spelled else model
        ).SerializeToString(deterministic=True)
        return content

    def open(self, original: Original, folder: Path) -> Run | None:
        """Under Node; None without it, or without the runtime in the folder."""
        from declarative_ml.formats.javascript import node_runner

        node = node_runner.find_node()
        if node is None or not all((folder / "runtime" / name).is_file() for name in RUNTIME_FILES):
            return None
        return node_runner.NodeRun(node, asset("node.mjs"), folder, len(original.task.classes) or 1)


def asset(name: str) -> Traversable:
    """A file of ours that goes into the folder, or runs it."""
    return files("declarative_ml.formats").joinpath("javascript", "web", name)


def schema_of(original: Original) -> dict[str, Any]:
    """schema.json: columns with the patterns that their values are read by, and what is predicted."""
    lowered = _lowered(original.model)
    return {
        "name": original.name,
        "task": original.task.model_dump(mode="json"),
        "threshold": original.threshold,
        "missing": list(original.missing),
        "columns": [
            {
                "name": column.name,
                "feature": column.feature,
                "dtype": column.dtype,
                "rule": _rule(column),
                "lower": column.name in lowered,
                "field": column.field,
            }
            for column in original.inputs
        ],
    }


def _lowered_before(model: ModelProto) -> ModelProto:
    """The graph, for texts that are lowered before they come in."""
    made = type(model)()
    made.CopyFrom(model)
    for node in all_nodes(made.graph):
        if node.op_type == "StringNormalizer":
            node.op_type = "Identity"
            del node.attribute[:]
    return made


def _lowered(model: ModelProto) -> frozenset[str]:
    """The inputs whose rows are taken one by one, and lowered."""
    loops = [node.attribute[0].g for node in model.graph.node if node.op_type == "Loop"]
    read = {
        name
        for body in loops
        if "StringNormalizer" in operators_of(body)
        for node in body.node
        for name in node.input
    }
    return frozenset(value.name for value in model.graph.input if value.name in read)


def _rule(column: Input) -> dict[str, Any]:
    """A column's rule with its grammar as patterns of JavaScript."""
    rule = column.rule
    if column.dtype == "float32" and rule.type == "text":
        rule = _NUMBER
    patterns: list[str] = []
    if rule.type == "date":
        patterns = [date_pattern(pattern) for pattern in date_patterns(rule)]
    elif rule.type in ("integer", "number"):
        patterns = [number_pattern(rule)]
    blanks = {None: "", " ": " \u00a0\u202f"}
    return {
        "type": rule.type,
        "patterns": [pattern.replace("(?P<", "(?<") for pattern in patterns],
        "thousands": blanks.get(rule.thousands, rule.thousands),
        "decimal": rule.decimal,
        "hasTime": rule.has_time,
    }


def _row_type(original: Original) -> str:
    """row.d.ts: the columns of a row, as TypeScript sees them."""
    lines = [
        "/** One of the levels that training knew; others count as unseen. */",
        "export type Level<Known extends string> = Known | (string & {});",
        "",
        "/** A row of columns; null or an empty text is a missing value. */",
        "export interface Row {",
    ]
    for column in original.inputs:
        about = str(column.field.get("description", column.feature)).replace("*/", "* /")
        lines += [f"  /** {about} */", f"  {json.dumps(column.name)}: {_type_of(column)};"]
    return "\n".join([*lines, "}"])


def _type_of(column: Input) -> str:
    levels = [level for level in column.field.get("enum", ()) if level is not None]
    if column.dtype == "float32":
        return "number | bigint | string | boolean | null | undefined"
    if levels:
        known = " | ".join(json.dumps(level) for level in levels)
        return f"Level<{known}> | number | boolean | null | undefined"
    return "string | number | boolean | Date | null | undefined"


def _package(original: Original) -> dict[str, Any]:
    """package.json: lets Node and bundlers take the folder as a package."""
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in original.name)
    return {
        "name": plain.lower().strip("-") or "model",
        "version": "0.0.0",
        "private": True,
        "type": "module",
        "main": "./predictor.js",
        "types": "./predictor.d.ts",
    }


def _runtime_version(runtime: Path | None) -> str | None:
    """What npm says of the runtime; "" where it says nothing, None without a runtime."""
    if runtime is None:
        return None
    about = runtime.parent / "package.json"
    return str(json.loads(about.read_bytes()).get("version", "")) if about.is_file() else ""


def _read_me(original: Original, version: str | None) -> str:
    names = " ".join(RUNTIME_FILES)
    copied = " ".join(f"node_modules/onnxruntime-web/dist/{name}" for name in RUNTIME_FILES)
    if version is None:
        runtime = (
            f"The folder runtime/ must hold {names} of onnxruntime-web 1.30 or later:\n\n"
            "  npm install --ignore-scripts onnxruntime-web && mkdir -p runtime && "
            f"cp {copied} runtime/\n"
        )
    else:
        runtime = (
            f"runtime/ holds {names} of onnxruntime-web {version}\n"
            "(MIT licence, Microsoft Corporation, https://github.com/microsoft/onnxruntime).\n"
        )
    return (
        f"{original.name}: predicts {original.task.target} in the browser.\n\n{runtime}\n"
        "Serve the folder with any file server (opening index.html as a file does not work):\n\n"
        "  python -m http.server\n\n"
        "In code:\n\n"
        '  import { load } from "./predictor.js";\n'
        "  const predictor = await load();\n"
        "  const [answer] = await predictor.predict([row]);\n"
    )


def _write(path: Path, text: str) -> None:
    path.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
