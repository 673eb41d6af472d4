"""Sentence-embedding models in folders: found, read as their settings say, refused with a way out."""

import json
import warnings

import numpy as np
import pytest
from embedding_models import PIECES, SPECIAL, WIDTH, write_graph, write_static, write_tensors

from declarative_ml.core.errors import DataError, MissingDependency
from declarative_ml.core.reading import Embedding, parse_reading
from declarative_ml.core.schema import ColumnRule
from declarative_ml.scoring import embedders
from declarative_ml.scoring.embedders import EmbeddingReader
from declarative_ml.scoring.readings import PipelineWarning, Readers, as_column, text_reader
from declarative_ml.store.bundle import Input
from declarative_ml.text import embedding_files
from declarative_ml.text.embedding_files import bundle_name, find_model, model_files

pytest.importorskip("tokenizers")

TEXTS = ["We sailed to Oslo!", "", "they bake", "we\tbake today !", "sail " * 60, "\ud83d odd", "sailed"]


def tokens(path, text):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
    tokenizer.no_padding()
    return tokenizer.encode(text.replace("\t", " ").encode("utf-8", "ignore").decode())


def numbers(reading):
    return np.array(reading.partition("\t")[2].split(" "), float)


def direction(vector):
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize("place", ["model.onnx", "onnx/model.onnx"])
@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_tokens_of_a_graph_are_pooled(place, pooling, tmp_path):
    import onnxruntime

    write_graph(tmp_path / "bert", place=place)
    (tmp_path / "bert/1_Pooling").mkdir()
    settings = {"pooling_mode_cls_token": pooling == "cls", "pooling_mode_mean_tokens": pooling == "mean",
                "pooling_mode_max_tokens": pooling == "max", "word_embedding_dimension": WIDTH}  # fmt: skip
    (tmp_path / "bert/1_Pooling/config.json").write_text(json.dumps(settings))
    model = find_model("bert", [tmp_path])
    assert (model.described.kind, model.described.pooling, model.described.max_tokens) == (
        "onnx",
        pooling,
        24,
    )
    session = onnxruntime.InferenceSession(tmp_path / "bert" / place)
    for text, found in zip(TEXTS, EmbeddingReader(model).read(TEXTS), strict=True):
        if not text:
            assert found == ""
            continue
        ids = tokens(tmp_path / "bert", text).ids
        ids = ids if len(ids) <= 24 else [*ids[:23], ids[-1]]
        # Padded, as others run it: the mask keeps padding away.
        padded, mask = np.zeros((1, 30), np.int64), np.zeros((1, 30), np.int64)
        padded[0, : len(ids)], mask[0, : len(ids)] = ids, 1
        hidden = session.run(None, {"input_ids": padded, "attention_mask": mask})[0][0, : len(ids)]
        whole = {"mean": hidden.mean(0), "cls": hidden[0], "max": hidden.max(0)}[pooling]
        assert np.abs(numbers(found) - direction(whole)).max() < 1e-4
        assert found.partition("\t")[0] == text.replace("\t", " ").encode("utf-8", "ignore").decode()


def test_a_graph_that_pools_by_itself_is_taken_at_its_word(tmp_path):
    write_graph(tmp_path / "whole", output="sentence_embedding")
    write_graph(tmp_path / "parts")
    whole, parts = (EmbeddingReader(find_model(name, [tmp_path])).read(TEXTS) for name in ("whole", "parts"))
    for one, other in zip(whole, parts, strict=True):
        if one:
            assert np.abs(numbers(one) - numbers(other)).max() < 2e-4


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8])
def test_rows_of_a_table_are_averaged(dtype, tmp_path):
    table = write_static(tmp_path / "static", dtype=dtype, scale=20)
    found = EmbeddingReader(find_model("static", [tmp_path])).read([*TEXTS, "unheard"])
    for text, reading in zip(TEXTS, found, strict=False):
        ids = [number for number in tokens(tmp_path / "static", text).ids if number > 3]
        if text and ids:
            expected = direction(table[ids].astype(np.float64).mean(axis=0))
            assert np.abs(numbers(reading) - expected).max() < 6e-5
    assert found[-1] == "unheard"  # unknown words have no vector


def test_a_table_with_weights_and_shared_rows(tmp_path):
    count = len(SPECIAL) + len(PIECES)
    weights, places = np.linspace(0.1, 2, count, dtype=np.float32), np.arange(count) % 5
    write_static(tmp_path / "static", weights=weights, mapping=places)
    table = np.random.default_rng(3).standard_normal((5, WIDTH)).astype(np.float32)
    write_tensors(tmp_path / "static/model.safetensors", embeddings=table, weights=weights, mapping=places)
    (found,) = EmbeddingReader(find_model("static", [tmp_path])).read(["we sail to oslo"])
    ids = tokens(tmp_path / "static", "we sail to oslo").ids[1:-1]
    expected = direction((table[places[ids]] * weights[ids][:, None]).mean(axis=0))
    assert np.abs(numbers(found) - expected).max() < 6e-5


def test_the_layout_of_sentence_transformers_is_known(tmp_path):
    table = write_static(tmp_path / "plain")
    place = tmp_path / "other/0_StaticEmbedding"
    place.mkdir(parents=True)
    (place / "tokenizer.json").write_bytes((tmp_path / "plain/tokenizer.json").read_bytes())
    write_tensors(place / "model.safetensors", **{"embedding.weight": table})
    plain, other = (EmbeddingReader(find_model(name, [tmp_path])) for name in ("plain", "other"))
    assert plain.read(TEXTS) == other.read(TEXTS)


