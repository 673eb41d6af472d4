"""Tiny sentence-embedding models that tests make: real tokenizers, real graphs, real tables."""

import json
import struct

import numpy as np

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
PIECES = [
    "sail",
    "##s",
    "##ed",
    "##ing",
    "bake",
    "bak",
    "##e",
    "we",
    "they",
    "oslo",
    "today",
    "##o",
    "to",
    "!",
]
WIDTH = 12


def write_tokenizer(path, words=()):
    """A WordPiece tokenizer as BERT has it; returns how many tokens it knows."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    vocabulary = {token: place for place, token in enumerate(dict.fromkeys([*SPECIAL, *PIECES, *words]))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    tokenizer.enable_padding(length=16)
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path))
    return len(vocabulary)


def write_tensors(path, **tensors):
    """A .safetensors file."""
    names = {"float32": "F32", "float16": "F16", "int8": "I8", "int64": "I64"}
    header, place = {"__metadata__": {"made": "by a test"}}, 0
    for name, array in tensors.items():
        ends = [place, place + array.nbytes]
        header[name] = {"dtype": names[str(array.dtype)], "shape": list(array.shape), "data_offsets": ends}
        place += array.nbytes
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(a.tobytes() for a in tensors.values()))


def write_static(folder, *, words=(), seed=0, dtype=np.float32, scale=1, **more):
    """A model of model2vec: a table of vectors, and the tokenizer."""
    tokens = write_tokenizer(folder / "tokenizer.json", words)
    table = np.random.default_rng(seed).standard_normal((tokens, WIDTH)) * scale
    write_tensors(folder / "model.safetensors", embeddings=table.astype(dtype), **more)
    (folder / "config.json").write_text('{"model_type": "model2vec", "normalize": true}')
    return table.astype(dtype)


def write_graph(folder, *, seed=0, place="model.onnx", output="last_hidden_state"):
    """A BERT of one layer and one head, with the settings of sentence-transformers."""
    from onnx import TensorProto, checker, helper, numpy_helper

    tokens = write_tokenizer(folder / "tokenizer.json")
    source = np.random.default_rng(seed)
    weights = {
        "words": source.standard_normal((tokens, WIDTH)),
        "places": source.standard_normal((64, WIDTH)) / 4,
        **{name: source.standard_normal((WIDTH, WIDTH)) / 3 for name in ("query", "key", "value")},
        "one": np.ones(WIDTH), "zero": np.zeros(WIDTH), "root": np.array(WIDTH**-0.5), "large": np.array(1e4),
    }  # fmt: skip
    node = helper.make_node
    nodes = [
        node("Gather", ["words", "input_ids"], ["looked_up"]),
        node("Shape", ["input_ids"], ["length"], start=1, end=2),
        node("Reshape", ["length", "scalar"], ["count"]),
        node("Range", ["i0", "count", "i1"], ["numbers"]),
        node("Gather", ["places", "numbers"], ["placed"]),
        node("Add", ["looked_up", "placed"], ["hidden"]),
        *(node("MatMul", ["hidden", name], [f"of_{name}"]) for name in ("query", "key", "value")),
        node("Transpose", ["of_key"], ["turned"], perm=[0, 2, 1]),
        node("MatMul", ["of_query", "turned"], ["products"]),
        node("Mul", ["products", "root"], ["scores"]),
        node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        node("Sub", ["mask", "f1"], ["off"]),
        node("Mul", ["off", "large"], ["far"]),
        node("Unsqueeze", ["far", "axis"], ["wide"]),
        node("Add", ["scores", "wide"], ["masked"]),
        node("Softmax", ["masked"], ["attention"], axis=-1),
        node("MatMul", ["attention", "of_value"], ["mixed"]),
        node("Add", ["mixed", "hidden"], ["sum"]),
        node("LayerNormalization", ["sum", "one", "zero"], ["last_hidden_state"]),
    ]
    if output == "sentence_embedding":
        nodes.append(node("ReduceMean", ["last_hidden_state", "axis"], [output], keepdims=0))
    whole = {"scalar": np.zeros(0), "i0": np.array(0), "i1": np.array(1), "axis": np.array([1])}
    constants = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()]
    constants += [numpy_helper.from_array(array.astype(np.int64), name) for name, array in whole.items()]
    constants.append(numpy_helper.from_array(np.array(1, np.float32), "f1"))
    asked = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["N", "T"])
        for name in ("input_ids", "attention_mask")
    ]
    shape = ["N", WIDTH] if output == "sentence_embedding" else ["N", "T", WIDTH]
    given = [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "bert", asked, given, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    checker.check_model(model, full_check=True)
    (folder / place).parent.mkdir(exist_ok=True)
    (folder / place).write_bytes(model.SerializeToString())
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 24}')
    return model
