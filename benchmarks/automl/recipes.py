"""What each peer needs, pinned."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.environments import Recipe

_PANDAS = "pandas==2.3.3"  # pandas 3 breaks CatBoost and H2O on text columns

RECIPES: Mapping[str, Recipe] = {
    # torch first: the package that comes alone is the build for this machine, not the newest one of all.
    # Without ray, `best` fails where its trial fit for stacking has no process of its own.
    "autogluon": Recipe(
        (
            ("torch==2.13.0",),
            ("autogluon.tabular[catboost,fastai,lightgbm,ray,xgboost]==1.6.3", _PANDAS),
        )
    ),
    "h2o": Recipe((("h2o==3.46.0.12", _PANDAS, "numpy==2.3.5"),), programs=("java",)),
    # What the extra `automl` names, with the XGBoost that brings no library for graphics cards.
    "flaml": Recipe(
        (
            (
                "flaml==2.7.0",
                _PANDAS,
                "lightgbm==4.7.0",
                "numpy==2.3.5",
                "scikit-learn==1.7.2",
                "scipy==1.16.3",
                "xgboost-cpu==2.1.4",
            ),
        )
    ),
    "lightgbm": Recipe((("lightgbm==4.7.0", _PANDAS, "numpy==2.3.5", "scikit-learn==1.7.2"),)),
    "catboost": Recipe((("catboost==1.2.10", _PANDAS, "numpy==2.3.5"),)),
}
