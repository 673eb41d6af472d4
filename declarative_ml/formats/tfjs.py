"""TensorFlow.js: a folder that predicts in the browser, from a disk too; the preprocessing is JavaScript."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Sequence
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from declarative_ml.formats import onnx_web
from declarative_ml.formats.base import Format, Original, Run
from declarative_ml.formats.lite.core import narrow_cut, no_core
from declarative_ml.formats.lite.preprocessing import read_preprocessing

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

RUNTIME = "tf.min.js"
_COPIED = ("core.js", "predictor.js", "predictor.d.ts", "index.html")
_SHARED = ("values.js", "form.js", "style.css")
"""Of the format onnx-web, whose page is the same."""
_MODULE_LINE = re.compile(r"^import .*\n|^export (?=async|const|class|function)", re.MULTILINE)


class TFJS(Format):
    """model.json and weights.bin, predictor.js with its types, and index.html, which needs no server."""

    format: Literal["tfjs"] = "tfjs"
    runtime: str | None = Field(
        default=None,
        description="The file tf.min.js of an npm install of @tensorflow/tfjs, absolute or from ~; absent: "
        "README.txt tells what to copy",
    )
    extra: ClassVar[str | None] = "tensorflow"
    modules: ClassVar[Sequence[str]] = ("tensorflow",)
    libraries: ClassVar[tuple[str, ...]] = ("tensorflow-cpu", "tensorflow")
    about: ClassVar[str] = "TensorFlow.js: a page and a JavaScript module that predict in the browser"

    @property
    def precision(self) -> float:
        """That of float32."""
        return 1e-5

    @cached_property
    def _runtime(self) -> Path | None:
        return Path(self.runtime).expanduser() if self.runtime is not None else None

    def reads(self) -> tuple[Path, ...]:
        """See Format.reads: the runtime."""
        return (self._runtime,) if self._runtime is not None and self._runtime.is_file() else ()

    def refuse(self, original: Original) -> str | None:
        """Dates and texts; a runtime that is not where it is said to be."""
        if (reason := no_core(original)) is not None:
            return reason
        rules = read_preprocessing(narrow_cut(original).encoder, original.rows)
        if unread := rules.unread():
            return (
                f"what is done to the column(s) {', '.join(unread)} is not written in JavaScript; "
                "the format onnx-web takes them"
            )
        if self._runtime is None:
            return None
        if not self._runtime.is_absolute():
            return f"runtime: {self.runtime!r} must be an absolute path, or start with ~"
        return None if self._runtime.is_file() else f"runtime: there is no file {self._runtime}"

    def write(self, original: Original, folder: Path) -> None:
        """See the class."""
        from declarative_ml.formats.javascript.tfjs_graph import WEIGHTS, to_tfjs

        halves = narrow_cut(original)
        model, weights = to_tfjs(halves.core)
        rules = read_preprocessing(halves.encoder, original.rows)
        schema = onnx_web.schema_of(original)
        (folder / WEIGHTS).write_bytes(weights)
        texts = {name: _asset(name) for name in _COPIED}
        texts |= {name: onnx_web.asset(name).read_text(encoding="utf-8") for name in _SHARED}
        texts["model.json"] = model
        texts["schema.json"] = json.dumps(schema, ensure_ascii=False, indent=1)
        texts["preprocessing.json"] = rules.dump(original)
        texts["package.json"] = json.dumps({"private": True, "type": "module", "main": "./predictor.js"})
        texts["README.txt"] = _read_me(original, self._runtime is not None)
        contents = {
            "schema": schema,
            "preprocessing": rules.as_json(original),
            "model": json.loads(model),
            "weights": base64.b64encode(weights).decode(),
        }
        texts["page.js"] = _page(texts, contents)
        for name, text in texts.items():
            (folder / name).write_text(text.rstrip("\n") + "\n", encoding="utf-8")
        if self._runtime is not None:
            shutil.copyfile(self._runtime, folder / RUNTIME)

    def open(self, original: Original, folder: Path) -> Run | None:
        """Under Node; None without it, or without the runtime in the folder."""
        from declarative_ml.formats.javascript.node_runner import NodeRun, find_node

        node = find_node()
        if node is None or not (folder / RUNTIME).is_file():
            return None
        return NodeRun(node, _place("node.mjs"), folder, len(original.task.classes) or 1)

    def facts(self, folder: Path) -> dict[str, Any]:
        """The operators that the runtime must have."""
        nodes = json.loads((folder / "model.json").read_text(encoding="utf-8"))["modelTopology"]["node"]
        return {"operators": sorted({node["op"] for node in nodes} - {"Const", "Placeholder"})}


def _place(name: str) -> Traversable:
    return files("declarative_ml.formats").joinpath("javascript", "tfjs_page", name)


def _asset(name: str) -> str:
    return _place(name).read_text(encoding="utf-8")


def _page(texts: dict[str, str], contents: dict[str, Any]) -> str:
    """All modules of the page and the model as one plain script: browsers load no modules from a disk."""
    # As a text: in an object of JavaScript's own a level called __proto__ would not be an entry.
    content = json.dumps(json.dumps(contents, separators=(",", ":")))
    parts = [texts["values.js"], texts["core.js"], _asset("embedded.js"), texts["form.js"]]
    plain = "\n".join(_MODULE_LINE.sub("", part) for part in parts)
    return f"(() => {{\nconst CONTENTS = JSON.parse({content});\n{plain}\n}})();\n"


def _read_me(original: Original, has_runtime: bool) -> str:
    runtime = (
        f"{RUNTIME} is TensorFlow.js (Apache-2.0, Google LLC, https://github.com/tensorflow/tfjs).\n"
        if has_runtime
        else (
            f"Copy {RUNTIME} of TensorFlow.js 4 into this folder:\n\n"
            "  npm install --ignore-scripts @tensorflow/tfjs && "
            f"cp node_modules/@tensorflow/tfjs/dist/{RUNTIME} .\n"
        )
    )
    return (
        f"{original.name}: predicts {original.task.target} in the browser.\n\n{runtime}\n"
        "Open index.html: it needs no server. In code, behind a file server or a bundler:\n\n"
        '  import * as tf from "@tensorflow/tfjs";\n'
        '  import { load } from "./predictor.js";\n'
        "  const predictor = await load(undefined, tf);\n"
        "  const [answer] = await predictor.predict([row]);\n"
    )
