from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from declarative_ml.learning.terms import term_digests
from declarative_ml.models.linear_terms import TermBasis, learn_basis

TITLE, BODY = ["sea", "oil"], ["oil", "ham", "sea salt"]
DIGESTS = np.concatenate([term_digests(TITLE), term_digests(BODY)])
HELD = np.array([[1, 0, 0, 0, 1], [1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1]], dtype=np.float32)


def basis(classes: np.ndarray | None = None, digests: np.ndarray = DIGESTS) -> TermBasis:
    return learn_basis([(csr_matrix(HELD), classes)], digests, [2, 3])


def test_a_term_of_two_columns_has_a_common_part_beside_its_own() -> None:
    title, body = 2 * np.sqrt(4 / 11), 2 * np.sqrt(7 / 11)  # of 11 entries, 4 are of the title
    alone = np.sqrt(1.25)
    expected = [
        [title * alone, 0, 0, 0, 0, 0],
        [0, title * 0.5, 0, 0, 0, title],
        [0, 0, body * 0.5, 0, 0, body],
        [0, 0, 0, body * alone, 0, 0],
        [0, 0, 0, 0, body * alone, 0],
    ]
    np.testing.assert_allclose(basis().spread.toarray(), expected)


def test_every_term_is_as_strong_alone_as_with_its_common_part() -> None:
    squares = np.asarray(basis().spread.power(2).sum(axis=1)).ravel()
    np.testing.assert_allclose(squares, np.repeat([5 * 4 / 11, 5 * 7 / 11], [2, 3]))


def test_columns_without_a_term_in_common() -> None:
    spread = basis(digests=np.arange(5, dtype=np.uint64)).spread
    assert spread.shape == (5, 5)
    assert (spread.toarray() == np.diag(spread.diagonal())).all()


def test_no_text_holds_any_term() -> None:
    empty = learn_basis([(csr_matrix((4, 5), dtype=np.float32), np.ones((4, 1)))], DIGESTS, [2, 3])
    assert not empty.spread.toarray().any()
    assert np.isfinite(empty.factors).all()


def test_factors_of_two_classes() -> None:
    """Rows 0 and 1 are of the positive class; a row counts once in each count."""
    found = basis(np.array([[1.0], [1.0], [-1.0], [-1.0]])).factors[:, 0]
    odds = [(2, 0), (1, 1), (1, 2), (0, 2), (1, 1), (2, 3)]  # of the terms, then of "oil" in both columns
    expected = [np.log((inside + 1) / 4) - np.log((outside + 1) / 4) for inside, outside in odds]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_factors_of_several_classes_are_each_against_the_rest() -> None:
    classes = np.eye(3)[[0, 1, 2, 2]]
    found = basis(classes).factors
    for number in range(3):
        one = np.where(classes[:, [number]] > 0, 1.0, -1.0)
        np.testing.assert_allclose(found[:, [number]], basis(one).factors)


def test_factors_count_weights() -> None:
    blocks = [  # in two, which is the same
        (csr_matrix(HELD[[0, 0]]), np.array([[1.0], [1]])),
        (csr_matrix(HELD[[1, 2, 3]]), np.array([[1.0], [-1], [-1]])),
    ]
    doubled = learn_basis(blocks, DIGESTS, [2, 3])
    np.testing.assert_allclose(basis(np.array([[2.0], [1], [-1], [-1]])).factors, doubled.factors)


def test_numbers_have_no_factors() -> None:
    assert (basis().factors == 1.0).all()


@pytest.mark.parametrize("classes", [None, np.eye(3)[[0, 1, 2, 2]]], ids=["number", "classes"])
def test_slopes_are_the_transpose_of_weights(classes: np.ndarray | None) -> None:
    random, found = np.random.default_rng(0), basis(classes)
    parts, slopes = random.normal(size=(found.parts, 3)), random.normal(size=(5, 3))
    assert found.weights(parts).shape == (5, 3)
    np.testing.assert_allclose(
        (found.weights(parts) * slopes).sum(), (parts * found.slopes(slopes)).sum(), rtol=1e-12
    )
