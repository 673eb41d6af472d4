"""A column of texts from the file to the answer, with every model."""

import csv
import json
import random

import pytest

SEA, LAND = "ship harbour sail captain deck", "flour oven bread salt butter"


def write_table(path, rows=240, seed=0):
    source = random.Random(seed)
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["row", "note", "kind"])
        for row in range(rows):
            words = [
                *source.choices((SEA, LAND)[row % 2].split(), k=4),
                *source.choices(["the", "a", "of", "and"], k=4),
            ]
            source.shuffle(words)
            note = (
                ""
                if not row % 31
                else " ".join(words).capitalize() + source.choice((".", "!", " é")) + f" {row}"
            )
            writer.writerow([row, note, ("sea", "land")[row % 2]])


@pytest.mark.parametrize(
    "model",
    [
        "linear",
        pytest.param("lightgbm", marks=pytest.mark.slow),
        pytest.param({"type": "mlp", "epochs": 20}, marks=pytest.mark.slow),
        pytest.param({"type": "ensemble", "members": ["linear", "lightgbm"]}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_texts_are_found_used_and_predicted_from(model, dml, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "notes.csv")
    spec = {
        "name": "notes", "data": {"source": "notes.csv"}, "target": {"column": "kind", "positive": "sea"},
        "model": model, "track": False, "explain": {"rows": 5}, "resources": {"cpu": 1},
    }  # fmt: skip
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))
    ran = dml("run", "--format", "json", "-q")
    assert ran.code == 0, ran.err
    report = json.loads(ran.out)
    assert report["metrics"]["test"]["accuracy"] > 0.9
    manifest = json.loads((tmp_path / report["bundle"] / "bundle.json").read_text())
    assert [(column["name"], column["feature"]) for column in manifest["inputs"]] == [("note", "text")]
    (tmp_path / "new.csv").write_text('note\n"Salt, butter & BREAD"\nTHE SHIP! harbour\n\n')
    answers = dml("predict", "spec.yaml", "new.csv").out.splitlines()
    assert [line.partition(",")[0].strip('"') for line in answers[1:3]] == ["land", "sea"]


@pytest.mark.parametrize("imbalance", ["none", "oversample"])
def test_linear_weighs_the_terms_of_all_columns(imbalance, dml, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "notes.csv")
    spec = {
        "name": "notes", "data": {"source": "notes.csv", "sql": "select *, note as title from source"},
        "features": {"note": "text", "title": {"type": "text", "ngrams": 1}}, "imbalance": imbalance,
        "target": {"column": "kind", "positive": "sea"}, "model": "linear", "track": False,
        "explain": {"rows": 5}, "resources": {"cpu": 1},
    }  # fmt: skip
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))
    ran = dml("run", "--format", "json", "-q")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["metrics"]["test"]["accuracy"] > 0.9
    fits = [json.loads(path.read_text()) for path in tmp_path.glob(".dml/store/artifacts/*/*/train.json")]
    found = [fit["importance"] for fit in fits if "note" in fit["importance"]]
    assert len(found) >= 2
    for importance in found:
        assert importance["note"] > 0.0 and importance["title"] > 0.0
        assert not any(importance[f"note.{number}"] for number in (1, 2, 3))


def test_init_says_what_is_text(dml, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "notes.csv")
    assert dml("init", "notes.csv", "--target", "kind").code == 0
    written = (tmp_path / "spec.yaml").read_text()
    assert "#   text: note" in written
    assert "- row   # looks like an id" in written
