"""Free text: the terms that texts hold, weighed by how rare they are; and the same as a few dense numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from declarative_ml.core.reading import Reading
from declarative_ml.features.base import Encoded, Feature, State
from declarative_ml.learning.dataset import EncodedNames, Layout, TermColumn
from declarative_ml.learning.words import is_prose

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from declarative_ml.graph.onnx_graph import OnnxGraph
    from declarative_ml.learning.statistics import ColumnProfile
    from declarative_ml.text.projection import Projection
    from declarative_ml.text.statistics import TextStatistics
    from declarative_ml.text.vocabulary import Vocabulary

MAX_COMPONENTS = 480
TREE_COMPONENTS = 128
"""Trees see the first ones only: the rest cost them time and tell them little."""
_VALUES = 1 << 25
"""By default a text column adds at most this many values to the training rows."""
_CLIP = 8.0
_LEAST_ROWS = 20
_SHOWN = 100
"""Terms of the reference."""


class Text(Feature):
    """Free text, in any language.

    Raw: how many words, and the first 128 components. Scaled: the logarithm of the words, all components,
    and whether it is missing. Terms: all of them. A missing text has no words, no terms, and zeros.
    """

    type: Literal["text"] = "text"
    encoder: Literal["ngrams", "spacy"] = Field(
        default="ngrams",
        description="ngrams: words and runs of words, weighed by TF-IDF: each by itself for linear models, "
        "for the others as a few numbers by latent semantic analysis, which needs no labels; spacy: the same "
        "with what a spaCy pipeline finds in place of the words, which the graph alone cannot read",
    )
    pipeline: str | None = Field(
        default=None,
        min_length=1,
        description="spacy: the installed pipeline, such as en_core_web_sm; or its folder, with a slash, "
        "relative to the spec",
    )
    lemmas: bool | None = Field(default=None, description="spacy: lemmas in place of words; true when absent")
    entities: bool | None = Field(
        default=None, description="spacy: a word for each named entity, its label; true when absent"
    )
    parts_of_speech: bool | None = Field(
        default=None, description="spacy: a word for each word's part of speech; false when absent"
    )
    ngrams: int = Field(default=2, ge=1, le=3, description="The longest run of words that is a term")
    max_terms: int = Field(
        default=20_000,
        ge=1,
        le=200_000,
        description="Keep at most this many terms, by how many texts hold them",
    )
    min_count: int = Field(
        default=2,
        ge=1,
        description="Terms in fewer training texts (of 50,000 sampled ones at most) are unknown",
    )
    components: int | None = Field(
        default=None,
        ge=1,
        le=1_024,
        description="How many numbers a text becomes; absent: one for every 8 training texts, 16 to 480, "
        "fewer again from 70,000 rows on; and never more than the terms allow",
    )
    raw_dtype: ClassVar[Literal["float32", "string"]] = "string"
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "scipy", "threadpoolctl")

    @field_validator("pipeline", "lemmas", "entities", "parts_of_speech")
    @classmethod
    def _of_spacy(cls, value: str | bool | None, info: ValidationInfo) -> str | bool | None:
        if value is not None and info.data.get("encoder") == "ngrams":
            raise ValueError("unknown option of the encoder ngrams: add encoder: spacy, or delete it")
        return value

    @model_validator(mode="after")
    def _some_pipeline(self) -> Self:
        if self.encoder == "spacy" and self.pipeline is None:
            raise ValueError("the encoder spacy needs 'pipeline'")
        return self

    @classmethod
    def infer(cls, column: ColumnProfile) -> Text | None:
        """Texts of several words that are mostly different. Names, codes and addresses are none."""
        if (
            column.dtype != "string"
            or column.present < _LEAST_ROWS
            or not is_prose(column.words, column.lower)
        ):
            return None
        return cls() if 2 * column.distinct > column.present or not column.distinct_exact else None

    def reading(self) -> Reading | None:
        """See Feature.reading: that of the encoder spacy."""
        if self.pipeline is None:
            return None
        return Reading(
            pipeline=self.pipeline,
            lemmas=self.lemmas is not False,
            entities=self.entities is not False,
            parts_of_speech=bool(self.parts_of_speech),
        )

    def accumulator(self) -> TextStatistics:
        """Lengths, and a sample of the texts."""
        from declarative_ml.text.statistics import TextStatistics

        return TextStatistics()

    def fit(self, statistics: TextStatistics) -> State:  # type: ignore[override]
        """The terms, their weights and the projection (JSON; 2.7 bytes a term and component)."""
        from declarative_ml.text.projection import learn_projection
        from declarative_ml.text.vocabulary import learn_vocabulary

        sample = statistics.sample
        vocabulary = learn_vocabulary(
            sample, ngrams=self.ngrams, max_terms=self.max_terms, min_count=self.min_count
        )
        found = vocabulary.find(sample)
        components = self.components or default_components(statistics.present)
        projection = learn_projection(found, vocabulary.documents, components)
        mean, deviation = _words_scale(found.words)
        return {
            "tokens": list(vocabulary.tokens),
            "keys": [keys.tolist() for keys in vocabulary.keys],
            **projection.as_json(),
            "mean": mean,
            "deviation": deviation,
            "indicator": statistics.missing > 0,
        }

    def layout(self, name: str, state: State) -> Layout:
        """Columns are called `name.words`, `name.1`, … and `name.missing`."""
        numbered = tuple(f"{name}.{number}" for number in range(1, len(state["factors"]) + 1))
        missing = (f"{name}.missing",) if state["indicator"] else ()
        words = f"{name}.words"
        size = len(state["idf"])
        return Layout(
            raw=(words, *numbered[:TREE_COMPONENTS]),
            scaled=(words, *numbered, *missing),
            terms=(TermColumn(name=name, size=size, summary=numbered),) if size else (),
        )

    def term_digests(self, state: State) -> np.ndarray:
        """See Feature.term_digests."""
        from declarative_ml.learning.terms import term_digests

        return term_digests(_vocabulary(state).terms)

    def encode(self, values: pa.Array, state: State) -> Encoded:
        """See Feature.encode."""
        return self.block_encoder(state)(values)

    def block_encoder(self, state: State) -> Callable[[pa.Array], Encoded]:
        """See Feature.block_encoder."""
        vocabulary, projection = _restored(state)
        return lambda values: _encode(values, vocabulary, projection, state)

    def to_onnx(self, graph: OnnxGraph, tensor: str, state: State) -> EncodedNames:
        """See Feature.to_onnx; see declarative_ml.text.graph."""
        from declarative_ml.text.graph import columns, read_texts, weigh_texts

        vocabulary, projection = _restored(state)
        words, numbers = read_texts(graph, tensor, vocabulary, projection)
        one, mean = graph.constant([[1.0]], "float32"), graph.constant([[state["mean"]]], "float32")
        scale = graph.constant([[1 / state["deviation"]]], "float32")
        centred = graph.add("Sub", [graph.add("Log", [graph.add("Add", [words, one])]), mean])
        ends = [graph.constant(end, "float32") for end in (-_CLIP, _CLIP)]
        raw, scaled = [words], [graph.add("Clip", [graph.add("Mul", [centred, scale]), *ends])]
        if numbers is not None:
            raw.append(columns(graph, numbers, 0, TREE_COMPONENTS))
            scaled.append(graph.add("Clip", [numbers, *ends]))
        if state["indicator"]:
            scaled.append(
                graph.add("LabelEncoder", [tensor], keys_strings=[""], values_floats=[1.0], default_float=0.0)
            )

        def weigh(graph: OnnxGraph, weights: np.ndarray) -> str:
            return weigh_texts(graph, tensor, vocabulary, projection.idf, weights)

        terms = (weigh,) if len(vocabulary) else ()
        return EncodedNames(raw=graph.concat(raw), scaled=graph.concat(scaled), terms=terms)

    def field(self, state: State) -> dict[str, Any]:
        """See Feature.field; the example is made of known words, not taken from a row."""
        words = state["tokens"]
        frequent = sorted(range(len(words)), key=lambda place: (state["idf"][place], place))
        if self.encoder == "spacy":  # nobody writes `entitygpe`
            frequent = [place for place in frequent if not words[place].startswith(("entity", "pos"))]
        example = " ".join(words[place] for place in frequent[:5]) or "a text"
        return {"type": ["string", "null"], "description": "free text", "examples": [example]}

    def reference(self, statistics: TextStatistics, state: State) -> dict[str, Any]:  # type: ignore[override]
        """Twenty bins of the length in characters, and the shares of texts that hold the commonest terms."""
        import numpy as np

        from declarative_ml.learning.histograms import quantile_bins

        vocabulary = _vocabulary(state)
        found = vocabulary.find(statistics.sample)
        texts = np.bincount(found.terms, minlength=len(vocabulary) + 1)[1:]
        commonest = np.argsort(-texts, kind="stable")[:_SHOWN]
        return {
            "kind": "text",
            **quantile_bins(statistics.lengths),
            "missing": statistics.missing,
            "rows": statistics.rows,
            "terms": [vocabulary.terms[place] for place in commonest],
            "shares": [round(int(texts[place]) / len(found.words), 6) for place in commonest],
        }


def _encode(values: pa.Array, vocabulary: Vocabulary, projection: Projection, state: State) -> Encoded:
    import numpy as np
    import pyarrow.compute as pc

    from declarative_ml.text.projection import count_matrix, term_weights

    found = vocabulary.find(values)
    words = found.words.astype(np.float32)
    counts = count_matrix(found, len(projection.idf))
    numbers = projection.apply(counts)
    width = projection.width
    kept = min(width, TREE_COMPONENTS)
    raw = np.empty((len(words), 1 + kept), dtype=np.float32)
    raw[:, 0], raw[:, 1:] = words, numbers[:, :kept]
    scaled = np.empty((len(words), 1 + width + state["indicator"]), dtype=np.float32)
    standard = (np.log(words + np.float32(1)) - np.float32(state["mean"])) * np.float32(
        1 / state["deviation"]
    )
    scaled[:, 0] = np.clip(standard, -_CLIP, _CLIP)
    np.clip(numbers, -_CLIP, _CLIP, out=scaled[:, 1 : 1 + width])
    if state["indicator"]:
        scaled[:, -1] = pc.fill_null(pc.equal(values, ""), True).to_numpy(zero_copy_only=False)
    return Encoded(
        raw=raw,
        scaled=scaled,
        codes=np.empty((len(values), 0), dtype=np.int32),
        terms=term_weights(counts, projection.idf) if len(vocabulary) else None,
    )


def default_components(texts: int) -> int:
    """One for every 8 texts, from 16 to 480; from 69,906 texts on fewer, down to 64 for 524,288 and more."""
    room = max(_VALUES // max(texts, 1), 64)
    return max(min(texts // 8, MAX_COMPONENTS, room), 16)


def _words_scale(words: np.ndarray) -> tuple[float, float]:
    """Mean and deviation of the logarithm of one more than the numbers of words."""
    import numpy as np

    if not len(words):
        return 0.0, 1.0
    logarithms = np.log1p(words.astype(np.float64))
    deviation = float(logarithms.std())
    return float(logarithms.mean()), deviation if deviation > 1e-6 else 1.0


def _restored(state: State) -> tuple[Vocabulary, Projection]:
    from declarative_ml.text.projection import Projection

    return _vocabulary(state), Projection.from_json(state)


def _vocabulary(state: State) -> Vocabulary:
    from declarative_ml.text.vocabulary import restore_vocabulary

    return restore_vocabulary(state["tokens"], state["keys"])
