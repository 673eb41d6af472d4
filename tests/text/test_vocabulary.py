import random
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from declarative_ml.text import lexicon
from declarative_ml.text.vocabulary import learn_vocabulary, restore_vocabulary


def documents(rows=300, seed=0, words="a b c d é 中 ! x1 y_2"):
    source = random.Random(seed)
    return [" ".join(source.choices(words.split(), k=source.randrange(9))) for _ in range(rows)]


def runs(text, ngrams):
    """All runs of up to `ngrams` tokens. The texts have blanks between tokens."""
    tokens = text.split()
    return [
        " ".join(tokens[start : start + size])
        for size in range(1, ngrams + 1)
        for start in range(len(tokens) - size + 1)
    ]


def expected_terms(texts, ngrams, max_terms, min_count):
    """The definition, in the slowest way."""
    counts = Counter(term for text in texts for term in set(runs(text, ngrams)))
    ranked = sorted(counts, key=lambda term: (-counts[term], term.count(" "), term.split()))
    kept = [term for term in ranked if counts[term] >= min_count][:max_terms]
    return {term: counts[term] for term in sorted(kept, key=lambda term: (term.count(" "), term.split()))}


@pytest.fixture(params=["plain", "compiled"])
def reader(request, monkeypatch):
    """Both lexicons give the same."""
    if request.param == "plain":
        monkeypatch.setattr(lexicon, "_COMPILED", None)
    elif lexicon.compiled() is None:
        pytest.skip("built without a compiler")


CASES = [
    (1, 100, 1),
    (2, 10_000, 1),
    (2, 10_000, 25),
    (2, 20, 1),
    (3, 10_000, 2),
    (3, 37, 3),
    (3, 5, 1),
    (2, 1, 1),
]


@pytest.mark.parametrize(("ngrams", "max_terms", "min_count"), CASES)
def test_terms_and_their_counts(ngrams, max_terms, min_count, reader):
    texts = documents()
    found = learn_vocabulary(pa.array(texts), ngrams=ngrams, max_terms=max_terms, min_count=min_count)
    assert dict(zip(found.terms, found.documents.tolist(), strict=True)) == expected_terms(
        texts, ngrams, max_terms, min_count
    )
    assert found.terms == list(expected_terms(texts, ngrams, max_terms, min_count))


@pytest.mark.parametrize(("ngrams", "max_terms", "min_count"), CASES)
def test_occurrences(ngrams, max_terms, min_count, reader):
    vocabulary = learn_vocabulary(
        pa.array(documents()), ngrams=ngrams, max_terms=max_terms, min_count=min_count
    )
    texts = documents(50, seed=1, words="a b c é ! new 中")
    found = vocabulary.find(pa.array(texts))
    assert found.words.tolist() == [len(text.split()) for text in texts]
    names = ["", *vocabulary.terms]
    for row, text in enumerate(texts):
        start, stop = np.append(0, found.ends)[row : row + 2]
        counted = zip(found.terms[start:stop], found.counts[start:stop], strict=True)
        assert {names[term]: int(count) for term, count in counted} == Counter(
            term for term in runs(text, ngrams) if term in names[1:]
        )


def test_restored_vocabulary_finds_the_same(reader):
    vocabulary = learn_vocabulary(pa.array(documents()), ngrams=3, max_terms=200, min_count=2)
    again = restore_vocabulary(vocabulary.tokens, [keys.tolist() for keys in vocabulary.keys])
    assert again.terms == vocabulary.terms
    ours, theirs = (made.find(pa.array(documents(40, seed=2))) for made in (vocabulary, again))
    for name in ("ends", "terms", "counts", "words"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


@pytest.mark.parametrize("texts", [[], [None], ["", None, "…"], ["one"]])
def test_texts_without_frequent_terms(texts, reader):
    vocabulary = learn_vocabulary(pa.array(texts, pa.string()), ngrams=2, max_terms=9, min_count=2)
    assert len(vocabulary) == 0
    found = vocabulary.find(pa.array(["one two", None, ""]))
    assert (found.words.tolist(), found.terms.tolist()) == ([2, 0, 0], [])


def test_slices_with_nulls_read_like_copies(reader):
    texts = pa.array(["a b", None, "é é é", "", "a", None, "b b"])
    vocabulary = learn_vocabulary(texts, ngrams=1, max_terms=9, min_count=1)
    for start in range(len(texts)):
        part = texts.slice(start, 3)
        copied = vocabulary.find(pa.array(part.to_pylist(), pa.string()))
        assert vocabulary.find(part).words.tolist() == copied.words.tolist()
        assert vocabulary.find(part).terms.tolist() == copied.terms.tolist()


def test_pieces_of_a_large_block_are_read_as_one(monkeypatch):
    texts = pa.array([*documents(200), "long " * 100, ""])
    whole = lexicon.new_lexicon(["a", "long"]).read(texts)
    monkeypatch.setattr(lexicon, "_BYTES_AT_ONCE", 50)
    for mine, theirs in zip(lexicon.new_lexicon(["a", "long"]).read(texts), whole, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_large_lexicon(reader):
    tokens = [f"word{number}" for number in range(30_000)]
    table = lexicon.new_lexicon()
    numbers, counts = table.read(pa.array([" ".join(tokens), "word7 none word29999"]), learn=False)
    assert not numbers.any()
    numbers, counts = table.read(pa.array([" ".join(tokens), "word7 none word29999"]), learn=True)
    assert numbers.tolist() == [*range(1, 30_001), 8, 30_001, 30_000]
    assert counts.tolist() == [30_000, 3]
    assert table.tokens() == [*tokens, "none"]
    assert len(table) == 30_001
