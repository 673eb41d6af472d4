"""What a spaCy pipeline found in a text, written down as words: a reading.

A reading is the lemmas of a text in order (or its words in lower case), then a word for the label of each
entity, then one for each part of speech: `the dog bark in paris entitygpe posdet posnoun …`. It holds
tokens of `declarative_ml.text.tokens` and single blanks, nothing else, so that every reader of texts
finds the same tokens in it. Labels are one token each, whatever characters they are made of.

`new_writer` gives the compiled one where it could be built against this spaCy, else the one below, which
asks `Doc.to_array` for the same numbers; both give the same readings. `new_adder` does so for what adds up
the vectors of a text's words.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from declarative_ml.core.reading import Reading
from declarative_ml.core.versions import library_version
from declarative_ml.text.tokens import WORD, kinds, pattern

if TYPE_CHECKING:
    import numpy as np
    from spacy.tokens import Doc
    from spacy.vectors import Vectors

SPACY = ((3, 8, 2), (3, 9))
"""From the first to before the second version the compiled writer knows how spaCy lays out its tokens."""
MOST_BYTES = 32 << 20
"""Of remembered words; beyond it a writer forgets all and begins anew."""
_BEGINS = 3
"""The value of ENT_IOB at the first token of an entity."""


class Writer(Protocol):
    """Writes readings. Not safe to share between threads."""

    def write(self, doc: Doc) -> str:
        """The reading of what a pipeline found; "" when it found no word."""


class Adder(Protocol):
    """Adds up the vectors of words."""

    def add(self, doc: Doc, total: np.ndarray) -> int:
        """Add the vectors of a Doc's words to `total`, float64 [D]; returns how many words have one."""


def new_writer(reading: Reading) -> Writer:
    """A writer of what `reading` asks for."""
    module = compiled()
    return PlainWriter(reading) if module is None else compiled_writer(module, reading)


def new_adder(vectors: Vectors) -> Adder:
    """What looks words up in a pipeline's table of vectors, of float32 in this memory."""
    module = compiled()
    return PlainAdder(vectors) if module is None else compiled_adder(module, vectors)


@cache
def compiled() -> Any | None:
    """The compiled module, where it is there and writes what the plain one does; else None."""
    module = _load()
    return module if module is not None and agrees(module) else None


def _load() -> Any | None:
    version = tuple(int(part) for part in re.findall(r"\d+", library_version("spacy"))[:3])
    if not SPACY[0] <= version < SPACY[1]:
        return None
    try:
        # A type of another size than at build time is a warning or an error, and a reason not to go on.
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return import_module("declarative_ml.text._linguistics")
    except (ImportError, ValueError, TypeError, AttributeError, RuntimeWarning):
        return None


def agrees(module: Any) -> bool:
    """Whether the compiled module reads a small Doc as the plain writer does."""
    from spacy.attrs import LOWER
    from spacy.tokens import Doc
    from spacy.vocab import Vocab

    doc = Doc(
        Vocab(lex_attr_getters={LOWER: str.lower}),
        words=["Émile", "saw", "New", "York", "!", " ", "👍🏽"],
        lemmas=["Émile", "see", "New", "York", "!", " ", ""],
        pos=["PROPN", "VERB", "PROPN", "PROPN", "PUNCT", "SPACE", ""],
        ents=["B-PERSON", "O", "B-WORK_OF_ART", "I-WORK_OF_ART", "O", "O", "B-人"],
    )
    for lemmas, entities, parts in ((True, True, True), (False, False, True), (True, False, False)):
        reading = Reading(pipeline="-", lemmas=lemmas, entities=entities, parts_of_speech=parts)
        if compiled_writer(module, reading).write(doc) != PlainWriter(reading).write(doc):
            return False
    return hasattr(module, "Adder") and _agrees_on_vectors(module, doc)


