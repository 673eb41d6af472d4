"""The shelf of formats that a model is converted to: one file each."""

from declarative_ml.core.component import Shelf
from declarative_ml.formats.base import Format

FORMATS: Shelf[Format] = Shelf(
    "format",
    {
        "onnx": "declarative_ml.formats.onnx:Onnx",
        "onnx-core": "declarative_ml.formats.onnx_core:OnnxCore",
        "onnx-web": "declarative_ml.formats.onnx_web:OnnxWeb",
        "savedmodel": "declarative_ml.formats.savedmodel:SavedModel",
        "tflite": "declarative_ml.formats.tflite:TFLite",
        "tflm": "declarative_ml.formats.tflm:TFLiteMicro",
        "tfjs": "declarative_ml.formats.tfjs:TFJS",
        "openvino": "declarative_ml.formats.openvino:OpenVINO",
        "tensorrt": "declarative_ml.formats.tensorrt:TensorRT",
        "coreml": "declarative_ml.formats.coreml:CoreML",
        "executorch": "declarative_ml.formats.executorch:ExecuTorch",
        "sql": "declarative_ml.formats.sql:Sql",
        "mlflow": "declarative_ml.formats.mlflow:Mlflow",
    },
    key="format",
)
