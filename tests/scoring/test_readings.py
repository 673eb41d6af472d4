"""Readings on the way to the graph: each text once, the versions compared, the pipeline found."""

import threading
import warnings

import numpy as np
import pytest

from declarative_ml.core.errors import MissingDependency
from declarative_ml.core.reading import Reading
from declarative_ml.core.schema import ColumnRule
from declarative_ml.scoring import readings
from declarative_ml.scoring.readings import PipelineWarning, Readers, as_column, text_reader
from declarative_ml.store.bundle import Input
from declarative_ml.text.pipelines import PipelineReader

spacy = pytest.importorskip("spacy")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    nlp = spacy.blank("en")
    nlp.add_pipe("attribute_ruler").add(patterns=[[{"LOWER": "ships"}]], attrs={"LEMMA": "ship"})
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "PLACE", "pattern": "Paris"}])
    place = tmp_path_factory.mktemp("pipelines")
    nlp.to_disk(place / "ships")
    return place


def reading(**versions):
    return Reading(pipeline="./ships", lemmas=True, entities=True, parts_of_speech=False, **versions)


def reader_of_ships(folder):
    pipeline = readings.find_pipeline("./ships", [folder])
    return readings.TextReader(PipelineReader(pipeline, reading()), reading())


def column(name, given):
    return Input(name=name, feature="text", dtype="string", rule=ColumnRule(type="text"), reading=given)


def test_each_different_text_is_read_once(folder, monkeypatch):
    reader = reader_of_ships(folder)
    seen = []
    read = reader._reader.read
    monkeypatch.setattr(reader._reader, "read", lambda texts: seen.extend(texts) or read(texts))
    assert reader.read(["Ships", "", "Paris", "Ships"]) == ["ship", "", "paris entityplace", "ship"]
    assert reader.read(["Paris", "  ", "Ships"]) == ["paris entityplace", " ", "ship"]
    assert seen == ["Ships", "Paris", "  "]


def test_little_is_remembered(folder, monkeypatch):
    monkeypatch.setattr(readings, "_REMEMBERED", 100)
    reader = reader_of_ships(folder)
    for number in range(50):
        assert reader.read([f"ships {number}"]) == [f"ship {number}"]
    assert reader.read(["ships " * 50]) == [" ".join(["ship"] * 50)]
    assert sum(map(len, reader._known)) <= 100


def test_columns_without_a_reading_stay_as_they_are(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    columns = {"note": as_column(["Ships", ""]), "city": as_column(["Ships", "x"]), "age": np.zeros((2, 1))}
    read = Readers([column("note", reading()), column("city", None)], tmp_path).read(columns)
    assert read["note"].tolist() == [["ship"], [""]]
    assert read["city"] is columns["city"] and read["age"] is columns["age"]


def test_a_folder_above_the_bundle_is_found(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bundle = folder / ".dml" / "runs" / "1" / "bundle"
    bundle.mkdir(parents=True, exist_ok=True)
    assert Readers([column("note", reading())], bundle).read({"note": as_column(["Ships"])})["note"] == "ship"
    with pytest.raises(MissingDependency, match=r"the spaCy pipeline '\./ships' is not installed"):
        Readers([column("note", reading())], tmp_path)


@pytest.mark.parametrize(
    ("versions", "message"),
    [
        ({"version": "9.9"}, r"'\./ships' has version 0\.0\.0 here, the model was trained with 9\.9:"),
        ({"version": "0.0.0", "digest": "ab"}, "has other files here than when the model was trained"),
        ({"spacy": "3.7.9"}, r"spaCy has version 3\.8\.\d+ here, the model was trained with 3\.7\.9"),
    ],
)
def test_other_versions_are_told(versions, message, folder):
    with pytest.warns(PipelineWarning, match=message):
        text_reader(reading(**versions), [folder])


def test_the_same_versions_say_nothing(folder):
    described = text_reader(reading(), [folder]).described
    assert (described.version, described.spacy) == ("0.0.0", spacy.__version__)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert text_reader(described, [folder]) is text_reader(reading(), [folder])
        text_reader(described.model_copy(update={"spacy": "3.8.2"}), [folder])


def test_threads_share_one_pipeline(folder):
    reader, found = text_reader(reading(), [folder]), {}

    def read(number):
        found[number] = reader.read([f"ships {number} {place}" for place in range(30)])

    threads = [threading.Thread(target=read, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: [f"ship {number} {place}" for place in range(30)] for number in range(6)}
