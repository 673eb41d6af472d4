"""The shelves of data sources, and of sinks for predictions: one file each."""

from declarative_ml.core.component import Shelf
from declarative_ml.sources.base import Source
from declarative_ml.sources.sink import Sink

SOURCES: Shelf[Source] = Shelf(
    "source",
    {
        "delta": "declarative_ml.sources.delta:DeltaSource",
        "file": "declarative_ml.sources.file:FileSource",
        "huggingface": "declarative_ml.sources.huggingface:HuggingFaceSource",
        "iceberg": "declarative_ml.sources.iceberg:IcebergSource",
        "images": "declarative_ml.sources.images:ImagesSource",
        "kafka": "declarative_ml.sources.kafka:KafkaSource",
        "label-studio": "declarative_ml.sources.label_studio:LabelStudioSource",
        "remote": "declarative_ml.sources.remote:RemoteSource",
        "sample": "declarative_ml.sources.sample:SampleSource",
        "spark": "declarative_ml.sources.spark:SparkSource",
        "sql": "declarative_ml.sources.sql:SqlSource",
    },
)

SINKS: Shelf[Sink] = Shelf(
    "sink",
    {
        "delta": "declarative_ml.sources.delta_sink:DeltaSink",
        "kafka": "declarative_ml.sources.kafka_sink:KafkaSink",
        "remote": "declarative_ml.sources.remote_sink:RemoteSink",
        "sql": "declarative_ml.sources.sql_sink:SqlSink",
    },
)
