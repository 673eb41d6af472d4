"""A column of texts read by spaCy, from the file to the answer."""

import csv
import json
import random
import shutil

import numpy as np
import onnxruntime
import pytest

from declarative_ml.scoring.scorer import Scorer
from declarative_ml.store.bundle import Bundle

spacy = pytest.importorskip("spacy")

FORMS = {"sail": ["sail", "sails", "sailed", "sailing"], "bake": ["bake", "bakes", "baked", "baking"]}


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory):
    """The folder of a pipeline that knows the forms of two verbs, and a place."""
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("attribute_ruler")
    for lemma, forms in FORMS.items():
        ruler.add(patterns=[[{"LOWER": {"IN": forms}}]], attrs={"LEMMA": lemma})
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "PLACE", "pattern": "Oslo"}])
    place = tmp_path_factory.mktemp("pipelines")
    nlp.to_disk(place / "verbs")
    return place


def write_project(folder, pipelines, rows=160):
    shutil.copytree(pipelines / "verbs", folder / "models" / "verbs")
    source = random.Random(0)
    with (folder / "notes.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["note", "kind"])
        for row in range(rows):
            # "baking" and "sailing" never come: only the lemma can tell them.
            words = [("sails sailed", "bakes baked")[row % 2].split()[source.randrange(2)]]
            words += source.choices(["we", "they", "Oslo", "today", "again"], k=4)
            writer.writerow(["" if row % 40 == 39 else " ".join(words), ("sea", "land")[row % 2]])
    text = {"type": "text", "encoder": "spacy", "pipeline": "models/verbs"}
    spec = {
        "name": "notes", "data": {"source": "notes.csv"}, "target": {"column": "kind", "positive": "sea"},
        "features": {"note": text}, "model": "linear", "track": False, "explain": {"rows": 3},
        "resources": {"cpu": 1}, "evaluate": {"slices": ["note"]},
    }  # fmt: skip
    (folder / "spec.yaml").write_text(json.dumps(spec))


def test_texts_are_read_learned_from_and_explained(dml, tmp_path, pipelines, monkeypatch):
    write_project(tmp_path, pipelines)
    monkeypatch.chdir(tmp_path)
    ran = dml("run", "--format", "json", "-q")
    assert ran.code == 0, ran.err
    report = json.loads(ran.out)
    assert report["metrics"]["test"]["accuracy"] > 0.9
    bundle = tmp_path / report["bundle"]
    (column,) = json.loads((bundle / "bundle.json").read_text())["inputs"]
    assert column["reading"] | {"digest": None} == {
        "pipeline": "models/verbs", "version": "0.0.0", "spacy": spacy.__version__, "digest": None,
        "lemmas": True, "entities": True, "parts_of_speech": False,
    }  # fmt: skip
    assert "model.onnx alone does not read the texts of note" in (tmp_path / report["report"]).read_text()
    assert "entityplace" in json.loads((bundle / "reference.json").read_text())["columns"]["note"]["terms"]

    (tmp_path / "new.csv").write_text("note,kind\nWe were SAILING!,sea\nbaking again,land\n,land\n")
    (tmp_path / "away").mkdir()
    monkeypatch.chdir(tmp_path / "away")  # the pipeline is found from the bundle
    answers = dml("predict", "../spec.yaml", "../new.csv").out.splitlines()
    assert [line.partition(",")[0].strip('"') for line in answers[1:3]] == ["sea", "land"]
    measured = json.loads(dml("evaluate", "../spec.yaml", "../new.csv", "--format", "json").out)
    assert measured["rows"] == 3
    told = dml("explain", "../spec.yaml", "--row", '{"note": "sailing"}', "--format", "json")
    given = json.loads(told.out)["rows"][0]
    assert given["prediction"] == pytest.approx(given["base"] + given["values"]["note"], abs=1e-3)
    assert given["prediction"] > 0.5

    scorer = Scorer(Bundle.open(bundle, verify=True))
    inputs, _ = scorer.raw_rows([{"note": "They sailed to Oslo"}, {"note": None}])
    assert inputs["note"].tolist() == [["they sail to oslo entityplace"], [""]]
    session = onnxruntime.InferenceSession(bundle / "model.onnx")
    probabilities = session.run(["probabilities"], {"note": inputs["note"]})[0]
    assert np.array_equal(probabilities, scorer.predict_raw(inputs).probabilities)
    assert json.loads(session.get_modelmeta().custom_metadata_map["readings"])["note"] == column["reading"]


def test_tests_change_the_text_and_not_its_reading(dml, tmp_path, pipelines, monkeypatch):
    write_project(tmp_path, pipelines)
    spec = json.loads((tmp_path / "spec.yaml").read_text())
    given = [{"given": {"note": "We were SAILING!"}, "prediction": "sea"}]
    spec["tests"] = {
        "known": {"type": "expect", "rows": given},
        "shouting": {"type": "robustness", "noise": "case", "max_change": 0.01},
    }
    spec["explain"] = False
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))
    monkeypatch.chdir(tmp_path)
    ran = json.loads(dml("run", "--format", "json", "-q").out)
    assert [(item["passed"], item["rows"] > 0) for item in ran["tests"]] == [(True, True), (True, True)]
    again = json.loads(dml("test", "--format", "json").out)
    assert (again["passed"], again["tests"][1]["rows"]) == (2, ran["tests"][1]["rows"])


def test_another_pipeline_ages_what_was_learned_from_it(dml, tmp_path, pipelines, monkeypatch):
    write_project(tmp_path, pipelines, rows=60)
    monkeypatch.chdir(tmp_path)
    assert dml("run", "--until", "prepare", "-q").code == 0
    assert "0 steps run, 4 cached" in dml("run", "--until", "prepare").out
    with (tmp_path / "models" / "verbs" / "meta.json").open("a") as stream:
        stream.write("\n")
    assert "1 steps run, 3 cached" in dml("run", "--until", "prepare").out


@pytest.mark.parametrize(
    ("pipeline", "hint"),
    [("en_core_web_xx", "python -m spacy download en_core_web_xx"), ("./absent", "no folder with a meta")],
)
def test_without_the_pipeline_nothing_begins(pipeline, hint, dml, tmp_path, pipelines, monkeypatch):
    write_project(tmp_path, pipelines, rows=60)
    monkeypatch.chdir(tmp_path)
    spec = json.loads((tmp_path / "spec.yaml").read_text())
    spec["features"]["note"]["pipeline"] = pipeline
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))
    assert dml("validate").code == 0
    ran = dml("run")
    assert ran.code == 7
    assert f"the spaCy pipeline '{pipeline}' is not installed" in ran.err and hint in ran.err
    assert not list((tmp_path / ".dml").glob("runs/*/bundle"))


@pytest.mark.filterwarnings("default")
def test_another_version_is_told_on_stderr(dml, tmp_path, pipelines, monkeypatch):
    write_project(tmp_path, pipelines)
    monkeypatch.chdir(tmp_path)
    assert dml("run", "-q").code == 0
    meta = tmp_path / "models" / "verbs" / "meta.json"
    meta.write_text(meta.read_text().replace('"version":"0.0.0"', '"version":"0.0.1"'))
    answered = dml("predict", "spec.yaml", "notes.csv")
    assert answered.code == 0
    assert "has version 0.0.1 here, the model was trained with 0.0.0: readings" in answered.err
    assert answered.err.startswith("warning: the spaCy pipeline 'models/verbs'")
