"""A custom runtime of MLServer for the Open Inference Protocol."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from onnx_model import Model


class Runtime(MLModel):
    async def load(self):
        self.model = Model()
        return True

    async def predict(self, payload):
        from mlserver.types import InferenceResponse

        columns = {}
        for item in payload.inputs:
            codec = StringCodec if item.datatype == "BYTES" else NumpyCodec
            columns[item.name] = codec.decode_input(item)
        labels, probabilities = self.model(columns)
        outputs = [
            StringCodec.encode_output("prediction", labels.tolist()),
            NumpyCodec.encode_output("probabilities", probabilities),
        ]
        return InferenceResponse(model_name=self.name, outputs=outputs)