def test_batches_stay_small_and_change_nothing(tmp_path, monkeypatch):
    write_graph(tmp_path / "bert")
    write_static(tmp_path / "static")
    texts = [" ".join(PIECES[place] for place in range(row % 9)) + " we" for row in range(100)]
    expected = {
        name: EmbeddingReader(find_model(name, [tmp_path])).read(texts) for name in ("bert", "static")
    }
    monkeypatch.setattr(embedders, "_TOKENS_AT_ONCE", 12)
    monkeypatch.setattr(embedders, "_LOOKED_UP", 7)
    for name, readings in expected.items():
        found = EmbeddingReader(find_model(name, [tmp_path])).read(texts)
        assert max(np.abs(numbers(a) - numbers(b)).max() for a, b in zip(found, readings, strict=True)) < 2e-4
    assert EmbeddingReader(find_model("bert", [tmp_path])).read([]) == []


def column(reading):
    return Input(name="note", feature="text", dtype="string", rule=ColumnRule(type="text"), reading=reading)


def test_a_bundle_carries_the_model(tmp_path):
    write_static(tmp_path / "static")
    reader = text_reader(Embedding(model="static"), [tmp_path])
    described = parse_reading(json.loads(reader.described.model_dump_json()))
    assert described == reader.described and len(described.digest) == 64
    model = find_model("static", [tmp_path])
    files = {bundle_name(described, name): model.read(name) for name in model.names}
    assert sorted(files) == [f"embeddings/{described.digest[:16]}/{name}" for name in
                             ("model.safetensors", "tokenizer.json")]  # fmt: skip
    columns = {"note": as_column(["we sail", ""])}
    away = Readers([column(described)], tmp_path / "elsewhere", files.__getitem__).read(columns)
    assert away["note"].ravel().tolist() == reader.read(["we sail", ""])
    spoilt = {name: content[:-1] + b" " for name, content in files.items()}
    with pytest.raises(DataError, match="the embedding model 'static' do not match its digest"):
        Readers([column(described)], tmp_path, spoilt.__getitem__)
    with pytest.raises(DataError, match="the bundle has no file 'embeddings/"):
        Readers([column(described.model_copy(update={"digest": "0" * 64}))], tmp_path).read(columns)


def test_another_model_in_the_folder_is_noticed(tmp_path):
    write_static(tmp_path / "static")
    described = text_reader(Embedding(model="static"), [tmp_path]).described
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text_reader(described, [tmp_path])
    write_static(tmp_path / "static", seed=1)
    with pytest.warns(
        PipelineWarning, match="'static' has other files here than when the model was trained:"
    ):
        changed = text_reader(described, [tmp_path])
    assert changed.described.digest != described.digest
    assert [path.name for path in model_files("static", tmp_path)] == [
        "config.json", "tokenizer.json", "model.safetensors",
    ]  # fmt: skip
    assert model_files("absent", tmp_path) == []


def test_without_the_folder_or_the_library_the_way_out_is_said(tmp_path, monkeypatch):
    with pytest.raises(MissingDependency, match="the embedding model 'minilm' is not installed") as found:
        find_model("minilm", [tmp_path])
    assert "nothing is downloaded" in found.value.hint and "save_pretrained" in found.value.hint
    assert found.value.exit_code == 7
    monkeypatch.setattr(embedding_files, "installed", lambda name: False)
    with pytest.raises(MissingDependency, match="tokenizers is not installed") as found:
        find_model("minilm", [tmp_path])
    assert found.value.hint == "pip install 'declarative-ml[embedding]'"


def break_torch(folder):
    write_static(folder)
    write_tensors(folder / "model.safetensors", **{"encoder.layer.0": np.zeros(2, np.float32)})


def break_modules(folder):
    write_graph(folder)
    kinds = ["Transformer", "Pooling", "Dense"]
    modules = [{"type": f"sentence_transformers.models.{kind}"} for kind in kinds]
    (folder / "modules.json").write_text(json.dumps(modules))


def break_pooling(folder):
    write_graph(folder)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text('{"pooling_mode_lasttoken": true}')


def break_graph(folder):
    write_graph(folder)
    (folder / "model.onnx").write_bytes(b"no graph")


def break_tokenizer(folder):
    write_static(folder)
    (folder / "tokenizer.json").write_text('{"model": 3}')


def break_tokens(folder):
    write_static(folder)
    write_tensors(folder / "model.safetensors", embeddings=np.zeros((3, WIDTH), np.float32))


def break_size(folder):
    write_static(folder)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: folder.mkdir(), "the folder 'odd' has no embedding model that can be read"),
        (break_torch, "the folder 'odd' has no embedding model that can be read"),
        (
            lambda folder: (write_static(folder), (folder / "tokenizer.json").unlink()),
            r"'odd' has no tokenizer",
        ),
        (break_modules, "'odd' has parts that no graph of it holds: Dense"),
        (break_pooling, "'odd' pools its tokens by lasttoken"),
        (break_graph, r"'odd': model\.onnx cannot be loaded"),
        (break_tokenizer, r"'odd': tokenizer\.json cannot be read"),
        (break_tokens, "'odd' has a table for 3 tokens, and a tokenizer of 18"),
        (break_size, r"'odd': model\.safetensors cannot be read"),
    ],
)
def test_models_that_cannot_be_used_are_refused(spoil, message, tmp_path):
    spoil(tmp_path / "odd")
    with pytest.raises(DataError, match=message):
        EmbeddingReader(find_model("odd", [tmp_path]))


def test_a_graph_that_does_not_run_is_named(tmp_path):
    write_graph(tmp_path / "bert")
    (tmp_path / "bert/sentence_bert_config.json").write_text('{"max_seq_length": 500}')  # it has 64 places
    with pytest.raises(DataError, match="the embedding model 'bert' does not run: "):
        EmbeddingReader(find_model("bert", [tmp_path])).read(["sail " * 200])
