import random

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix, random_array
from threadpoolctl import threadpool_limits

from declarative_ml.text.projection import (
    Projection,
    count_matrix,
    learn_projection,
    singular_vectors,
    term_weights,
)
from declarative_ml.text.vocabulary import learn_vocabulary

TOPICS = ["ship harbour sail captain sea", "flour oven bread salt butter", "goal match team ball coach"]


def documents(rows=300, seed=0):
    """Texts of three topics that share some words."""
    source = random.Random(seed)
    return [
        " ".join(source.choices([*TOPICS[row % 3].split(), "the", "and"], k=source.randrange(4, 12)))
        for row in range(rows)
    ]


def learned(texts, components, min_count=1):
    vocabulary = learn_vocabulary(pa.array(texts), ngrams=2, max_terms=1_000, min_count=min_count)
    return vocabulary, learn_projection(vocabulary.find(pa.array(texts)), vocabulary.documents, components)


def test_singular_vectors_are_those_of_numpy():
    made = random_array((80, 60), density=0.2, rng=np.random.default_rng(0), dtype=np.float32)
    rows = csr_matrix(made) + csr_matrix(np.outer(np.arange(80), np.arange(60)) / 2_000, dtype=np.float32)
    vectors = singular_vectors(rows.tocsr(), 60)
    exact = np.linalg.svd(rows.toarray().astype(np.float64))[2].T
    assert vectors.shape == (60, 60)
    agreement = np.abs((vectors * exact).sum(axis=0))
    assert agreement[:20].min() > 0.999
    assert (np.abs(vectors).max(axis=0) == vectors.max(axis=0)).all()
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(60), atol=1e-4)


@pytest.mark.parametrize(
    ("texts", "components", "width"),
    [
        (["a b"] * 5, 8, 1),  # all the same: one direction
        (["a", "b", "c"] * 3, 8, 3),
        (["a"], 1, 1),
        (["…"] * 3, 4, 0),
        ([], 4, 0),
        (documents(), 5, 5),
    ],
)
def test_there_are_as_many_numbers_as_directions(texts, components, width):
    _, projection = learned(pa.array(texts, pa.string()), components)
    assert projection.width == width
    assert projection.factors.shape == (width,)


def test_a_text_is_its_tf_idf_row_projected():
    """Against the textbook, in float64: only the table's whole numbers are coarser."""
    texts = documents()
    vocabulary, projection = learned(texts, 3)
    found = vocabulary.find(pa.array(texts))
    counts = count_matrix(found, len(vocabulary)).toarray().astype(np.float64)
    idf = np.log((1 + len(texts)) / (1 + vocabulary.documents)) + 1
    np.testing.assert_allclose(projection.idf / 16, idf, atol=1 / 32)
    rows = counts * (projection.idf / 16)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    exact = rows @ np.linalg.svd(rows)[2][:3].T
    exact /= np.sqrt((exact**2).mean(axis=0))
    ours = projection.apply(count_matrix(found, len(vocabulary)))
    assert ours.dtype == np.float32
    np.testing.assert_allclose(np.abs((ours * exact).mean(axis=0)), 1.0, atol=1e-3)


def test_weights_of_terms_are_those_of_the_textbook():
    texts = [*documents(), "ship ship ship salt", "", None, "unknown", "ship " * 5_000]
    vocabulary, projection = learned(documents(), 1)
    found = vocabulary.find(pa.array(texts))
    counts = count_matrix(found, len(vocabulary)).toarray().astype(np.float64)
    expected = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0) * projection.idf
    expected /= np.maximum(np.linalg.norm(expected, axis=1, keepdims=True), 1)
    ours = term_weights(count_matrix(found, len(vocabulary)), projection.idf)
    assert ours.dtype == np.float32 and ours.has_sorted_indices
    np.testing.assert_allclose(ours.toarray(), expected, atol=1e-6)
    lengths = np.sqrt(np.asarray(ours.power(2).sum(axis=1)).ravel())
    np.testing.assert_allclose(lengths[[0, 300, 301, 302, 303, 304]], [1, 1, 0, 0, 0, 1], atol=1e-6)


def test_numbers_have_unit_size_and_tell_the_topics():
    texts = documents()
    vocabulary, projection = learned(texts, 4)
    numbers = projection.apply(count_matrix(vocabulary.find(pa.array(texts)), len(vocabulary)))
    np.testing.assert_allclose((numbers**2).mean(axis=0), 1.0, rtol=1e-5)
    fresh = projection.apply(count_matrix(vocabulary.find(pa.array(documents(90, seed=9))), len(vocabulary)))
    centres = np.stack([numbers[topic::3].mean(axis=0) for topic in range(3)])
    nearest = ((fresh[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == np.arange(90) % 3).mean() > 0.98


def test_unknown_and_missing_texts_are_zeros():
    vocabulary, projection = learned(documents(), 4)
    found = vocabulary.find(pa.array([None, "", "unknown words", "…"]))
    numbers = projection.apply(count_matrix(found, len(vocabulary)))
    np.testing.assert_array_equal(numbers, np.zeros((4, 4), dtype=np.float32))


def test_sums_are_whole_numbers_that_float32_holds():
    vocabulary, projection = learned(documents(), 4)
    assert np.abs(projection.table).max() == 8_191
    assert projection.table.dtype == np.int16
    assert projection.idf.min() >= 16
    long = " ".join(documents()[:200])
    (exact,) = count_matrix(vocabulary.find(pa.array([long])), len(vocabulary)) @ projection.table.astype(
        np.int64
    )
    (single,) = count_matrix(vocabulary.find(pa.array([long])), len(vocabulary)) @ projection.table.astype(
        np.float32
    )
    np.testing.assert_array_equal(exact, single)


def test_json_round_trip():
    _, projection = learned(documents(), 4)
    again = Projection.from_json(projection.as_json())
    for name in ("idf", "table", "factors"):
        np.testing.assert_array_equal(getattr(again, name), getattr(projection, name))
        assert getattr(again, name).dtype == getattr(projection, name).dtype


def test_the_same_texts_give_the_same_table():
    assert learned(documents(), 8)[1].as_json() == learned(documents(), 8)[1].as_json()


def test_the_table_does_not_depend_on_the_number_of_threads():
    source = random.Random(3)
    texts = [" ".join(f"w{int(source.paretovariate(0.7))}" for _ in range(30)) for _ in range(1_500)]
    tables = []
    for threads in (1, 2):
        with threadpool_limits(limits=threads, user_api="blas"):
            tables.append(learned(texts, 600)[1].as_json())
    assert tables[0] == tables[1]