def _agrees_on_vectors(module: Any, doc: Doc) -> bool:
    import numpy as np
    from spacy.vectors import Vectors

    table = np.arange(12, dtype=np.float32).reshape(4, 3) / 7
    vectors = Vectors(data=table, keys=[doc[place].orth for place in (0, 2, 3, 6)])
    sums, counts = np.zeros((2, 3)), []
    for adder, total in zip((compiled_adder(module, vectors), PlainAdder(vectors)), sums, strict=True):
        counts.append(adder.add(doc, total))
    return counts == [4, 4] and np.array_equal(*sums)


def compiled_adder(module: Any, vectors: Vectors) -> Adder:
    """The adder of the compiled module."""
    import numpy as np

    adder: Adder = module.Adder(
        np.ascontiguousarray(vectors.data, dtype=np.float32), vectors.key2row, int(vectors.attr)
    )
    return adder


def compiled_writer(module: Any, reading: Reading) -> Writer:
    """The writer of the compiled module."""
    writer: Writer = module.Writer(
        words_of,
        entity_word,
        part_words() if reading.parts_of_speech else {},
        reading.lemmas,
        reading.entities,
        MOST_BYTES,
    )
    return writer


class PlainWriter:
    """In Python, over `Doc.to_array`."""

    def __init__(self, reading: Reading) -> None:
        self._lemmas, self._entities = reading.lemmas, reading.entities
        self._parts = part_words() if reading.parts_of_speech else {}
        self._words: dict[int, str] = {}
        self._labels: dict[int, str] = {}
        self._held = 0

    def write(self, doc: Doc) -> str:
        """See Writer.write."""
        strings = doc.vocab.strings
        rows = doc.to_array(["LEMMA", "LOWER", "POS", "ENT_IOB", "ENT_TYPE"]).tolist()
        keys = [lemma if self._lemmas and lemma else lower for lemma, lower, *_ in rows]
        found = [self._word(self._words, key, strings, words_of) for key in keys]
        if self._entities:
            labels = (label for *_, begins, label in rows if begins == _BEGINS and label)
            found += [self._word(self._labels, label, strings, entity_word) for label in labels]
        if self._parts:
            found += [self._parts.get(part, "") for _, _, part, *_ in rows]
        return " ".join(filter(None, found))

    def _word(self, known: dict[int, str], key: int, strings: Any, make: Callable[[str], str]) -> str:
        word = known.get(key)
        if word is not None:
            return word
        word = make(strings[key])
        self._held += len(word) * 4 + 64
        if self._held > MOST_BYTES:
            self._words.clear()
            self._labels.clear()
            self._held = 0
        known[key] = word
        return word


class PlainAdder:
    """In Python, over `Doc.to_array`."""

    def __init__(self, vectors: Vectors) -> None:
        self._rows, self._table, self._attribute = vectors.key2row, vectors.data, int(vectors.attr)

    def add(self, doc: Doc, total: np.ndarray) -> int:
        """See Adder.add."""
        found = [self._rows.get(key, -1) for key in doc.to_array(self._attribute).tolist()]
        for row in found:
            if row >= 0:
                total += self._table[row]
        return sum(row >= 0 for row in found)


@cache
def _find() -> Callable[[str], list[str]]:
    return re.compile(pattern()).findall


def words_of(text: str) -> str:
    """The tokens in one word or lemma, in lower case, joined by blanks; "" for white space and commas."""
    return " ".join(_find()(text.lower()))


def entity_word(label: str) -> str:
    """The word for an entity: GPE becomes `entitygpe`."""
    return "entity" + _letters(label)


@cache
def part_words() -> dict[int, str]:
    """spaCy's numbers of the parts of speech, and their words: NOUN is `posnoun`. White space has none."""
    from spacy.parts_of_speech import NAMES

    return {int(part): "pos" + _letters(name) for part, name in _named(NAMES.items())}


def _named(names: Iterable[tuple[int, str]]) -> Iterable[tuple[int, str]]:
    return ((part, name) for part, name in names if name and name not in ("SPACE", "EOL", "NO_TAG"))


def _letters(label: str) -> str:
    """The label in lower case, as characters of one token; others by their numbers."""
    table = kinds()
    return "".join(char if table[ord(char)] == WORD else f"x{ord(char):x}" for char in label.lower())
