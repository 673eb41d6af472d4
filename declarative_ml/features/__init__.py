"""The shelf of feature types: one file each. Inference asks them in this order."""

from declarative_ml.core.component import Shelf
from declarative_ml.features.base import Feature

FEATURES: Shelf[Feature] = Shelf(
    "feature",
    {
        "binary": "declarative_ml.features.binary:Binary",
        "date": "declarative_ml.features.date:Date",
        "number": "declarative_ml.features.number:Number",
        "text": "declarative_ml.features.text:Text",
        "category": "declarative_ml.features.category:Category",
    },
)
