"""Whether the quotation marks of delimited text pair up, and whether it holds NUL bytes: while it is read.

A reader of CSV goes on after `"a" b` or a mark that is never closed, and drops marks or swallows rows without
a word. In text by RFC 4180 every mark that opens stands at the start of a cell, every one that closes at its
end, or two stand together. That is looked at for all marks of a block at once; only a block with others, such
as the one in 5" disk, is walked through mark by mark.
"""

from __future__ import annotations

import codecs
import io
from pathlib import Path
from typing import IO

import numpy as np

from declarative_ml.core.errors import DataError

_QUOTE, _LINE, _RETURN = ord('"'), ord("\n"), ord("\r")
_BOM = b"\xef\xbb\xbf"
_SHOWN = 40
_WIDE = ("utf16", "utf32", "utf7")


class QuoteWatch:
    """Sees the bytes of a file, block by block, and remembers the first fault."""

    def __init__(self, path: Path, delimiter: str, encoding: str) -> None:
        self._path = path
        self._ends = np.zeros(256, dtype=bool)
        """Bytes -> whether a cell ends there."""
        self._ends[[*delimiter.encode(), _LINE, _RETURN]] = True
        self._edges = self._ends.copy()
        self._edges[_QUOTE] = True
        bare = encoding.lower().replace("-", "").replace("_", "")
        self._decoder = codecs.getincrementaldecoder(encoding)("replace") if bare.startswith(_WIDE) else None
        self._kept = b""
        """Marks at the end of the last block: what they are depends on the byte behind them."""
        self._before = _LINE
        self._line = 1
        self._is_first = True
        self._inside = False
        self._opened: tuple[int, bytes] = (1, b"")
        """Line of the last mark that opened a cell, and the bytes behind it."""
        self.fault: DataError | None = None

    def see(self, block: bytes) -> None:
        """Take in the next bytes; none means the end of the file."""
        if self.fault is not None:
            return
        if self._decoder is not None:
            block = self._decoder.decode(block, final=not block).encode("utf-8", "replace")
        if self._is_first:
            block, self._is_first = block.removeprefix(_BOM), False
        data = self._kept + block
        whole = data if not block else data.rstrip(b'"')
        self._kept = data[len(whole) :]
        if b"\0" in whole:
            line = self._line_at(whole, whole.index(b"\0"))
            self.fault = DataError(
                f"{self._path}: line {line:,} holds a NUL byte",
                hint="is the file cut, damaged, or in another encoding? write it again",
            )
        elif whole:
            self._look(whole)
        if not block and self._inside and self.fault is None:
            line, cell = self._opened
            self.fault = DataError(
                f"{self._path}: a quotation mark is opened in line {line:,} and never closed; "
                f"the cell begins with {_shown(cell)}",
                hint="close it, or double the quotation marks that belong to the text",
            )

    def _look(self, data: bytes) -> None:
        values = np.frombuffer(data, dtype=np.uint8)
        marks = np.flatnonzero(values == _QUOTE)
        if len(marks):
            padded = np.empty(len(values) + 2, dtype=np.uint8)
            padded[0], padded[1:-1], padded[-1] = self._before, values, _LINE
            opens, closes = marks[int(self._inside) :: 2], marks[1 - int(self._inside) :: 2]
            if self._edges[padded[opens]].all() and self._edges[padded[closes + 2]].all():
                self._remember(data, opens, padded)
                self._inside = bool((len(marks) + self._inside) % 2)
            else:
                starts, ends = self._ends[padded[marks]], self._ends[padded[marks + 2]]
                self._walk(data, marks.tolist(), starts.tolist(), ends.tolist())
        self._line += data.count(b"\n")
        self._before = data[-1]

    def _remember(self, data: bytes, opens: np.ndarray, padded: np.ndarray) -> None:
        """Keep where the last cell with marks began: what opens behind another mark is that mark doubled."""
        for place in opens[::-1]:
            if self._ends[padded[place]]:
                self._open(data, int(place))
                return

    def _walk(self, data: bytes, marks: list[int], starts: list[bool], ends: list[bool]) -> None:
        """Mark by mark, as a reader goes. A mark inside a cell that began without one is a letter."""
        at = 0
        while at < len(marks):
            place = marks[at]
            if not self._inside:
                if starts[at]:
                    self._inside = True
                    self._open(data, place)
            elif at + 1 < len(marks) and marks[at + 1] == place + 1:
                at += 1
            elif ends[at]:
                self._inside = False
            else:
                self.fault = self._torn(data, place)
                return
            at += 1

    def _open(self, data: bytes, place: int) -> None:
        self._opened = (self._line_at(data, place), data[place + 1 : place + 1 + _SHOWN])

    def _torn(self, data: bytes, place: int) -> DataError:
        line, (opened, cell) = self._line_at(data, place), self._opened
        since = "" if opened == line else f" (the cell was opened in line {opened:,}: {_shown(cell)})"
        shown = _shown(data[max(place - 20, 0) : place + 20])
        return DataError(
            f"{self._path}: line {line:,} has text behind a closing quotation mark: {shown}{since}",
            hint="double the quotation marks that belong to the text, and close each cell where it ends",
        )

    def _line_at(self, data: bytes, place: int) -> int:
        return self._line + data.count(b"\n", 0, place)


class WatchedStream(io.RawIOBase):
    """A stream of bytes that shows what is read of it to a QuoteWatch."""

    def __init__(self, stream: IO[bytes], watch: QuoteWatch) -> None:
        super().__init__()
        self._stream = stream
        self._watch = watch

    def readable(self) -> bool:
        """It is read only."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes of the stream."""
        block: bytes = self._stream.read(size)
        if size:
            self._watch.see(block)
        return block


def _shown(text: bytes) -> str:
    return repr(text.decode("utf-8", "replace"))
