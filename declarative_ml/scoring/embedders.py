"""Texts as vectors by a sentence-embedding model: an ONNX graph over tokens, or a table of their vectors.

No torch, and no network: what is read are the files of `embedding_files`. Texts with equally many tokens run
through a graph together, so that none is padded.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from declarative_ml.core.errors import DataError
from declarative_ml.core.reading import Embedding
from declarative_ml.scoring.session import open_session
from declarative_ml.text.embedding_files import CONTENT, TABLES, TOKENIZER, EmbeddingModel
from declarative_ml.text.vectors import SEPARATOR, joined, write_vectors

_TOKENS_AT_ONCE = 8_192
"""Of all texts that run together: bounds memory whatever their lengths."""
_TEXTS_AT_ONCE = 32
_LOOKED_UP = 1 << 16
"""Tokens whose vectors are gathered at once."""
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I8": "<i1", "I64": "<i8", "I32": "<i4"}

Ids = list[list[int]]


class Embedder(Protocol):
    """Vectors of tokens' numbers."""

    def embed(self, ids: Ids) -> np.ndarray:
        """The vectors of N texts, float [N, D]; zeros for one without tokens."""


class EmbeddingReader:
    """Reads texts by one model: the text itself, and its vector. Not safe to share between threads."""

    def __init__(self, model: EmbeddingModel, *, threads: int = 1) -> None:
        """Load it. Raises DataError for files that cannot be read, or do not fit one another."""
        described = model.described
        self._name = f"the embedding model {described.model!r}"
        self._tokenizer = _tokenizer(model, self._name)
        self._special = described.kind == "onnx"
        self._most = described.max_tokens
        content = model.read(CONTENT[described.kind])
        self._dropped: int | None = None
        self._embedder: Embedder
        if described.kind == "onnx":
            self._embedder = GraphEmbedder(content, described, self._name, threads)
        else:
            self._dropped = _unknown(model)
            self._embedder = TableEmbedder(content, self._name, self._tokenizer.get_vocab_size())

    def read(self, texts: Sequence[str]) -> list[str]:
        """The readings of the texts. Only "" is read as ""."""
        # A tab divides words from numbers; half a surrogate pair is no character, and JSON may hold one.
        clean = [text.replace(SEPARATOR, " ").encode("utf-8", "ignore").decode() for text in texts]
        readings = joined(clean, write_vectors(self._embedder.embed(self._ids(clean))))
        return [reading if text else "" for reading, text in zip(readings, texts, strict=True)]

    def _ids(self, texts: Sequence[str]) -> Ids:
        found = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=self._special)
        if self._special:
            return [encoding.ids for encoding in found]
        most = self._most or None
        return [[token for token in encoding.ids if token != self._dropped][:most] for encoding in found]


class GraphEmbedder:
    """Runs an ONNX graph that gives a vector for each token, or one for the text."""

    def __init__(self, content: bytes, described: Embedding, name: str, threads: int) -> None:
        self._name = name
        self._session = open_session(content, threads=threads, name=f"{name}: {CONTENT['onnx']}")
        self._inputs = {node.name for node in self._session.get_inputs()}
        if odd := sorted(self._inputs - {"input_ids", "attention_mask", "token_type_ids"}):
            raise DataError(
                f"{name} takes {', '.join(odd)}, which no tokenizer gives",
                hint="its inputs may be input_ids, attention_mask and token_type_ids",
            )
        shapes = {node.name: len(node.shape) for node in self._session.get_outputs()}
        whole = "sentence_embedding" in shapes
        fitting = [each for each, rank in shapes.items() if rank == 3]
        if not whole and not fitting:
            raise DataError(
                f"{name} has no output of vectors: {', '.join(shapes)}",
                hint="it needs sentence_embedding [N, D], or last_hidden_state [N, T, D]",
            )
        self._output = "sentence_embedding" if whole else fitting[0]
        self._pooling = "none" if whole else described.pooling

    def embed(self, ids: Ids) -> np.ndarray:
        """See Embedder.embed."""
        parts: list[tuple[list[int], np.ndarray]] = []
        for rows in _alike(ids):
            tokens = np.array([ids[row] for row in rows], dtype=np.int64)
            parts.append((rows, self._run(tokens)))
        width = parts[0][1].shape[1] if parts else 0
        found = np.zeros((len(ids), width))
        for rows, vectors in parts:
            found[rows] = vectors
        return found

    def _run(self, tokens: np.ndarray) -> np.ndarray:
        feed = {
            "input_ids": tokens,
            "attention_mask": np.ones_like(tokens),
            "token_type_ids": np.zeros_like(tokens),
        }
        given = {name: feed[name] for name in self._inputs}
        try:
            vectors: np.ndarray = self._session.run([self._output], given)[0]
        except Exception as error:  # onnxruntime's errors share no base class of their own
            first = next(iter(str(error).splitlines()), type(error).__name__)
            raise DataError(f"{self._name} does not run: {first}") from error
        return _pooled(vectors, self._pooling)


