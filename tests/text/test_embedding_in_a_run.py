"""A column of texts with vectors, from the file to the answer: embedding models, and a spaCy table."""

import csv
import json
import random
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from embedding_models import SPECIAL, WIDTH, write_graph, write_static, write_tensors

from declarative_ml.scoring.scorer import Scorer
from declarative_ml.store.bundle import Bundle

KINDS = {"sea": ["sail", "sailed", "wave", "harbour"], "land": ["bake", "baking", "field", "oven"]}
FILLING = ["we", "they", "oslo", "today", "again"]
UNSEEN = {"sea": "harbour", "land": "oven"}


def meanings(words):
    """Vectors that tell the kinds apart."""
    source = np.random.default_rng(0)
    found = {word: source.standard_normal(WIDTH).astype(np.float32) / 4 for word in words}
    for sign, kind in ((1, "sea"), (-1, "land")):
        for word in KINDS[kind]:
            found[word][0] += sign * 2
    return found


def write_project(folder, feature, model, rows=160, **more):
    source = random.Random(0)
    with (folder / "notes.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["note", "wind", "place", "kind"])
        for row in range(rows):
            kind = ("sea", "land")[row % 2]
            words = source.choices([word for word in KINDS[kind] if word != UNSEEN[kind]], k=2)
            words += source.choices(FILLING, k=4)
            text = "" if row % 40 == 39 else " ".join(words)
            writer.writerow([text, f"{source.random():.3f}", source.choice(["north", "south"]), kind])
    spec = {
        "name": "notes", "data": {"source": "notes.csv"}, "target": {"column": "kind", "positive": "sea"},
        "features": {"note": {"type": "text", **feature}}, "others": "auto", "model": model, "track": False,
        "explain": {"rows": 3}, "resources": {"cpu": 1}, **more,
    }  # fmt: skip
    (folder / "spec.yaml").write_text(json.dumps(spec))


def write_meanings(folder):
    words = [*FILLING, *(word for kind in KINDS.values() for word in kind)]
    write_static(folder, words=words)
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    table, known = np.zeros((len(vocabulary), WIDTH), np.float32), meanings(words)
    for token, place in vocabulary.items():
        if token not in SPECIAL and token in known:
            table[place] = known[token]
    write_tensors(folder / "model.safetensors", embeddings=table)


NEW = [
    {"note": "a harbour", "wind": 0.5, "place": "north"},
    {"note": "an OVEN, again", "wind": 0.1, "place": "south"},
    {"note": None, "wind": None, "place": None},
]


def ran(dml, folder):
    done = dml("run", "--format", "json", "-q")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert report["metrics"]["test"]["accuracy"] > 0.9
    return report, folder / report["bundle"]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["linear", "lightgbm", "mlp"])
