"""Write the bundle: the one folder that ships."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from declarative_ml.core.atomic import read_json
from declarative_ml.core.errors import DataError
from declarative_ml.core.reading import Embedding, parse_reading
from declarative_ml.core.task import Task
from declarative_ml.formats.conversion import FILES, RESULT, Conversion
from declarative_ml.learning.answer_reference import answer_reference
from declarative_ml.learning.disk_rows import DiskRows
from declarative_ml.report.card import card_markdown
from declarative_ml.report.card_facts import CARD, FACTS
from declarative_ml.steps.behave import TESTS
from declarative_ml.steps.card import card_facts, read_card
from declarative_ml.steps.context import StepContext, skip_reason
from declarative_ml.steps.table import read_schema
from declarative_ml.steps.tested import read_tested
from declarative_ml.store.bundle import MODEL, REFERENCE, Bundle, write_bundle
from declarative_ml.text.embedding_files import bundle_name, find_model


def run(context: StepContext) -> None:
    """Fill the artifact with the bundle's files (see store.bundle and docs/bundle.md)."""
    assembly = context.read("assemble", "assembly.json")
    split = context.read("split", "split.json")
    fields = {
        "name": context.params["name"],
        "description": context.params["description"],
        "task": assembly["task"],
        "target_rule": assembly["target_rule"],
        "inputs": assembly["inputs"],
        "missing": assembly["missing"],
        "threshold": assembly["threshold"],
        "interval": assembly["interval"],
        "metrics": context.read("evaluate", "metrics.json")["metrics"],
        "spec_digest": context.params["spec_digest"],
        "data_fingerprint": split["fingerprint"],
        "sql": context.params["sql"],
        "sources": {
            role.removeprefix("source."): read_schema(folder).model_dump(mode="json")
            for role, folder in context.inputs.items()
            if role.startswith("source.")
        },
    }
    files: dict[str, bytes | Path] = {
        MODEL: context.inputs["assemble"] / "model.onnx",
        REFERENCE: _reference(context, assembly),
        "metrics.json": context.inputs["evaluate"] / "metrics.json",
    }
    if "behave" in context.inputs:
        files[TESTS] = context.inputs["behave"] / TESTS
    if "explain" in context.inputs:
        explanation = context.inputs["explain"]
        files |= {name: explanation / name for name in ("explanation.json", "explanation.npz")}
    files |= _embedding_files(context, assembly["inputs"])
    for role, folder in context.inputs.items():
        if role.startswith("convert."):
            files |= conversion_files(folder)
    context.progress(0.5, "writing the bundle")
    facts = card_facts(context).model_dump_json(indent=1).encode()
    write_bundle(context.out, fields, {**files, FACTS: facts})
    # The card names the digest of the model, of which it is no part: it can only be written now.
    card = card_markdown(read_card(Bundle.open(context.out)))
    write_bundle(context.out, fields, {CARD: card.encode()})


def _embedding_files(context: StepContext, inputs: list[dict[str, Any]]) -> dict[str, bytes | Path]:
    """The files of the embedding models that read texts. Raises DataError where they are others by now."""
    found: dict[str, bytes | Path] = {}
    for fields in (item["reading"] for item in inputs if item.get("reading")):
        reading = parse_reading(fields)
        if not isinstance(reading, Embedding):
            continue
        model = find_model(reading.model, [Path(context.step.outside["texts"]["folder"])])
        if model.described.digest != reading.digest:
            raise DataError(
                f"the files of the embedding model {reading.model!r} changed while the run was going on",
                hint="run again",
            )
        found |= {bundle_name(reading, name): model.read(name) for name in model.names}
    return found


def _reference(context: StepContext, assembly: dict[str, Any]) -> bytes:
    """reference.json with the answers on held-out rows: the test rows, else what folds say of theirs."""
    reference = context.read("prepare", "reference.json")
    prediction = read_tested(context.inputs["evaluate"]).prediction
    held_out = context.inputs["assemble"] / "validation.npy"
    if not len(prediction) and held_out.exists():
        prediction = DiskRows(held_out)
    if len(prediction):
        task = Task.model_validate(assembly["task"])
        reference["predictions"] = answer_reference(task, prediction, assembly["threshold"])
    text = json.dumps(reference, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def conversion_files(folder: Path) -> dict[str, Path]:
    """The files of a conversion by their names in the bundle; none where it may not be used."""
    if skip_reason(folder) is not None:
        return {}
    found = Conversion.model_validate(read_json(folder / RESULT))
    root = folder / FILES
    if not found.ships:
        return {}
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    return {f"formats/{found.name}/{path.relative_to(root).as_posix()}": path for path in paths}
