"""TensorFlow's SavedModel, for TensorFlow Serving: raw columns in, labelled answer out, by their own names.

1/saved_model.pb    version 1, as TensorFlow Serving wants it; signature `serving_default`
1/assets.extra/tf_serving_warmup_requests    real rows that the server answers before it takes requests
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from declarative_ml.core.digest import digest_bytes
from declarative_ml.core.errors import StepFailed
from declarative_ml.core.optional import installed, require
from declarative_ml.formats.base import Format, Original, Rows, Run
from declarative_ml.graph.core import cut, operators_of
from declarative_ml.graph.tree_ensemble import TREES

if TYPE_CHECKING:
    import numpy as np

VERSION = "1"
SIGNATURE = "serving_default"
WARMUP = Path("assets.extra") / "tf_serving_warmup_requests"
_FILE = "saved_model.pb"
_TABLE = b"hash_table_"
_MODULES = {"onnx-tf": "onnx_tf", "onnx2tf": "onnx2tf"}


class SavedModel(Format):
    """A SavedModel that takes raw columns: texts, numbers with NaN, dates as ISO text.

    `serving_default` has the graph's inputs and outputs by their own names, whatever characters they hold.
    Python's `signature(**columns)` refuses names that are equal but for characters outside of A-Z, a-z, 0-9
    and _; TensorFlow Serving and sessions take all.
    """

    format: Literal["savedmodel"] = "savedmodel"
    engine: Literal["native", "onnx-tf", "onnx2tf"] = Field(
        default="native",
        description="What turns the numeric core into TensorFlow: native is dml's own translation, of every "
        "operator; onnx-tf and onnx2tf, if installed, do so for models without trees and weighed terms",
    )
    warmup: int = Field(
        default=10,
        ge=0,
        le=1_000,
        description="Real rows, one request each, that TensorFlow Serving answers before it reports ready",
    )
    extra: ClassVar[str | None] = "tensorflow"
    modules: ClassVar[Sequence[str]] = ("tensorflow",)
    libraries: ClassVar[tuple[str, ...]] = ("tensorflow-cpu", "tensorflow", "onnx-tf", "onnx2tf")
    about: ClassVar[str] = "TensorFlow Serving and every program that loads a SavedModel"

    @property
    def variant(self) -> str:
        """See Format.variant."""
        return "" if self.engine == "native" else self.engine

    @property
    def precision(self) -> float:
        """See Format.precision."""
        return 1e-5

    def refuse(self, original: Original) -> str | None:
        """See Format.refuse: native takes every graph."""
        if self.engine == "native":
            return None
        halves = cut(original.model)
        if halves is None:
            return f"it weighs the terms of texts, and {self.engine} knows no texts; engine: native does"
        if TREES in operators_of(halves.core.graph):
            return f"it has trees, and {self.engine} knows no TreeEnsemble; engine: native does"
        if len(original.model.graph.output) > (2 if original.task.is_classification else 1):
            return f"it gives intervals, which {self.engine} is not handed; engine: native converts them"
        if self.engine == "onnx2tf" and _has_images(halves.core):
            return "it looks codes up, and onnx2tf turns tensors of three dimensions around; engine: native"
        if not installed(_MODULES[self.engine]):
            return f"{self.engine} is not installed; engine: native needs nothing but TensorFlow"
        return None

    def remedy(self, original: Original) -> str:
        """See Format.remedy: no order of adding up what a tree splits is the right one."""
        if TREES not in original.operators:
            return super().remedy(original)
        return (
            "where the graph computes what a tree splits, TensorFlow adds in another order, and a row on the "
            "threshold falls to its other side; a `tolerance` under convert allows that"
        )

    def write(self, original: Original, folder: Path) -> None:
        """See Format.write."""
        from declarative_ml.formats.tf.graph import to_tensorflow

        if self.engine == "native":
            module = to_tensorflow(original.model)
        else:
            module = _around_core(original, self.engine)
        names = [value.name for value in original.model.graph.input]
        place = folder / VERSION
        _save(module, place, dict(zip(module.arguments, names, strict=True)))
        if self.warmup:
            _write_warmup(original, self.warmup, place / WARMUP)

    def open(self, original: Original, folder: Path) -> Run | None:
        """See Format.open: TensorFlow runs it in a session, fed by the signature, as its server does."""
        return _open(folder / VERSION)

    def facts(self, folder: Path) -> dict[str, Any]:
        """The signature, and the operators that TensorFlow must have."""
        saved = _read(folder / VERSION)
        signature = saved.meta_graphs[0].signature_def[SIGNATURE]
        return {
            "signature": SIGNATURE,
            "inputs": _described(signature.inputs),
            "outputs": _described(signature.outputs),
            "operators": sorted(
                {
                    node.op
                    for function in saved.meta_graphs[0].graph_def.library.function
                    if "__traced_" not in function.signature.name  # those save and restore variables
                    for node in function.node_def
                }
            ),
        }


def _has_images(core: Any) -> bool:
    """Whether a tensor has more than two dimensions: onnx2tf takes such for images, channels first."""
    from onnx import shape_inference

    values = shape_inference.infer_shapes(core).graph.value_info
    return any(len(value.type.tensor_type.shape.dim) > 2 for value in values)


def _described(tensors: Mapping[str, Any]) -> dict[str, str]:
    """`float32[N, 2]` by name."""
    from declarative_ml.formats.tf.runtime import tensorflow

    tf = tensorflow()
    found = {}
    for name in sorted(tensors):
        sizes = ["N" if dim.size < 0 else str(dim.size) for dim in tensors[name].tensor_shape.dim]
        found[name] = f"{tf.as_dtype(tensors[name].dtype).name}[{', '.join(sizes)}]"
    return found


def _save(module: Any, place: Path, columns: Mapping[str, str]) -> None:
    """Write the module, then give the signature's inputs the names of the columns.

    TensorFlow's own writer allows identifiers only; the format allows everything.
    """
    from declarative_ml.formats.tf.runtime import tensorflow

    tf = tensorflow()
    owner = tf.Module()
    owner.resources = module.resources
    tf.saved_model.save(owner, str(place), signatures={SIGNATURE: module.concrete})
    saved = _read(place)
    graph = saved.meta_graphs[0]
    signature = graph.signature_def[SIGNATURE]
    tensors = {columns[argument]: tensor.SerializeToString() for argument, tensor in signature.inputs.items()}
    signature.inputs.clear()
    for name, content in tensors.items():
        signature.inputs[name].ParseFromString(content)
    for node in graph.object_graph_def.nodes:
        function = node.bare_concrete_function
        if node.HasField("bare_concrete_function") and set(function.argument_keywords) == set(columns):
            function.argument_keywords[:] = [columns[name] for name in function.argument_keywords]
            # The names in it are Python's own, and only those above count.
            function.ClearField("function_spec")
    _name_tables(saved)
    (place / _FILE).write_bytes(saved.SerializeToString(deterministic=True))
    # It holds a digest of the file as it was, and a random number.
    (place / "fingerprint.pb").unlink(missing_ok=True)
    if not any((place / "assets").iterdir()):
        (place / "assets").rmdir()


def _name_tables(saved: Any) -> None:
    """Name the look-up tables by the content of the model. TensorFlow names them at random, because tables of
    one name in one process are one; of equal models they may be."""
    graph = saved.meta_graphs[0].graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    names = [node.attr["shared_name"] for node in nodes if "shared_name" in node.attr]
    tables = [name for name in names if name.s.startswith(_TABLE)]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(table.s for table in tables))}
    places = [numbers[table.s] for table in tables]
    for table, number in zip(tables, places, strict=True):
        table.s = _TABLE + str(number).encode()
    digest = digest_bytes(saved.SerializeToString(deterministic=True))
    for table, number in zip(tables, places, strict=True):
        table.s = _TABLE + f"{number}_{digest}".encode()


def _read(place: Path) -> Any:
    from declarative_ml.formats.tf.runtime import tensorflow

    tensorflow()
    messages = import_module("tensorflow.core.protobuf.saved_model_pb2")
    return messages.SavedModel.FromString((place / _FILE).read_bytes())


def _open(place: Path) -> Run:
    from declarative_ml.formats.tf.runtime import tensorflow
    from declarative_ml.scoring.session import BATCH_ROWS

    tf = tensorflow().compat.v1
    session = tf.Session(graph=tf.Graph())
    with session.graph.as_default():
        loaded = tf.saved_model.load(session, ["serve"], str(place))
    signature = loaded.signature_def[SIGNATURE]
    answer = signature.outputs.get("probabilities") or signature.outputs["prediction"]
    inputs = {name: tensor.name for name, tensor in signature.inputs.items()}

    def run(rows: Rows) -> np.ndarray:
        import numpy as np

        count = len(next(iter(rows.values())))
        parts = []
        for start in range(0, max(count, 1), BATCH_ROWS):
            feed = {inputs[name]: rows[name][start : start + BATCH_ROWS] for name in inputs}
            parts.append(session.run(answer.name, feed))
        found: np.ndarray = np.concatenate(parts).astype(np.float64)
        return found

    return run


def _around_core(original: Original, engine: str) -> Any:
    """A module like those of `to_tensorflow`: our encoding, the engine's core, and our label."""
    from declarative_ml.formats.tf.graph import to_tensorflow
    from declarative_ml.formats.tf.runtime import tensorflow

    tf = tensorflow()
    halves = cut(original.model)
    if halves is None:
        raise StepFailed("the graph has no core on plain tensors")
    encoder = to_tensorflow(halves.encoder)
    loaded = _core(halves.core, engine)
    core = loaded.signatures[SIGNATURE]
    label = _labeller(tf, original)

    def traced(**inputs: Any) -> dict[str, Any]:
        (answer,) = core(**encoder.concrete(**inputs)).values()
        if not original.task.is_classification:
            return {"prediction": answer}
        return {"prediction": label(answer), "probabilities": answer}

    module = tf.Module()
    module.arguments = encoder.arguments
    module.resources = [*encoder.resources, loaded]
    specs = encoder.concrete.structured_input_signature[1]
    module.concrete = tf.function(traced, autograph=False).get_concrete_function(**specs)
    return module


