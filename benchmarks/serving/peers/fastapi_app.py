"""FastAPI as its tutorial shows it: a pydantic model for the rows, the session in a global."""

from fastapi import FastAPI
from onnx_model import Model
from pydantic import BaseModel, create_model

model = Model()
Row = create_model(
    "Row", **{name: (str if kind is object else float, ...) for name, kind in model.kinds.items()}
)


class Rows(BaseModel):
    rows: list[Row]


class Prediction(BaseModel):
    prediction: str
    probabilities: list[float]


class Predictions(BaseModel):
    predictions: list[Prediction]


app = FastAPI()


@app.post("/predict")
async def predict(body: Rows) -> Predictions:
    columns = {name: [getattr(row, name) for row in body.rows] for name in model.kinds}
    labels, probabilities = model(columns)
    return Predictions(
        predictions=[
            Prediction(prediction=label, probabilities=row)
            for label, row in zip(labels.tolist(), probabilities.tolist())
        ]
    )
