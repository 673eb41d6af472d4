import copy
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from declarative_ml.api.planning import make_plan
from declarative_ml.api.run import RunOptions, run_spec
from declarative_ml.graph.plan import Plan
from declarative_ml.spec.document import Spec
from declarative_ml.spec.load import load_spec
from declarative_ml.spec.schema import SCHEMAS, schema_text, spec_schema
from declarative_ml.store.bundle import Manifest

jsonschema = pytest.importorskip("jsonschema")

ROOT = Path(__file__).parents[2]
_MINIMAL: dict[str, Any] = {"name": "churn", "data": {"source": "table.csv"}, "target": "Churn"}


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = spec_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


_GOOD = [
    "{}",
    "target: {column: Churn, type: binary, positive: 1}",
    "target: 2019",
    "model: lightgbm",
    "model: {type: mlp, layers: [64], learning_rate: 0.001, epochs: '${env:EPOCHS}'}",
    "model: {type: ensemble, members: [mlp, {type: linear}], weights: equal}",
    "features: auto",
    "features: {a: number, b: {type: category, max_levels: 9}, c: {type: number, missing: 0}}",
    "data: {source: {type: file, path: [a.csv, b.csv]}, split: hash, key: id}",
    "data: {source: a.csv, split: {test: 0.3, stratify: Churn}}",
    "data: {source: a.csv, split: {method: files, test: t.csv, validation: 0.1}}",
    "data: {sources: {a: a.csv, b: {type: sample, name: iris}}, sql: select 1}",
    "data: {source: a.csv, missing: ['', -999]}",
    "evaluate: {metric: roc_auc, slices: [a, {b: 1}], threshold: 0.3}",
    "evaluate: {threshold: {maximize: f1}}",
    "explain: false",
    "explain: {rows: 10}",
    "track: false",
    "track: {uri: '${env:URI}', register: x}",
    "weight: null",
    "seed: '${env:SEED:-7}'",
    "profiles: {prod: {model: mlp, weight: null, exclude+: [a]}}",
    "profiles: {prod: {model: {rounds: 50}, data: {split: {test: 0.5}}}}",
    "extends: tabular-binary",
    "extends: [base.yaml, {use: tabular-binary, with: {positive: 1}, allow: ['env:HOME']}]",
    "{extends: base.yaml, model: {rounds: 50}, exclude+: [a], weight: null}",
    "{params: {a: {type: string, default: x}}, model: {rounds: '${params.a}'}}",
]


@pytest.mark.parametrize("text", _GOOD)
def test_what_people_may_write_is_accepted(text: str, validator: Any) -> None:
    document = {**_MINIMAL, **yaml.safe_load(text)}
    assert [error.message for error in validator.iter_errors(document)] == []


_BAD = [
    "seeed: 7",
    "seed: x",
    "refit: 'yes'",
    "name: Telco Churn",
    "name: null",
    "model: lightgmb",
    "model: {type: mlp, epochs: 0}",
    "model: {epochs: 1}",
    "model: {type: mlp, rounds: 1}",
    "features: {a: nmber}",
    "features: {a: null}",
    "target: {type: binary}",
    "data: {source: a.csv, split: {method: time}}",
    "data: {source: a.csv, split: {test: 20}}",
    "data: {source: {path: a.csv}}",
    "evaluate: {metric: auc}",
    "evaluate: {threshold: 2}",
    "deploy: {imge: a/b:1}",
    "profiles: {prod: {seeed: 1}}",
    "profiles: {prod: {model: {roundz: 1}}}",
    "extends: {with: {a: 1}}",
    "extends: {use: a, wiht: {}}",
    "{extends: a, seeed: 1}",
    "{extends: a, evaluate: {metric: auc}}",
    "params: {a: {type: text}}",
    "params: {a: {default: 1}}",
]


@pytest.mark.parametrize("text", _BAD)
def test_mistakes_are_refused(text: str, validator: Any) -> None:
    assert not validator.is_valid({**_MINIMAL, **yaml.safe_load(text)})


def test_the_schema_is_the_same_each_time() -> None:
    assert schema_text() == schema_text()
    assert json.loads(schema_text()) == spec_schema()