def _labeller(tf: Any, original: Original) -> Callable[[Any], Any]:
    """From probabilities [N, C] to the class [N, 1]."""
    import numpy as np

    classes = list(original.task.classes)
    limit = np.float32(0.5 if original.threshold is None else original.threshold)

    def label(probabilities: Any) -> Any:
        if original.task.type == "binary":
            chosen = tf.cast(probabilities[:, 1:] >= limit, tf.int32)
        else:
            chosen = tf.argmax(probabilities, axis=1, output_type=tf.int32)[:, None]
        return tf.gather(tf.constant(classes), chosen)

    return label


def _core(core: Any, engine: str) -> Any:
    """The core as the engine converts it, loaded."""
    import tempfile

    from declarative_ml.formats.tf.runtime import tensorflow

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "core"
        if engine == "onnx-tf":
            from declarative_ml.formats.tf.onnx_tf_shim import save_core

            save_core(core, place)
        else:
            _with_onnx2tf(core, place)
        return tensorflow().saved_model.load(str(place))


def _with_onnx2tf(core: Any, place: Path) -> None:
    """Convert with onnx2tf, without its simplifier, a package of its own that our graphs do not need."""
    require("onnx2tf", "tensorflow").convert(
        onnx_graph=core,
        output_folder_path=str(place),
        not_use_onnxsim=True,
        non_verbose=True,
        verbosity="error",
    )