def test_the_bundle_reads_texts_by_the_model_that_it_carries(model, dml, tmp_path, monkeypatch):
    pytest.importorskip("tokenizers")
    if model == "mlp":
        pytest.importorskip("torch")
    write_meanings(tmp_path / "models/static")
    ngrams = 2 if model == "linear" else 0  # trees and networks lean on terms, and new words have none
    feature = {"encoder": "embedding", "model": "models/static", "ngrams": ngrams}
    write_project(tmp_path, feature, model)
    monkeypatch.chdir(tmp_path)
    report, bundle = ran(dml, tmp_path)
    (reading,) = [item["reading"] for item in json.loads((bundle / "bundle.json").read_text())["inputs"]
                  if item["name"] == "note"]  # fmt: skip
    assert (reading["model"], reading["kind"]) == ("models/static", "static")
    carried = bundle / "embeddings" / reading["digest"][:16] / "model.safetensors"
    assert carried.read_bytes() == (tmp_path / "models/static/model.safetensors").read_bytes()
    told = (tmp_path / report["report"]).read_text()
    assert "the embedding model models/static, which the bundle carries" in told

    shutil.copytree(bundle, tmp_path / "away/bundle")
    shutil.rmtree(tmp_path / "models")
    monkeypatch.chdir(tmp_path / "away")
    Path("new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in NEW))
    answered = dml("predict", "bundle", "new.jsonl", "-o", "answers.csv")
    assert answered.code == 0, answered.err
    with Path("answers.csv").open(newline="") as stream:
        batch = list(csv.DictReader(stream))
    assert [row["prediction"] for row in batch[:2]] == ["sea", "land"]  # by their vectors alone
    scorer = Scorer(Bundle.open("bundle", verify=True))
    session = onnxruntime.InferenceSession("bundle/model.onnx")
    for row, said in zip(NEW, batch, strict=True):
        alone = scorer.predict_rows([row]).probabilities
        assert alone[0, 1] == pytest.approx(float(said["probability_sea"]), abs=1e-6)
        inputs, _ = scorer.raw_rows([row])
        assert np.array_equal(session.run(["probabilities"], inputs)[0], alone)


@pytest.mark.slow
def test_an_onnx_model_is_read_learned_from_and_aged_by_its_files(dml, tmp_path, monkeypatch):
    pytest.importorskip("tokenizers")
    write_graph(tmp_path / "bert")
    tests = {"shouting": {"type": "robustness", "noise": "case", "max_change": 0.5}}
    feature = {"encoder": "embedding", "model": "bert", "ngrams": 0}
    write_project(tmp_path, feature, "linear", tests=tests, convert=["onnx-core"])
    monkeypatch.chdir(tmp_path)
    report, _ = ran(dml, tmp_path)
    assert [item["passed"] for item in report["tests"]] == [True]
    assert [item["status"] for item in report["conversions"]] == ["ok"], report["conversions"]
    assert "0 steps run, 4 cached" in dml("run", "--until", "prepare").out
    write_graph(tmp_path / "bert", seed=1)
    assert "1 steps run, 3 cached" in dml("run", "--until", "prepare").out
    (tmp_path / "bert").rename(tmp_path / "gone")
    missing = dml("run")
    assert missing.code == 7 and "the embedding model 'bert' is not installed" in missing.err
    assert dml("validate").code == 0


@pytest.mark.slow
def test_vectors_of_a_spacy_pipeline_tell_what_words_do_not(dml, tmp_path, monkeypatch):
    spacy = pytest.importorskip("spacy")
    nlp = spacy.blank("en")
    nlp.vocab.reset_vectors(width=WIDTH)
    for word, vector in meanings([*FILLING, *(word for kind in KINDS.values() for word in kind)]).items():
        nlp.vocab.set_vector(word, vector)
    nlp.to_disk(tmp_path / "vectors")
    feature = {
        "encoder": "spacy", "pipeline": "./vectors", "lemmas": False, "entities": False, "vectors": True,
    }  # fmt: skip
    write_project(tmp_path, feature, "linear")
    monkeypatch.chdir(tmp_path)
    _, bundle = ran(dml, tmp_path)
    scorer = Scorer(Bundle.open(bundle, verify=True))
    assert scorer.predict_rows([{**row, "wind": 0.5, "place": "north"} for row in NEW[:1]]).prediction == [
        "sea"
    ]
    inputs, _ = scorer.raw_rows(NEW)
    assert inputs["note"][0, 0].startswith("a harbour\t") and inputs["note"][2, 0] == ""


@pytest.mark.slow
def test_real_messages_with_columns_beside_them(dml, shared_data, tmp_path, monkeypatch):
    pytest.importorskip("tokenizers")
    with (shared_data / "sms_spam/train.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))[:1_500]
    words = sorted({word for row in rows for word in row["text"].lower().split() if word.isalpha()})
    write_static(tmp_path / "static", words=words)
    with (tmp_path / "sms.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["message", "digits", "hour", "label"])
        for number, row in enumerate(rows):
            digits = sum(character.isdigit() for character in row["text"])
            writer.writerow([row["text"], digits, ("day", "night")[number % 2], row["label"]])
    feature = {"type": "text", "encoder": "embedding", "model": "static"}
    spec = {"name": "sms", "data": {"source": "sms.csv"}, "target": {"column": "label"}, "track": False,
            "features": {"message": feature}, "others": "auto", "model": "linear", "explain": False,
            "resources": {"cpu": 1}}  # fmt: skip
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))
    monkeypatch.chdir(tmp_path)
    _, bundle = ran(dml, tmp_path)
    assert dml("predict", str(bundle), "sms.csv", "-o", "answers.csv").code == 0
    with (tmp_path / "answers.csv").open(newline="") as stream:
        batch = [float(row["probability_spam"]) for row in csv.DictReader(stream)]
    scorer = Scorer(Bundle.open(bundle))
    with (tmp_path / "sms.csv").open(newline="") as stream:
        given = list(csv.DictReader(stream))
    for number in range(0, 1_500, 50):
        one = {key: value for key, value in given[number].items() if key != "label"}
        assert scorer.predict_rows([one]).probabilities[0, 1] == pytest.approx(batch[number], abs=1e-5)