def test_every_key_of_the_document_is_described() -> None:
    definitions = Spec.model_json_schema(by_alias=True)
    models = {"Spec": definitions, **definitions["$defs"]}
    ours = ["Spec", "Data", "Target", "Evaluate", "Threshold", "Explain", "Track", "Resources", "Ensemble"]
    ours += [name for name in models if name.endswith("Split")]
    undescribed = [
        f"{name}.{key}"
        for name in ours
        for key, value in models[name]["properties"].items()
        if "description" not in value and "const" not in value
    ]
    assert undescribed == []


# The documents that programs write: a plan, and a bundle's manifest.


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_file_is_up_to_date(name: str) -> None:
    text = (ROOT / "schemas" / f"{name}.v1.json").read_text(encoding="utf-8")
    assert text == schema_text(name), "run `make regen`"
    assert [*SCHEMAS] == ["spec", "plan", "bundle"]
    assert {path.name for path in (ROOT / "schemas").iterdir()} == {f"{each}.v1.json" for each in SCHEMAS}


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_says_what_it_is(name: str) -> None:
    schema = json.loads(schema_text(name))
    assert list(schema)[:3] == ["$schema", "$id", "title"]
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:declarative-ml:{name}.v1"
    assert schema["title"] == f"declarative-ml {name}, version 1"


@pytest.mark.parametrize("name", ["plan", "bundle"])
def test_every_field_of_a_document_is_described(name: str) -> None:
    schema = SCHEMAS[name]()
    models = {name: schema, **schema["$defs"]}
    assert [key for key, model in models.items() if not model["description"]] == []
    assert [
        f"{key}.{field}"
        for key, model in models.items()
        for field, value in model["properties"].items()
        if not value.get("description") or "title" in value
    ] == []
    assert all(model["additionalProperties"] is False for model in models.values())


