"""Vectors of spaCy pipelines: the direction of `Doc.vector`, by the compiled reader and the plain one."""

import numpy as np
import pytest

from declarative_ml.core.errors import DataError
from declarative_ml.core.reading import Reading
from declarative_ml.text.linguistics import PlainAdder, compiled, compiled_adder
from declarative_ml.text.pipelines import PipelineReader, find_pipeline

spacy = pytest.importorskip("spacy")

WORDS = ["we", "sail", "sailed", "bake", "Oslo", "été", "👍", "!"]
WIDTH = 7


def with_vectors():
    nlp = spacy.blank("en")
    source = np.random.default_rng(0)
    nlp.vocab.reset_vectors(width=WIDTH)
    for word in WORDS:
        nlp.vocab.set_vector(word, source.standard_normal(WIDTH).astype(np.float32))
    return nlp


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("pipelines")
    with_vectors().to_disk(place / "vectors")
    return place


def reader(folder, name="vectors", **asked):
    options = {"lemmas": False, "entities": False, "parts_of_speech": False, "vectors": True, **asked}
    reading = Reading(pipeline=f"./{name}", **options)
    return PipelineReader(find_pipeline(reading.pipeline, [folder]), reading)


TEXTS = ["We sailed to Oslo!", "we sail", "", "nothing is known", "été 👍", " ", "bake " * 10_100]


def test_readings_hold_the_direction_of_the_vector(folder):
    nlp = spacy.load(folder / "vectors")
    for text, found in zip(TEXTS, reader(folder).read(TEXTS), strict=True):
        words, _, numbers = found.partition("\t")
        vector = np.mean(
            [token.vector for token in nlp.tokenizer(text)] or [np.zeros(WIDTH)], axis=0, dtype=float
        )
        if not vector.any():
            assert not numbers and (found == "") == (text == "")
            continue
        assert words.split()[0] == text.split()[0].lower()
        made = np.array(numbers.split(" "), float)
        assert np.abs(made - vector / np.linalg.norm(vector)).max() < 6e-5


def adders(vectors):
    found = [PlainAdder(vectors)]
    return found if compiled() is None else [*found, compiled_adder(compiled(), vectors)]


@pytest.mark.parametrize("attribute", ["ORTH", "LOWER"])
def test_both_adders_agree_on_any_words(attribute):
    from spacy.vectors import Vectors

    nlp = spacy.blank("en")
    source = np.random.default_rng(1)
    table = source.standard_normal((5, WIDTH)).astype(np.float32)
    vectors = Vectors(strings=nlp.vocab.strings, data=table, attr=attribute)
    for number, word in enumerate(WORDS):  # several words share a row, as in a pruned table
        vectors.add(word, row=number % 5)
    for _ in range(100):
        words = source.choice([*WORDS, "WE", "unknown", " ", "\n"], size=source.integers(0, 12)).tolist()
        doc, found = nlp(" ".join(words)), []
        for adder in adders(vectors):
            total = np.zeros(WIDTH)
            found.append((adder.add(doc, total), total.tolist()))
        assert all(each == found[0] for each in found)
        keys = [token.orth if attribute == "ORTH" else token.lower for token in doc]
        assert found[0][0] == sum(key in vectors.key2row for key in keys)


@pytest.mark.skipif(compiled() is None, reason="not compiled here")
def test_a_total_of_another_width_is_refused():
    adder = compiled_adder(compiled(), with_vectors().vocab.vectors)
    with pytest.raises(ValueError, match="not as wide"):
        adder.add(spacy.blank("en")("we sail"), np.zeros(WIDTH + 1))


def floret():
    from spacy.vectors import Vectors

    nlp = spacy.blank("en")
    table = np.ones((8, 4), np.float32)
    nlp.vocab.vectors = Vectors(
        strings=nlp.vocab.strings, data=table, mode="floret", minn=2, maxn=3, hash_count=1
    )
    return nlp


def only_tok2vec():
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec")
    nlp.initialize()
    return nlp


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: spacy.blank("en"), r"'\./odd' has no table of word vectors\n"),
        (only_tok2vec, r"no table of word vectors: what its tok2vec computes are no vectors of words\n"),
        (floret, r"computes vectors from pieces of words \(floret\), and has no table of words"),
    ],
)
def test_pipelines_without_a_table_are_refused(make, message, tmp_path):
    make().to_disk(tmp_path / "odd")
    with pytest.raises(DataError, match=message) as found:
        reader(tmp_path, "odd")
    assert "set vectors: false" in found.value.hint


def test_without_vectors_a_reading_is_written_as_before():
    reading = Reading(pipeline="x", lemmas=True, entities=True, parts_of_speech=False)
    assert "vectors" not in reading.model_dump() and "vectors" not in reading.model_dump_json()
    more = reading.model_copy(update={"vectors": True})
    assert more.model_dump()["vectors"] is True
    assert Reading.model_validate(more.model_dump()) == more