def _write_warmup(original: Original, most: int, file: Path) -> None:
    """The first rows as records of TensorFlow Serving's PredictionLog."""
    from declarative_ml.formats.tf.runtime import tensorflow

    tf = tensorflow()
    file.parent.mkdir(parents=True)
    count = min(most, len(next(iter(original.rows.values()))))
    with tf.io.TFRecordWriter(str(file)) as writer:
        for row in range(count):
            columns = {
                name: tf.make_tensor_proto(values[row : row + 1]).SerializeToString(deterministic=True)
                for name, values in original.rows.items()
            }
            writer.write(prediction_log(original.name, columns))


def prediction_log(model: str, columns: Mapping[str, bytes]) -> bytes:
    """A `tensorflow.serving.PredictionLog` of one request: serialised TensorProtos by column.

    The messages are spelled out, since the package that describes them is tied to one TensorFlow:
    PredictionLog.predict_log = 6, PredictLog.request = 1, PredictRequest.model_spec = 1 and inputs = 2 (a
    map, so entries of key = 1 and value = 2), ModelSpec.name = 1 and signature_name = 3.
    """
    spec = _field(1, model.encode()) + _field(3, SIGNATURE.encode())
    request = _field(1, spec)
    for name in sorted(columns):
        request += _field(2, _field(1, name.encode()) + _field(2, columns[name]))
    return _field(6, _field(1, request))


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes as protobuf writes it: what it is, its length as a varint, the bytes."""
    length, rest = b"", len(content)
    while rest >= 128:
        length += bytes([rest & 127 | 128])
        rest >>= 7
    return bytes([number << 3 | 2]) + length + bytes([rest]) + content
