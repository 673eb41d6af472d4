"""Sentence-embedding models in folders: where their files are, and how they are used. Loads no library.

Two kinds are known, in the layouts that people find them in: an ONNX graph with its tokenizer (model.onnx or
onnx/model.onnx beside tokenizer.json, with the settings that sentence-transformers writes), and a table of
vectors of tokens (model.safetensors of model2vec, or 0_StaticEmbedding of sentence-transformers).
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from declarative_ml.core.errors import DataError, MissingDependency
from declarative_ml.core.optional import installed
from declarative_ml.core.reading import Embedding

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

EXTRA = "embedding"
TOKENIZER = "tokenizer.json"
CONTENT = {"onnx": "model.onnx", "static": "model.safetensors"}
"""By kind, the file beside the tokenizer, as it is called in a bundle."""
TABLES = ("embeddings", "embedding.weight")
"""Of a static model, in model2vec and in sentence-transformers."""
_LONGEST = 512
_POOLING = {"cls": "cls", "mean": "mean", "max": "max"}
_WAY_OUT = (
    "the folder needs tokenizer.json, and model.onnx or a table of vectors in model.safetensors; nothing is "
    "downloaded. Save one where there is a network: "
    "SentenceTransformer(NAME, backend='onnx').save_pretrained(FOLDER), or "
    "model2vec.StaticModel.from_pretrained(NAME).save_pretrained(FOLDER)"
)

Read = Callable[[str], bytes]
"""The content of a file in a bundle, by its name there."""


@dataclass(frozen=True)
class EmbeddingModel:
    """A model and how it is used; `read` gives its files by the names that they have in a bundle."""

    described: Embedding
    read: Read

    @property
    def names(self) -> tuple[str, str]:
        """Its two files: the tokenizer's, and the graph or the table."""
        return TOKENIZER, CONTENT[self.described.kind]


def bundle_name(embedding: Embedding, name: str) -> str:
    """Where a bundle carries a file of a model."""
    return f"embeddings/{embedding.digest[:16]}/{name}"


def carried_model(embedding: Embedding, read: Read) -> EmbeddingModel:
    """The model that a bundle carries.

    Raises MissingDependency without the tokenizers, DataError where its files are not those of the digest.
    """
    require_tokenizers()
    model = EmbeddingModel(embedding, lambda name: read(bundle_name(embedding, name)))
    if _digest(embedding, [hashlib.sha256(model.read(name)) for name in model.names]) != embedding.digest:
        raise DataError(
            f"the bundle's files of the embedding model {embedding.model!r} do not match its digest",
            hint="copy the bundle again, or run again",
        )
    return model


def require_tokenizers() -> None:
    """Raise MissingDependency without the tokenizers, which are not loaded."""
    if not installed("tokenizers"):
        raise MissingDependency("tokenizers", EXTRA)


def find_model(name: str, bases: Sequence[Path] = ()) -> EmbeddingModel:
    """The model in the folder `name`, seen from the first of `bases` that has it.

    Raises MissingDependency without the tokenizers or the folder, DataError for a model that cannot be used.
    """
    require_tokenizers()
    for base in bases or (Path.cwd(),):
        folder = base / Path(name).expanduser()
        if folder.is_dir():
            return _in_folder(name, folder)
    error = MissingDependency(f"the embedding model {name!r}", EXTRA)
    error.hint = f"there is no such folder: {_WAY_OUT}"
    raise error


def model_files(name: str, base: Path) -> list[Path]:
    """The files that decide what a model in a folder below `base` does; none where it is absent."""
    folder = base / Path(name).expanduser()
    settings = (*_SETTINGS, TOKENIZER, "0_StaticEmbedding/tokenizer.json")
    graphs = ("model.onnx", "onnx/model.onnx", "model.safetensors", "0_StaticEmbedding/model.safetensors")
    return [path for path in (folder / each for each in (*settings, *graphs)) if path.is_file()]


