from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from declarative_ml.spec.dump import spec_digest, spec_to_yaml
from declarative_ml.spec.load import LoadedSpec, load_spec

Load = Callable[..., LoadedSpec]

_SPECS = [
    "",
    "description: |\n  Two lines,\n  plain.\nowner: 'a: b # c'",
    "description: 1e-3\nowner: 0o14\nexclude: ['010', 'NO', '12:30', 'null', '~', '$${env:x}', 'true']",
    "target: {column: Churn, type: binary, positive: 'Yes'}\nmodel: {type: ensemble, members: [mlp, linear]}",
    "features: {tenure: number, 'a.b': {type: category, max_levels: 9}, signup: date}\nothers: auto",
    "data: {source: table.csv, split: {method: files, test: t.csv, validation: 0.1}, missing: ['', '-']}",
    'data: {sources: {a: a.csv, b: b.csv}, sql: "SELECT * FROM a\\nJOIN b USING (id) -- ü"}',
    "evaluate: {slices: [Contract, {tenure: 1}], threshold: {maximize: f1}}\nexplain: false\ntrack: false",
    "target: {column: tenure, type: multiclass}\nmodel: {type: mlp, learning_rate: 1e-5}\nweight: importance",
]


@pytest.mark.parametrize("text", _SPECS)
def test_the_resolved_spec_reads_back_equal(text: str, load: Load, folder: Path) -> None:
    loaded = load(text)
    copy = folder / "resolved.yaml"
    copy.write_text(spec_to_yaml(loaded.spec, folder))
    again = load_spec(copy)
    assert again.spec == loaded.spec
    assert again.digest == loaded.digest == spec_digest(loaded.spec, folder)


def test_the_digest_does_not_depend_on_the_folder(tmp_path: Path) -> None:
    text = "name: x\ndata: {source: table.csv}\ntarget: Churn\n"
    digests = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "spec.yaml").write_text(text)
        digests.append(load_spec(tmp_path / name / "spec.yaml").digest)
    assert digests[0] == digests[1]


def test_the_digest_sees_meaning_and_not_form(load: Load) -> None:
    assert load("model: mlp").digest == load("# c\nmodel:\n  type: mlp\nseed: 42").digest
    assert load("seed: 1").digest != load("seed: 2").digest


def test_the_yaml_is_meant_for_people(load: Load, folder: Path) -> None:
    text = spec_to_yaml(
        load("evaluate: {metrics: [f1, recall]}\nmodel: {type: mlp, layers: [8, 8]}").spec, folder
    )
    assert "layers: [8, 8]" in text
    assert "metrics: [f1, recall]" in text
    assert "null\n" not in text
    assert "path: table.csv" in text
    assert list(yaml.safe_load(text))[:3] == ["version", "name", "data"]