def _pooled(vectors: np.ndarray, pooling: str) -> np.ndarray:
    """One vector [N, D] of those of tokens [N, T, D], none of which is padding."""
    if pooling == "mean":
        return np.asarray(vectors.mean(axis=1))
    if pooling == "max":
        return np.asarray(vectors.max(axis=1))
    return vectors[:, 0] if pooling == "cls" else vectors


class TableEmbedder:
    """The mean of the rows of a table; see model2vec (Tulkens & van Dongen, 2024)."""

    def __init__(self, content: bytes, name: str, tokens: int) -> None:
        tensors = read_tensors(content, name)
        self._table = next(tensors[each] for each in TABLES if each in tensors)
        self._weights, self._places = tensors.get("weights"), tensors.get("mapping")
        held = len(self._table) if self._places is None else len(self._places)
        if self._table.ndim != 2 or held < tokens:
            raise DataError(f"{name} has a table for {held} tokens, and a tokenizer of {tokens}")

    def embed(self, ids: Ids) -> np.ndarray:
        """See Embedder.embed."""
        found = np.zeros((len(ids), self._table.shape[1]))
        for rows in _stretches(ids):
            flat = np.concatenate([np.asarray(ids[row], dtype=np.int64) for row in rows])
            vectors = self._table[flat if self._places is None else self._places[flat]].astype(np.float32)
            if self._weights is not None:
                vectors = vectors * self._weights[flat].astype(np.float32)[:, None]
            counts = np.array([len(ids[row]) for row in rows])
            starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
            found[rows] = np.add.reduceat(vectors, starts, axis=0) / counts[:, None]
        return found


def _alike(ids: Ids) -> Iterator[list[int]]:
    """Rows of equally many tokens, so few that they fit together; without those that have none."""
    order = sorted((row for row in range(len(ids)) if ids[row]), key=lambda row: len(ids[row]))
    rows: list[int] = []
    for row in order:
        size = len(ids[row])
        most = max(1, min(_TEXTS_AT_ONCE, _TOKENS_AT_ONCE // size))
        if rows and (len(ids[rows[0]]) != size or len(rows) >= most):
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows


def _stretches(ids: Ids) -> Iterator[list[int]]:
    """Rows with tokens, so many that their tokens fit together."""
    rows: list[int] = []
    held = 0
    for row, tokens in enumerate(ids):
        if rows and held + len(tokens) > _LOOKED_UP:
            yield rows
            rows, held = [], 0
        if tokens:
            rows.append(row)
            held += len(tokens)
    if rows:
        yield rows


def _tokenizer(model: EmbeddingModel, name: str) -> Any:
    # The library asks a hub only when told to; and its threads must not meet a fork.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(model.read(TOKENIZER).decode())
    except Exception as error:  # the library raises no other class
        raise DataError(f"{name}: {TOKENIZER} cannot be read: {error}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if model.described.kind == "onnx" and model.described.max_tokens:
        tokenizer.enable_truncation(model.described.max_tokens)
    return tokenizer


def _unknown(model: EmbeddingModel) -> int | None:
    """The number of the token that stands for unknown words, which says nothing."""
    fields = json.loads(model.read(TOKENIZER)).get("model", {})
    named, vocabulary = fields.get("unk_token"), fields.get("vocab")
    if isinstance(vocabulary, dict) and named in vocabulary:
        return int(vocabulary[named])
    number = fields.get("unk_id")
    return number if isinstance(number, int) else None


def read_tensors(content: bytes, name: str) -> dict[str, np.ndarray]:
    """The tensors of a .safetensors file. Raises DataError for what is none, or not to be read."""
    try:
        (size,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + size])
        found = {}
        for tensor, entry in header.items():
            if tensor != "__metadata__":
                first, last = entry["data_offsets"]
                part = memoryview(content)[8 + size + first : 8 + size + last]
                found[tensor] = np.frombuffer(part, dtype=_DTYPES[entry["dtype"]]).reshape(entry["shape"])
        return found
    except (ValueError, KeyError, TypeError, struct.error) as error:
        raise DataError(
            f"{name}: {CONTENT['static']} cannot be read: {error}",
            hint=f"its tensors may be {', '.join(_DTYPES)}",
        ) from error
