"""Tokens as numbers: a table of tokens that learns from texts, or only looks up.

`Lexicon` is the compiled one where it could be built, else the one below; both give the same numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from declarative_ml.text.tokens import LOWER, kinds, pattern

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_BYTES_AT_ONCE = 8 << 20
"""The compiled reader makes room for as many tokens as a piece has bytes."""


class Lexicon(Protocol):
    """Numbers of tokens, from 1 on in the order in which they came; 0 is an unknown token."""

    def __len__(self) -> int:
        """How many tokens are known."""

    def tokens(self) -> list[str]:
        """The known tokens by their numbers, from 1 on."""

    def read(self, texts: pa.Array, *, learn: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Every token of the texts as a number, int32 [T], and how many each text has, int64 [N].

        With `learn` new tokens get the next numbers. A null text has no tokens.
        """


def new_lexicon(tokens: Iterable[str] = ()) -> Lexicon:
    """A lexicon that knows `tokens`, which are lower-case and different."""
    return PlainLexicon(tokens) if _COMPILED is None else CompiledLexicon(tokens)


def compiled() -> Any | None:
    """The compiled module, or None."""
    return _COMPILED


def _load() -> Any | None:
    # Not an import statement: the module may be missing, and is no source that ages a cache.
    try:
        return import_module("declarative_ml.text._lexicon")
    except ImportError:
        return None


_COMPILED = _load()


class PlainLexicon:
    """In Python, by a regular expression and a dict."""

    def __init__(self, tokens: Iterable[str] = ()) -> None:
        self._numbers = {token: number for number, token in enumerate(tokens, 1)}
        self._find = re.compile(pattern()).findall

    def __len__(self) -> int:
        return len(self._numbers)

    def tokens(self) -> list[str]:
        """See Lexicon.tokens."""
        return list(self._numbers)

    def read(self, texts: pa.Array, *, learn: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """See Lexicon.read."""
        import numpy as np

        found: list[int] = []
        counts = np.zeros(len(texts), dtype=np.int64)
        known = self._numbers
        for row, text in enumerate(texts.to_pylist()):
            tokens = self._find(text.translate(LOWER)) if text else []
            counts[row] = len(tokens)
            if learn:
                found.extend(known.setdefault(token, len(known) + 1) for token in tokens)
            else:
                found.extend(known.get(token, 0) for token in tokens)
        return np.array(found, dtype=np.int32), counts


class CompiledLexicon:
    """In C, on the bytes of the Arrow array."""

    def __init__(self, tokens: Iterable[str] = ()) -> None:
        assert _COMPILED is not None
        self._table = _COMPILED.Lexicon(kinds())
        for token in tokens:
            self._table.add(token.encode())

    def __len__(self) -> int:
        return len(self._table)

    def tokens(self) -> list[str]:
        """See Lexicon.tokens."""
        return [token.decode() for token in self._table.tokens()]

    def read(self, texts: pa.Array, *, learn: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """See Lexicon.read."""
        import numpy as np

        texts = _without_nulls(texts)
        counts = np.zeros(len(texts), dtype=np.int64)
        offsets, data = _buffers(texts)
        parts = []
        for start, stop in _pieces(offsets):
            parts.append(self._table.read(offsets[start : stop + 1], data, counts[start:stop], learn))
        return np.concatenate([np.empty(0, dtype=np.int32), *parts]), counts


def _without_nulls(texts: pa.Array) -> pa.Array:
    return texts.fill_null("") if texts.null_count else texts


def _buffers(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Where the texts begin and end, int32 [N + 1], and all their bytes, of an array without nulls."""
    import numpy as np

    _, offsets, data = texts.buffers()
    if not len(texts) or offsets is None:
        return np.zeros(1, dtype=np.int32), np.zeros(0, dtype=np.uint8)
    ends = np.frombuffer(offsets, dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return ends, np.zeros(0, np.uint8) if data is None else np.frombuffer(data, dtype=np.uint8)


def _pieces(offsets: np.ndarray) -> list[tuple[int, int]]:
    """Ranges of texts of limited size, or of one text that is larger."""
    import numpy as np

    pieces, start = [], 0
    while start < len(offsets) - 1:
        end = np.searchsorted(offsets, int(offsets[start]) + _BYTES_AT_ONCE, side="right") - 1
        stop = max(int(end), start + 1)
        pieces.append((start, stop))
        start = stop
    return pieces
