"""A model of MLflow, as code; run by itself it writes the model's folder."""

import sys
from pathlib import Path

import mlflow
from mlflow.pyfunc import PythonModel


class Onnx(PythonModel):
    def load_context(self, context):
        sys.path.insert(0, str(Path(context.artifacts["code"])))
        from onnx_model import Model

        self.model = Model(context.artifacts["bundle"])

    def predict(self, context, model_input, params=None):
        labels, probabilities = self.model({name: model_input[name].to_numpy() for name in self.model.kinds})
        return [
            {"prediction": label, "probabilities": row}
            for label, row in zip(labels.tolist(), probabilities.tolist())
        ]


if __name__ == "__main__":
    here = Path(__file__).parent
    mlflow.pyfunc.save_model(
        sys.argv[1], python_model=str(Path(__file__)), artifacts={"bundle": sys.argv[2], "code": str(here)}
    )
else:
    mlflow.models.set_model(Onnx())
