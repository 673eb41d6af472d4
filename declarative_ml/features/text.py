"""Free text: the terms that texts hold, weighed by how rare they are; and the same as a few dense numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from declarative_ml.core.reading import AnyReading, Embedding, Reading
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
    from declarative_ml.text.vectors import Axes
    from declarative_ml.text.vocabulary import Vocabulary

MAX_COMPONENTS = 480
TREE_COMPONENTS, TREE_AXES = 128, 64
"""Trees see the first ones only: the rest cost them time and tell them little."""
_VALUES = 1 << 25
"""By default a text column adds at most this many values to the training rows."""
_CLIP = 8.0
_LEAST_ROWS = 20
_SHOWN = 100
"""Terms of the reference."""


class Text(Feature):
    """Free text, in any language.

    Raw: how many words, the first 128 components, the first 64 axes of its vector. Scaled: the logarithm of
    the words, all components, all axes, and whether it is missing. Terms: all of them. A missing text has no
    words, no terms, and zeros.
    """

    type: Literal["text"] = "text"
    encoder: Literal["ngrams", "spacy", "embedding"] = Field(
        default="ngrams",
        description="ngrams: words and runs of words, weighed by TF-IDF: each by itself for linear models, "
        "for the others as a few numbers by latent semantic analysis, which needs no labels; spacy: the same "
        "with what a spaCy pipeline finds in place of the words, which the graph alone cannot read; "
        "embedding: the words, and the text's vector by a sentence-embedding model",
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
    vectors: bool | None = Field(
        default=None,
        description="spacy: the direction of the mean of the words' vectors as well, of a pipeline that has "
        "them; false when absent",
    )
    model: str | None = Field(
        default=None,
        min_length=1,
        description="embedding: the model's folder, relative to the spec: tokenizer.json and model.onnx, "
        "or the first and a table of vectors in model.safetensors. Nothing is downloaded",
    )
    ngrams: int = Field(
        default=2,
        ge=0,
        le=3,
        description="The longest run of words that is a term; 0: no terms, with a vector only",
    )
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

    @field_validator("pipeline", "lemmas", "entities", "parts_of_speech", "vectors", "model")
    @classmethod
    def _of_its_encoder(cls, value: str | bool | None, info: ValidationInfo) -> str | bool | None:
        given, wanted = info.data.get("encoder"), "embedding" if info.field_name == "model" else "spacy"
        if value is not None and given not in (None, wanted):
            raise ValueError(f"unknown option of the encoder {given}: add encoder: {wanted}, or delete it")
        return value

    @model_validator(mode="after")
    def _something_to_read(self) -> Self:
        needed = {"spacy": "pipeline", "embedding": "model"}.get(self.encoder)
        if needed is not None and getattr(self, needed) is None:
            raise ValueError(f"the encoder {self.encoder} needs '{needed}'")
        if self.ngrams == 0 and not self._has_vector():
            raise ValueError(
                "ngrams: 0 leaves nothing of a text: it needs encoder: embedding, or vectors: true"
            )
        return self

    def _has_vector(self) -> bool:
        return self.encoder == "embedding" or bool(self.vectors)

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

    def reading(self) -> AnyReading | None:
        """See Feature.reading: that of the encoders spacy and embedding."""
        if self.model is not None:
            return Embedding(model=self.model)
        if self.pipeline is None:
            return None
        return Reading(
            pipeline=self.pipeline,
            lemmas=self.lemmas is not False,
            entities=self.entities is not False,
            parts_of_speech=bool(self.parts_of_speech),
            vectors=bool(self.vectors),
        )

    def accumulator(self) -> TextStatistics:
        """Lengths, and a sample of the texts, and of their vectors where there are any."""
        from declarative_ml.text.statistics import TextStatistics
        from declarative_ml.text.vectors import ReadingStatistics

        return ReadingStatistics() if self._has_vector() else TextStatistics()

    def fit(self, statistics: TextStatistics) -> State:  # type: ignore[override]
        """The terms, their weights and the projection (JSON; 2.7 bytes a term and component), and the axes of
        vectors (5.3 bytes an entry and axis)."""
        from declarative_ml.text.projection import learn_projection
        from declarative_ml.text.vectors import ReadingStatistics, learn_axes
        from declarative_ml.text.vocabulary import learn_vocabulary

        sample = statistics.sample
        vocabulary = learn_vocabulary(
            sample,
            ngrams=self.ngrams,
            max_terms=self.max_terms if self.ngrams else 0,
            min_count=self.min_count,
        )
        found = vocabulary.find(sample)
        components = self.components or default_components(statistics.present)
        projection = learn_projection(found, vocabulary.documents, components)
        mean, deviation = _words_scale(found.words)
        axes = None
        if isinstance(statistics, ReadingStatistics):
            axes = learn_axes(statistics.vectors.sample, self.components)
        return {
            "tokens": list(vocabulary.tokens),
            "keys": [keys.tolist() for keys in vocabulary.keys],
            **projection.as_json(),
            "mean": mean,
            "deviation": deviation,
            "indicator": statistics.missing > 0,
            **({} if axes is None else {"axes": axes.as_json()}),
        }

    def layout(self, name: str, state: State) -> Layout:
        """Columns are called `name.words`, `name.1`, …, `name.vector.1`, … and `name.missing`."""
        numbered = tuple(f"{name}.{number}" for number in range(1, len(state["factors"]) + 1))
        missing = (f"{name}.missing",) if state["indicator"] else ()
        words = f"{name}.words"
        size, axes = len(state["idf"]), _axes(state)
        places = () if axes is None else tuple(f"{name}.vector.{place + 1}" for place in range(axes.width))
        return Layout(
            raw=(words, *numbered[:TREE_COMPONENTS], *places[:TREE_AXES]),
            scaled=(words, *numbered, *places, *missing),
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
        axes = _axes(state)
        return lambda values: _encode(values, vocabulary, projection, axes, state)

    def to_onnx(self, graph: OnnxGraph, tensor: str, state: State) -> EncodedNames:
        """See Feature.to_onnx; see declarative_ml.text.graph."""
        from declarative_ml.text.graph import columns, read_texts, weigh_texts
        from declarative_ml.text.vectors import place_in_graph, split_in_graph

        vocabulary, projection = _restored(state)
        axes, text = _axes(state), tensor
        if axes is not None:
            text, vectors = split_in_graph(graph, tensor)
        words, numbers = read_texts(graph, text, vocabulary, projection)
        one, mean = graph.constant([[1.0]], "float32"), graph.constant([[state["mean"]]], "float32")
        scale = graph.constant([[1 / state["deviation"]]], "float32")
        centred = graph.add("Sub", [graph.add("Log", [graph.add("Add", [words, one])]), mean])
        ends = [graph.constant(end, "float32") for end in (-_CLIP, _CLIP)]
        raw, scaled = [words], [graph.add("Clip", [graph.add("Mul", [centred, scale]), *ends])]
        if numbers is not None:
            raw.append(columns(graph, numbers, 0, TREE_COMPONENTS))
            scaled.append(graph.add("Clip", [numbers, *ends]))
        if axes is not None and axes.width:
            places = place_in_graph(graph, vectors, axes)
            raw.append(columns(graph, places, 0, TREE_AXES))
            scaled.append(graph.add("Clip", [places, *ends]))
        if state["indicator"]:
            scaled.append(
                graph.add("LabelEncoder", [tensor], keys_strings=[""], values_floats=[1.0], default_float=0.0)
            )

        def weigh(graph: OnnxGraph, weights: np.ndarray) -> str:
            return weigh_texts(graph, text, vocabulary, projection.idf, weights)

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


def _encode(
    values: pa.Array, vocabulary: Vocabulary, projection: Projection, axes: Axes | None, state: State
) -> Encoded:
    import numpy as np
    import pyarrow.compute as pc

    from declarative_ml.text.projection import count_matrix, term_weights
    from declarative_ml.text.vectors import split_readings

    texts, vectors = (values, None) if axes is None else split_readings(values)
    found = vocabulary.find(texts)
    words = found.words.astype(np.float32)
    counts = count_matrix(found, len(projection.idf))
    numbers = projection.apply(counts)
    standard = (np.log(words + np.float32(1)) - np.float32(state["mean"])) * np.float32(
        1 / state["deviation"]
    )
    raw = [words[:, None], numbers[:, :TREE_COMPONENTS]]
    scaled = [standard[:, None], numbers]
    if axes is not None:
        places = axes.apply(vectors)
        raw.append(places[:, :TREE_AXES])
        scaled.append(places)
    if state["indicator"]:
        missing = pc.fill_null(pc.equal(values, ""), True).to_numpy(zero_copy_only=False)
        scaled.append(missing[:, None].astype(np.float32))
    clipped = np.concatenate(scaled, axis=1)
    return Encoded(
        raw=np.concatenate(raw, axis=1),
        scaled=np.clip(clipped, -_CLIP, _CLIP, out=clipped),
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


def _axes(state: State) -> Axes | None:
    """Of the vectors in the readings; None where these have none."""
    from declarative_ml.text.vectors import Axes

    return Axes.from_json(state["axes"]) if "axes" in state else None
