"""Terms: tokens, and runs of two or three tokens, that enough texts hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from declarative_ml.text.lexicon import Lexicon, compiled, new_lexicon

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The known terms, numbered from 1 on: tokens in alphabetical order, then pairs, then triples.

    A run of k tokens is known by its key, `number of its first k - 1 tokens * base + number of the last`:
    the run without its last token is known itself, and so is that token.
    """

    tokens: tuple[str, ...]
    keys: tuple[np.ndarray, ...]
    """The keys of the pairs, then of the triples: int64, ascending."""
    documents: np.ndarray
    """In how many texts of the sample each term occurs, int64 [V]."""

    def __len__(self) -> int:
        return len(self.documents)

    @property
    def base(self) -> int:
        """More than the number of any token."""
        return len(self.tokens) + 1

    @cached_property
    def starts(self) -> list[int]:
        """The first number of the tokens, of the pairs, of the triples."""
        sizes = [len(self.tokens), *map(len, self.keys)]
        return [1 + sum(sizes[:order]) for order in range(len(sizes))]

    @cached_property
    def lexicon(self) -> Lexicon:
        """The tokens as a table."""
        return new_lexicon(self.tokens)

    @cached_property
    def terms(self) -> list[str]:
        """Every term as text, its tokens joined by a blank."""
        texts = ["", *self.tokens]
        for keys in self.keys:
            texts += [f"{texts[key // self.base]} {texts[key % self.base]}" for key in keys.tolist()]
        return texts[1:]

    def find(self, texts: pa.Array) -> Found:
        """The known terms of every text, and how often each occurs in it."""
        tokens, words = self.lexicon.read(texts)
        if self._table is not None:
            ends, terms, counts = self._table.count(tokens, words)
            return Found(ends, terms, counts, words)
        return self._count(tokens, words)

    @cached_property
    def _table(self) -> Any | None:
        module = compiled()
        return None if module is None else module.Terms(self.keys, self.starts[1:], self.base, len(self))

    def _count(self, tokens: np.ndarray, words: np.ndarray) -> Found:
        rows = np.repeat(np.arange(len(words)), words)
        size = len(self) + 1
        found, current = [rows * size + tokens], tokens
        for order, keys in enumerate(self.keys, 1):
            current = _longer(tokens, current, rows, order, self.base)
            current = _numbers(current, keys, self.starts[order])
            found.append(rows[: len(current)] * size + current)
        every = np.concatenate(found)
        pairs, counts = np.unique(every[every % size > 0], return_counts=True)
        ends = np.searchsorted(pairs, np.arange(1, len(words) + 1) * size)
        return Found(ends, (pairs % size).astype(np.int32), counts.astype(np.float32), words)


@dataclass(frozen=True, eq=False)
class Found:
    """Known terms in N texts: those of text n stand at the places from `ends[n - 1]` to before `ends[n]`."""

    ends: np.ndarray
    """int64 [N]."""
    terms: np.ndarray
    """Numbers of terms, different ones within a text, int32 [K]."""
    counts: np.ndarray
    """How often they occur, float32 [K]."""
    words: np.ndarray
    """All tokens of each text, known or not, int64 [N]."""


def _longer(tokens: np.ndarray, current: np.ndarray, rows: np.ndarray, order: int, base: int) -> np.ndarray:
    """Keys of the runs of order + 1 tokens by their places; 0 where a part is unknown or the text ends."""
    if len(tokens) <= order:
        return np.empty(0, dtype=np.int64)
    heads, last = current[: len(tokens) - order].astype(np.int64), tokens[order:]
    whole = (rows[: len(tokens) - order] == rows[order:]) & (heads > 0) & (last > 0)
    return np.where(whole, heads * base + last, 0)


def _numbers(keys: np.ndarray, known: np.ndarray, start: int) -> np.ndarray:
    """The numbers of the runs with these keys; 0 where they are not `known`."""
    if not len(known):
        return np.zeros(len(keys), dtype=np.int64)
    places = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[places] == keys, places + start, 0)


def learn_vocabulary(texts: pa.Array, *, ngrams: int, max_terms: int, min_count: int) -> Vocabulary:
    """The terms of up to `ngrams` tokens that at least `min_count` texts hold; at most `max_terms`.

    The most frequent ones are kept, of equally frequent ones the shorter, then the first by alphabet.
    Only runs of frequent runs can be frequent (Agrawal & Srikant, "Fast algorithms for mining
    association rules", VLDB 1994), so that few are ever counted.
    """
    lexicon = new_lexicon()
    tokens, words = lexicon.read(texts, learn=True)
    rows = np.repeat(np.arange(len(words)), words)
    names = np.array(["", *lexicon.tokens()], dtype=object)
    counts = _documents(tokens, rows, len(names))
    frequent = np.flatnonzero(counts >= min_count)
    frequent = frequent[np.argsort(names[frequent], kind="stable")]
    renumbered = np.zeros(len(names), dtype=np.int64)
    renumbered[frequent] = np.arange(1, len(frequent) + 1)
    everything = Vocabulary(tuple(names[frequent].tolist()), (), counts[frequent])
    current = tokens = renumbered[tokens]
    for order in range(1, ngrams):
        keys = _longer(tokens, current, rows, order, everything.base)
        known, inverse = np.unique(keys, return_inverse=True)
        counts = _documents(inverse, rows[: len(keys)], len(known))
        kept = (counts >= min_count) & (known > 0)
        everything = Vocabulary(
            everything.tokens, (*everything.keys, known[kept]), np.append(everything.documents, counts[kept])
        )
        current = _numbers(keys, known[kept], everything.starts[order])
    return _most_frequent(everything, max_terms)


def _documents(numbers: np.ndarray, rows: np.ndarray, size: int) -> np.ndarray:
    """In how many rows each number below `size` occurs, int64 [size]."""
    pairs = np.sort(rows * size + numbers)  # several times faster than the hash table of np.unique
    if not len(pairs):
        return np.zeros(size, dtype=np.int64)
    first = np.concatenate([[True], pairs[1:] != pairs[:-1]])
    return np.bincount(pairs[first] % size, minlength=size)


def _most_frequent(everything: Vocabulary, most: int) -> Vocabulary:
    """The vocabulary cut to its `most` frequent terms.

    A run is never more frequent than its parts, and comes behind them where it is as frequent.
    """
    if len(everything) <= most:
        return everything
    # Numbers go by length and alphabet already.
    kept = np.sort(np.argsort(-everything.documents, kind="stable")[:most])
    renumbered = np.zeros(len(everything) + 1, dtype=np.int64)
    renumbered[kept + 1] = np.arange(1, most + 1)
    tokens = tuple(everything.tokens[place] for place in kept if place < len(everything.tokens))
    keys = []
    for start, old in zip(everything.starts[1:], everything.keys, strict=True):
        chosen = old[kept[(kept >= start - 1) & (kept < start - 1 + len(old))] - (start - 1)]
        heads, last = renumbered[chosen // everything.base], renumbered[chosen % everything.base]
        keys.append(heads * (len(tokens) + 1) + last)
    return Vocabulary(tokens, tuple(keys), everything.documents[kept])


def restore_vocabulary(tokens: Sequence[str], keys: Sequence[Sequence[int]]) -> Vocabulary:
    """A vocabulary from its JSON; the numbers of texts are not kept, and zero."""
    size = len(tokens) + sum(map(len, keys))
    arrays = tuple(np.array(part, dtype=np.int64) for part in keys)
    return Vocabulary(tuple(tokens), arrays, np.zeros(size, dtype=np.int64))
