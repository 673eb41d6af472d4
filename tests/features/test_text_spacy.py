"""The encoder `spacy` of the feature text: its options, and the same terms as `ngrams` from readings."""

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from declarative_ml.core.reading import Reading
from declarative_ml.features.text import Text


def fit(feature, values):
    statistics = feature.accumulator()
    statistics.update(pa.array(values, pa.string()), np.arange(len(values), dtype=np.uint64))
    return feature.fit(statistics)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"lemmas": True, "entities": True, "parts_of_speech": False}),
        ({"lemmas": False}, {"lemmas": False, "entities": True, "parts_of_speech": False}),
        (
            {"entities": False, "parts_of_speech": True},
            {"lemmas": True, "entities": False, "parts_of_speech": True},
        ),
    ],
)
def test_what_is_asked_of_the_pipeline(options, expected):
    feature = Text(encoder="spacy", pipeline="en_core_web_sm", **options)
    assert feature.reading() == Reading(pipeline="en_core_web_sm", **expected)
    assert Text.model_validate(feature.options()) == feature


def test_ngrams_needs_no_reading():
    assert Text().reading() is None
    assert Text.model_validate(Text().options()) == Text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lemmas": True}, "unknown option of the encoder ngrams: add encoder: spacy, or delete it"),
        ({"entities": False}, "unknown option of the encoder ngrams"),
        ({"parts_of_speech": False}, "unknown option of the encoder ngrams"),
        ({"encoder": "ngrams", "pipeline": "en_core_web_sm"}, "unknown option of the encoder ngrams"),
        ({"encoder": "spacy"}, "the encoder spacy needs 'pipeline'"),
        ({"encoder": "spacy", "pipeline": ""}, "at least 1 character"),
        ({"encoder": "spacy", "pipeline": "x", "lemma": True}, "Extra inputs are not permitted"),
    ],
)
def test_options_that_do_not_fit_the_encoder(options, message):
    with pytest.raises(ValidationError, match=message):
        Text(**options)


def test_readings_are_read_as_any_text():
    readings = ["ship sail to paris entitygpe posnoun posverb", "dog bark posnoun posverb", " ", ""] * 10
    spacy, ngrams = Text(encoder="spacy", pipeline="en_core_web_sm"), Text()
    state = fit(spacy, readings)
    assert {"entitygpe", "posnoun"} <= set(state["tokens"])
    plain = fit(ngrams, readings)
    assert state == plain
    values = pa.array(readings, pa.string())
    for given, expected in zip(
        (spacy.encode(values, state).raw, spacy.encode(values, state).scaled),
        (ngrams.encode(values, plain).raw, ngrams.encode(values, plain).scaled),
        strict=True,
    ):
        assert np.array_equal(given, expected)


def test_the_example_of_a_request_is_made_of_words():
    feature = Text(encoder="spacy", pipeline="en_core_web_sm")
    state = fit(feature, ["ship sail entitygpe posnoun posverb"] * 20)
    (example,) = feature.field(state)["examples"]
    assert sorted(example.split()) == ["sail", "ship"]
