"""How a text becomes the words, and the vector, that a graph takes where it cannot read the text alone."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, TypeAdapter, model_serializer

from declarative_ml.core.component import Section


class Reading(Section):
    """A reading of texts by a spaCy pipeline: which one, and what of its findings is written down."""

    pipeline: str = Field(description="The package of a spaCy pipeline, or the folder of one")
    lemmas: bool = Field(description="Lemmas of the words, else the words in lower case")
    entities: bool = Field(description="A word for each named entity: its label")
    parts_of_speech: bool = Field(description="A word for each word's part of speech")
    vectors: bool = Field(
        default=False, description="The direction of the mean of the words' vectors, behind a tab"
    )
    version: str = Field(default="", description="Of the pipeline that read the training rows")
    spacy: str = Field(default="", description="The version of spaCy that did")
    digest: str | None = Field(default=None, description="Of a pipeline in a folder: SHA-256 of its files")

    @model_serializer(mode="wrap")
    def _as_before_vectors(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `vectors` where there are none: digests of bundles from before it stay true."""
        fields: dict[str, Any] = serialize(self)
        return {name: value for name, value in fields.items() if name != "vectors" or value}

    @property
    def origin(self) -> str:
        """What reads the texts, by the name that the spec gives it."""
        return self.pipeline

    @property
    def reader(self) -> str:
        """What reads the texts, in messages."""
        return "spaCy"

    @property
    def libraries(self) -> tuple[str, ...]:
        """What it needs beside the package that may be its own."""
        return ("spacy",)


class Embedding(Section):
    """A text as it is, and its vector by a sentence-embedding model, whose files the bundle carries."""

    model: str = Field(description="The folder of the model when the training rows were read")
    kind: Literal["onnx", "static", ""] = Field(
        default="", description="onnx: model.onnx gives a vector for each token; static: a table does"
    )
    pooling: Literal["mean", "cls", "max", "none", ""] = Field(
        default="", description="How vectors of tokens become one; none: the graph does it"
    )
    max_tokens: int = Field(default=0, ge=0, description="A text is cut to so many tokens; 0: it is not")
    digest: str = Field(default="", description="SHA-256 of the model's files and of how they are used")

    @property
    def origin(self) -> str:
        """What reads the texts, by the name that the spec gives it."""
        return self.model

    @property
    def reader(self) -> str:
        """What reads the texts, in messages."""
        return "an embedding model"

    @property
    def libraries(self) -> tuple[str, ...]:
        """What it needs to run."""
        return ("tokenizers",)

    @property
    def vectors(self) -> bool:
        """Whether there is a vector behind the words: always."""
        return True


AnyReading = Reading | Embedding

_ANY: TypeAdapter[AnyReading] = TypeAdapter(AnyReading)


def parse_reading(fields: dict[str, Any]) -> AnyReading:
    """The reading that was written as JSON."""
    return _ANY.validate_python(fields)
