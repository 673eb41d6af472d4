import random
import re

import numpy as np
import pyarrow as pa
import pytest

from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.text.graph import tokens_of
from declarative_ml.text.lexicon import CompiledLexicon, Lexicon, PlainLexicon, compiled
from declarative_ml.text.tokens import LOWER, SEPARATOR, SINGLE, WORD, kinds, pattern

EXAMPLES = [
    ("Don't pay $5!", ["don", "t", "pay", "$", "5", "!"]),
    ("", []),
    (" \t\n\x00\x1f\x7f.,;:-", []),
    ("snake_case A1", ["snake_case", "a1"]),
    ("ÀÉ àé Straße", ["ÀÉ", "àé", "straße"]),
    ("e\u0301te\u0301", ["e\u0301te\u0301"]),
    ("“quoted” — text… « » ·", ["quoted", "text"]),
    ("你好，世界。", ["你", "好", "世", "界"]),
    ("コンピュータを使う", ["コンピュータ", "を", "使", "う"]),
    ("한국어 텍스트", ["한국어", "텍스트"]),
    ("не хочу", ["не", "хочу"]),
    ("كتاب، كتب؟", ["كتاب", "كتب"]),
    ("👍🏽👩\u200d💻 ok❤\ufe0f", ["👍", "🏽", "👩", "💻", "ok", "❤"]),
    ("£10 10€ ₹5", ["£", "10", "10", "€", "₹", "5"]),
    ("a\x00b\ufeffc", ["a", "b", "c"]),
    ("\u0130stanbul \u017f \u212a", ["\u0130stanbul", "\u017f", "\u212a"]),  # the last is the Kelvin sign
    ("x" * 100_000, ["x" * 100_000]),
    ("\ue000\uffff \U0010ffff", ["\ue000", "\U0010ffff"]),
]
SOUP = [
    *"aZ09_ !?$.,'\t\n\x00\x7f\x80\x85\xa0\xa9\xaa\xad\xb5\xbaßÀéĀſ\u0301\u0345\u0660\u0966\u0e01\u0e4f",
    *"\u1680\u180e\u200b\u200d\u2028\u2070\u2075\u2122\u2160\u2460\u20ac\u2603\u2764\ufe0f\u3000\u3042\u30a2",
    *"\u30fb\u3400\u4e00\u9fff\ua000\uac00\ud7ff\ue000\uf900\ufb01\ufdd0\ufeff\uff01\uff21\uff66\uffe5\uffff",
    *"\U00010000\U0001d400\U0001f600\U0001f3fd\U00020000\U0003ffff\U00040000\U000e0001\U0010ffff",
]


def texts(seed: int, count: int) -> list[str]:
    """Random texts: mixed scripts, anything from the whole of Unicode, words, and long ones."""
    source = random.Random(seed)

    def any_point() -> str:
        point = source.choice((source.randrange(0x250), source.randrange(0x3000), source.randrange(0x110000)))
        return chr(point) if not 0xD800 <= point <= 0xDFFF else "-"

    def text() -> str:
        size = source.choice((0, 1, 2, 5, 12, 30))
        take = source.choice((lambda: source.choice(SOUP), any_point, lambda: source.choice("abAB  é!")))
        return "".join(take() for _ in range(size))

    return [*(text() for _ in range(count - 1)), "".join(any_point() for _ in range(20_000))]


def borders() -> list[str]:
    """Every code point at which the kind changes, and its neighbours, between two letters."""
    edges = np.flatnonzero(np.diff(kinds())).tolist()
    points = {edge + step for edge in edges for step in (-1, 0, 1, 2)}
    return [f"a{chr(point)}b" for point in sorted(points) if not 0xD800 <= point <= 0xDFFF and point >= 0]


def by_definition(text: str) -> list[str]:
    """The module's first paragraph, once more."""
    table, found, run = kinds(), [], ""
    for char in text:
        lower = chr(ord(char) + 32) if "A" <= char <= "Z" else char
        kind = table[ord(lower)]
        if kind != WORD and run:
            found.append(run)
            run = ""
        if kind == SINGLE:
            found.append(lower)
        elif kind == WORD:
            run += lower
    return [*found, run] if run else found


def by_graph(given: list[str]) -> list[list[str]]:
    import onnxruntime

    graph = OnnxGraph()
    tensor = graph.input("x", "string")
    # A text of its own for each row, so that no row is padded.
    node = tokens_of(graph, graph.add("Reshape", [tensor, graph.constant([-1], "int64")]))
    graph.output(node, "tokens", "string", None)
    session = onnxruntime.InferenceSession(graph.build("tokens", {}).SerializeToString())
    return [session.run(None, {"x": np.array([[text]], dtype=object)})[0].tolist() for text in given]


def by_lexicon(lexicon: Lexicon, given: list[str]) -> list[list[str]]:
    numbers, counts = lexicon.read(pa.array(given, pa.string()), learn=True)
    names = np.array(["", *lexicon.tokens()], dtype=object)
    parts = np.split(names[numbers], np.cumsum(counts)[:-1])
    return [part.tolist() for part in parts]


def readers() -> dict[str, object]:
    found = {"pattern": lambda given: [re.findall(pattern(), text.translate(LOWER)) for text in given]}
    found["plain"] = lambda given: by_lexicon(PlainLexicon(), given)
    if compiled() is not None:
        found["compiled"] = lambda given: by_lexicon(CompiledLexicon(), given)
    found["graph"] = by_graph
    return found


READERS = readers()


@pytest.mark.parametrize("reader", READERS)
def test_examples(reader):
    given, expected = [text for text, _ in EXAMPLES], [tokens for _, tokens in EXAMPLES]
    assert READERS[reader](given) == expected


@pytest.mark.parametrize("reader", READERS)
def test_readers_agree_with_the_definition(reader):
    given = [*borders(), *texts(1, 25_000)]
    assert READERS[reader](given) == [by_definition(text) for text in given]


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_readers_agree_on_every_code_point_and_on_many_texts(reader):
    points = [chr(point) for point in range(0x110000) if not 0xD800 <= point <= 0xDFFF]
    given = [f"A{''.join(points[start : start + 7])}b" for start in range(0, len(points), 7)]
    given += [f"x{point} {point}{point}" for point in points[:0x3100]]
    given += texts(2, 1_000_000)
    assert READERS[reader](given) == [by_definition(text) for text in given]


def test_kinds_of_ascii():
    named = {kind: "".join(map(chr, np.flatnonzero(kinds()[:128] == kind))) for kind in (WORD, SINGLE)}
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
    assert named == {WORD: f"0123456789{letters}", SINGLE: "!$?"}
    assert (kinds()[0xD800:0xE000] == SEPARATOR).all()