_SETTINGS = ("modules.json", "config.json", "sentence_bert_config.json", "1_Pooling/config.json")


def _in_folder(name: str, folder: Path) -> EmbeddingModel:
    graph = next(
        (path for path in (folder / "model.onnx", folder / "onnx/model.onnx") if path.is_file()), None
    )
    if graph is not None:
        files = {TOKENIZER: folder / TOKENIZER, CONTENT["onnx"]: graph}
        fields = {"kind": "onnx", "pooling": _pooling(name, folder), "max_tokens": _most_tokens(folder)}
    else:
        place = next((part for part in (folder, folder / "0_StaticEmbedding") if _has_table(part)), None)
        if place is None:
            raise DataError(f"the folder {name!r} has no embedding model that can be read", hint=_WAY_OUT)
        files = {TOKENIZER: place / TOKENIZER, CONTENT["static"]: place / CONTENT["static"]}
        limit = _json(folder / "config.json").get("max_length", _LONGEST)
        fields = {"kind": "static", "pooling": "mean", "max_tokens": limit or 0}
    if not files[TOKENIZER].is_file():
        raise DataError(f"the embedding model {name!r} has no {TOKENIZER}", hint=_WAY_OUT)
    described = Embedding.model_validate({"model": name, **fields})
    found = []
    for path in files.values():
        with path.open("rb") as stream:
            found.append(hashlib.file_digest(stream, "sha256"))
    described = described.model_copy(update={"digest": _digest(described, found)})
    return EmbeddingModel(described, lambda file: files[file].read_bytes())


def _digest(described: Embedding, files: Iterable[Hash]) -> str:
    """Of the tokenizer, of the graph or table, and of how they are used."""
    total = hashlib.sha256(described.model_dump_json(exclude={"model", "digest"}).encode())
    for digest in files:
        total.update(digest.digest())
    return total.hexdigest()


def _pooling(name: str, folder: Path) -> str:
    """As the settings of sentence-transformers say; the mean where they say nothing."""
    kinds = [str(module.get("type", "")).rpartition(".")[2] for module in _json(folder / "modules.json", [])]
    if odd := sorted(set(kinds) - {"Transformer", "Pooling", "Normalize"}):
        raise DataError(
            f"the embedding model {name!r} has parts that no graph of it holds: {', '.join(odd)}",
            hint="use a model of Transformer, Pooling and Normalize, or a static one",
        )
    settings = _json(folder / "1_Pooling/config.json")
    found = {
        part.split("_")[2] for part, on in settings.items() if part.startswith("pooling_mode_") and on is True
    }
    found |= {str(settings[part]) for part in ("pooling_mode",) if part in settings}
    pooling = _POOLING.get(next(iter(found), "mean")) if len(found) < 2 else None
    if pooling is None:
        raise DataError(
            f"the embedding model {name!r} pools its tokens by {' and '.join(sorted(found))}",
            hint="mean, cls and max are known; use another model",
        )
    return pooling


def _most_tokens(folder: Path) -> int:
    places = (
        ("sentence_bert_config.json", ("max_seq_length",)),
        (TOKENIZER, ("truncation", "max_length")),
        ("config.json", ("max_position_embeddings",)),
    )
    for file, path in places:
        found: Any = _json(folder / file)
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, int) and found > 0:
            return min(found, 8_192)
    return _LONGEST


def _has_table(folder: Path) -> bool:
    path = folder / CONTENT["static"]
    return path.is_file() and any(name in TABLES for name in _tensors(path))


def _tensors(path: Path) -> list[str]:
    """The names of the tensors of a .safetensors; none of what is no such file."""
    try:
        with path.open("rb") as stream:
            (size,) = struct.unpack("<Q", stream.read(8))
            return list(json.loads(stream.read(min(size, 1 << 24))))
    except (OSError, ValueError, struct.error):
        return []


def _json(path: Path, otherwise: Any = None) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {} if otherwise is None else otherwise
