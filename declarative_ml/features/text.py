"""Free text: the terms that texts hold, weighed by how rare they are, as a few dense numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from declarative_ml.features.base import Encoded, Feature, State
from declarative_ml.learning.dataset import EncodedNames, Layout
from declarative_ml.learning.words import is_prose

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from declarative_ml.graph.onnx_graph import OnnxGraph
    from declarative_ml.learning.statistics import ColumnProfile
    from declarative_ml.text.projection import Projection
    from declarative_ml.text.statistics import TextStatistics
    from declarative_ml.text.vocabulary import Vocabulary

MAX_COMPONENTS = 512
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
    and whether it is missing. A missing text has no words and zeros.
    """

    type: Literal["text"] = "text"
    encoder: Literal["ngrams"] = Field(
        default="ngrams",
        description="ngrams: words and runs of words, weighed by TF-IDF, as a few numbers by latent semantic "
        "analysis, which needs no labels",
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
        description="How many numbers a text becomes; absent: one for every 8 training texts, 16 to 512, "
        "fewer again from 65,000 rows on; and never more than the terms allow",
    )
    raw_dtype: ClassVar[Literal["float32", "string"]] = "string"
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "scipy", "threadpoolctl")

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
        return Layout(raw=(words, *numbered[:TREE_COMPONENTS]), scaled=(words, *numbered, *missing))

    def encode(self, values: pa.Array, state: State) -> Encoded:
        """See Feature.encode."""
        import numpy as np
        import pyarrow.compute as pc

        vocabulary, projection = _restored(state)
        found = vocabulary.find(values)
        words = found.words.astype(np.float32)[:, None]
        numbers = projection.apply(found)
        mean, scale = np.float32(state["mean"]), np.float32(1 / state["deviation"])
        scaled = [(np.log(words + np.float32(1)) - mean) * scale, numbers]
        scaled = [np.clip(part, -_CLIP, _CLIP) for part in scaled]
        if state["indicator"]:
            missing = pc.fill_null(pc.equal(values, ""), True).to_numpy(zero_copy_only=False)
            scaled.append(missing.astype(np.float32)[:, None])
        return Encoded(
            raw=np.concatenate([words, numbers[:, :TREE_COMPONENTS]], axis=1),
            scaled=np.concatenate(scaled, axis=1),
            codes=np.empty((len(values), 0), dtype=np.int32),
        )

    def to_onnx(self, graph: OnnxGraph, tensor: str, state: State) -> EncodedNames:
        """See Feature.to_onnx; see declarative_ml.text.graph."""
        from declarative_ml.text.graph import columns, read_texts

        words, numbers = read_texts(graph, tensor, *_restored(state))
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
        return EncodedNames(raw=graph.concat(raw), scaled=graph.concat(scaled))

    def field(self, state: State) -> dict[str, Any]:
        """See Feature.field; the example is made of known words, not taken from a row."""
        words = state["tokens"]
        frequent = sorted(range(len(words)), key=lambda place: (state["idf"][place], place))[:5]
        example = " ".join(words[place] for place in frequent) or "a text"
        return {"type": ["string", "null"], "description": "free text", "examples": [example]}

    def reference(self, statistics: TextStatistics, state: State) -> dict[str, Any]:  # type: ignore[override]
        """Twenty bins of the length in characters, and the shares of texts that hold the commonest terms."""
        import numpy as np

        from declarative_ml.learning.histograms import quantile_bins

        vocabulary, _ = _restored(state)
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


def default_components(texts: int) -> int:
    """One for every 8 texts, from 16 to 512; from 65,536 texts on fewer, down to 64 for 524,288 and more."""
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
    from declarative_ml.text.vocabulary import restore_vocabulary

    return restore_vocabulary(state["tokens"], state["keys"]), Projection.from_json(state)
