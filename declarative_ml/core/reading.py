"""How a text becomes the words that a graph takes, where the graph cannot read it alone."""

from __future__ import annotations

from pydantic import Field

from declarative_ml.core.component import Section


class Reading(Section):
    """A reading of texts by a spaCy pipeline: which one, and what of its findings is written down."""

    pipeline: str = Field(description="The package of a spaCy pipeline, or the folder of one")
    lemmas: bool = Field(description="Lemmas of the words, else the words in lower case")
    entities: bool = Field(description="A word for each named entity: its label")
    parts_of_speech: bool = Field(description="A word for each word's part of speech")
    version: str = Field(default="", description="Of the pipeline that read the training rows")
    spacy: str = Field(default="", description="The version of spaCy that did")
    digest: str | None = Field(default=None, description="Of a pipeline in a folder: SHA-256 of its files")
