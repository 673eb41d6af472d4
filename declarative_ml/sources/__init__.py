"""The shelf of data sources: one file each."""

from declarative_ml.core.component import Shelf
from declarative_ml.sources.base import Source

SOURCES: Shelf[Source] = Shelf(
    "source",
    {
        "delta": "declarative_ml.sources.delta:DeltaSource",
        "file": "declarative_ml.sources.file:FileSource",
        "huggingface": "declarative_ml.sources.huggingface:HuggingFaceSource",
        "iceberg": "declarative_ml.sources.iceberg:IcebergSource",
        "kafka": "declarative_ml.sources.kafka:KafkaSource",
        "label-studio": "declarative_ml.sources.label_studio:LabelStudioSource",
        "remote": "declarative_ml.sources.remote:RemoteSource",
        "sample": "declarative_ml.sources.sample:SampleSource",
        "spark": "declarative_ml.sources.spark:SparkSource",
        "sql": "declarative_ml.sources.sql:SqlSource",
    },
)
