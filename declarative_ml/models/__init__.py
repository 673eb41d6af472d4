"""The shelf of models: one file each."""

from declarative_ml.core.component import Shelf
from declarative_ml.models.base import Model

MODELS: Shelf[Model] = Shelf(
    "model",
    {
        "linear": "declarative_ml.models.linear:Linear",
        "lightgbm": "declarative_ml.models.lightgbm:LightGBM",
        "xgboost": "declarative_ml.models.xgboost:XGBoost",
        "extra_trees": "declarative_ml.models.extra_trees:ExtraTrees",
        "mlp": "declarative_ml.models.mlp:MLP",
    },
)