@cache
def checker(name: str) -> Any:
    schema = json.loads(schema_text(name))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def refusals(name: str, document: Any) -> list[str]:
    """What the schema has against a document, read back from JSON as others read it."""
    document = json.loads(json.dumps(document))
    return [error.message for error in checker(name).iter_errors(document)]


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/*/spec.yaml")), ids=lambda path: path.parent.name)
def test_plans_of_the_examples_fit(path: Path, dml: Any, tmp_path: Path) -> None:
    outcome = dml("plan", path, "--format", "json", "-o", tmp_path / "plan.json", "--no-data")
    printed = json.loads(outcome.out)
    assert len(printed["steps"]) > 5
    assert refusals("plan", printed) == []
    assert json.loads((tmp_path / "plan.json").read_text()) == printed


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory, write_flowers: Any) -> dict[str, Any]:
    """The plan of a spec and the manifest of the bundle that it was trained to, as the files say."""
    folder = tmp_path_factory.mktemp("trained")
    write_flowers(folder / "flowers.csv")
    sections = {"model": "linear", "explain": False, "track": False, "resources": {"cpu": 1}}
    spec = {"name": "flowers", "data": {"source": "flowers.csv"}, "target": "kind", **sections}
    (folder / "spec.yaml").write_text(json.dumps(spec))
    loaded = load_spec(folder / "spec.yaml", data=True)
    report = run_spec(loaded, RunOptions())
    assert report.error is None
    manifest = json.loads((Path(report.result["bundle"]) / "bundle.json").read_text())
    return {"plan": make_plan(loaded).model_dump(mode="json"), "bundle": manifest}


_READERS = {"plan": Plan, "bundle": Manifest}


def is_read(name: str, document: Any) -> bool:
    """Whether the product takes the document. A manifest says its format, or is none of ours."""
    try:
        _READERS[name].model_validate_json(json.dumps(document), strict=True)
    except ValidationError:
        return False
    return name == "plan" or "format" in document


@pytest.mark.parametrize("name", _READERS)
def test_a_real_document_fits(name: str, documents: dict[str, Any]) -> None:
    assert refusals(name, documents[name]) == []
    assert is_read(name, documents[name])


_MUTATED = [
    ("plan", "steps", None), ("plan", "name", 7), ("plan", "version", 2), ("plan", "version", "1"),
    ("plan", "steps", {}), ("plan", "more", 1), ("plan", "steps.0.id", None), ("plan", "steps.0.kind", []),
    ("plan", "steps.0.more", 1), ("plan", "steps.0.params", []), ("plan", "steps.0.inputs", {"table": 1}),
    ("plan", "steps.0.effect", "yes"), ("plan", "steps.0.files", "a.csv"), ("plan", "steps.0", "split"),
    ("bundle", "format", None), ("bundle", "format", 2), ("bundle", "name", None), ("bundle", "more", 1),
    ("bundle", "task.type", "ranking"), ("bundle", "task", None), ("bundle", "inputs.0.dtype", "int64"),
    ("bundle", "inputs.0.rule", {}), ("bundle", "inputs.0.rule.type", "texts"),
    ("bundle", "threshold", "0.5"),
    ("bundle", "metrics.test", [1]), ("bundle", "metrics.test.accuracy", "high"), ("bundle", "missing", ""),
    ("bundle", "files", {}), ("bundle", "files.model\\.onnx", 1), ("bundle", "files.\\.\\./x", "a"),
    ("bundle", "files./etc/x", "a"), ("bundle", "files.bundle\\.json", "a"), ("bundle", "files.a//b", "a"),
    ("bundle", "files.a\\\\b", "a"), ("bundle", "sources", {"t": {}}), ("bundle", "model_digest", None),
]  # fmt: skip
"""Document, path (a dot in a name is written `\\.`), and what stands there; None: the key is gone."""

_STILL_FINE = [
    ("plan", "version", None), ("plan", "steps.0.params", None), ("plan", "steps.0.params.more", 1),
    ("plan", "steps", []), ("bundle", "description", "x"), ("bundle", "spec_digest", None),
    ("bundle", "threshold", 0.5), ("bundle", "files.formats/a\\.b", "x"), ("bundle", "files.\\.hidden", "x"),
    ("bundle", "inputs.0.field.more", 1), ("bundle", "metrics.test.accuracy", 1),
]  # fmt: skip


def mutated(document: Any, path: str, value: Any) -> Any:
    document = copy.deepcopy(document)
    marked = path.replace("\\\\", "\0").replace("\\.", "\1")
    *parents, last = [part.replace("\0", "\\").replace("\1", ".") for part in marked.split(".")]
    holder = document
    for part in parents:
        holder = holder[int(part)] if isinstance(holder, list) else holder[part]
    if isinstance(holder, list):
        holder[int(last)] = value
    elif value is None:
        del holder[last]
    else:
        holder[last] = value
    return document


@pytest.mark.parametrize(("name", "path", "value"), _MUTATED, ids=[f"{c[0]}-{c[1]}-{c[2]}" for c in _MUTATED])
def test_schema_and_reader_refuse_the_same(
    name: str, path: str, value: Any, documents: dict[str, Any]
) -> None:
    broken = mutated(documents[name], path, value)
    assert refusals(name, broken) != []
    assert not is_read(name, broken)


@pytest.mark.parametrize(("name", "path", "value"), _STILL_FINE, ids=[f"{c[0]}-{c[1]}" for c in _STILL_FINE])
def test_schema_and_reader_take_the_same(name: str, path: str, value: Any, documents: dict[str, Any]) -> None:
    document = mutated(documents[name], path, value)
    assert refusals(name, document) == []
    assert is_read(name, document)


@pytest.mark.parametrize("name", _READERS)
def test_schema_and_reader_agree_wherever_a_key_is_lost_or_of_another_kind(
    name: str, documents: dict[str, Any]
) -> None:
    seen = {True: 0, False: 0}
    for path in keys(documents[name]):
        for value in ("missing", None, 1, "x", True, [], {}, [1], {"x": 1}):
            document = copy.deepcopy(documents[name])
            holder = document
            for part in path[:-1]:
                holder = holder[part]
            holder[path[-1]] = value
            if value == "missing":
                del holder[path[-1]]
            verdict = is_read(name, document)
            if (refusals(name, document) == []) != verdict:
                # true is 1 to pydantic's Literal; to JSON it is not.
                assert (path[-1] in ("format", "version")) and value is True, (path, value)
            seen[verdict] += 1
    assert min(seen.values()) > 20


def keys(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of a document's keys; of lists and maps by name only the first entry."""
    if isinstance(document, dict):
        shown = document if path not in [("metrics",), ("files",)] else dict(list(document.items())[:1])
        for name, value in shown.items():
            yield (*path, name)
            yield from keys(value, (*path, name))
    elif isinstance(document, list) and document:
        yield from keys(document[0], (*path, 0))
