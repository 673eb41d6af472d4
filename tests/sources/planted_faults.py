"""Faults planted into files, and what becomes of each: the table of docs/data-faults.md and of its test.

`python tests/sources/planted_faults.py` writes the table into the page.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "data-faults.md"
BEGIN, END = "<!-- faults -->\n", "<!-- end -->\n"


@dataclass(frozen=True)
class Fault:
    """A file with a fault, and how it is met: with `refused` as an error, else with values and notes."""

    name: str
    content: bytes | str | Callable[[], bytes]
    refused: str = ""
    """What the error says, without the path of the file."""
    reads: dict[str, tuple[str, list[Any]]] = field(default_factory=dict)
    """Column -> the type that is found, and its last values as text; None is missing."""
    note: str = ""
    """What the notes say, which `dml init` and the report show."""
    file: str = "data.csv"
    options: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """The file, written."""
        path = folder / self.file
        content = self.content() if callable(self.content) else self.content
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path


GOOD = "".join(f"{number},{'ab'[number % 2]}\n" for number in range(1, 31))
"""Thirty rows without fault."""
XY = "x,y\n"


def _parquet() -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    buffer = io.BytesIO()
    parquet.write_table(pa.table({"x": list(range(100)), "y": ["a", "b"] * 50}), buffer)
    return buffer.getvalue()


def _native(kind: str, values: list[Any]) -> Callable[[], bytes]:
    def content() -> bytes:
        import pyarrow as pa
        from pyarrow import parquet

        buffer = io.BytesIO()
        types = {
            "float": pa.float64(),
            "nested": pa.list_(pa.int64()),
            "bytes": pa.binary(),
            "zoned": pa.timestamp("us", "+02:00"),
        }
        parquet.write_table(pa.table({"x": pa.array(values, types[kind]), "y": ["a"] * len(values)}), buffer)
        return buffer.getvalue()

    return content


def _dates(last: str) -> str:
    return XY + "".join(f"2024-01-{day:02d},a\n" for day in range(1, 29)) + last


PACKED = gzip.compress((XY + GOOD * 50).encode(), mtime=0)

FAULTS = (
    Fault(
        "garbage in the last of 100,001 rows",
        lambda: (XY + "7,a\n" * 100_000 + "garbage,a\n").encode(),
        reads={"x": ("text", ["7", "garbage"])},
        note="x: kept as text: 1 of 100,001 values are not numbers (row 100001: 'garbage')",
    ),
    Fault(
        "a line of totals at the end",
        XY + GOOD + "Total,30\n",
        reads={"x": ("text", ["30", "Total"])},
        note="x: kept as text: 1 of 31 values are not numbers (row 31: 'Total')",
    ),
    Fault(
        "numbers, then words",
        '{"x": 1, "y": "a"}\n' * 30 + '{"x": "one", "y": "b"}\n',
        file="data.jsonl",
        reads={"x": ("text", ["1", "one"])},
        note="1 of 31 values are not numbers (row 31: 'one')",
    ),
    Fault(
        "dates that change their format",
        _dates("29/01/2024,a\n"),
        reads={"x": ("text", ["2024-01-28", "29/01/2024"])},
        note="x: kept as text: 1 of 29 values are not dates (%Y-%m-%d) (row 29: '29/01/2024')",
    ),
    Fault(
        "a date that does not exist",
        _dates("2024-02-30,a\n"),
        reads={"x": ("text", ["2024-01-28", "2024-02-30"])},
        note="(row 29: '2024-02-30')",
    ),
    Fault(
        "month first or day first",
        XY + "1/2/2016,a\n3/4/2016,b\n",
        reads={"x": ("date", ["2016-01-02", "2016-03-04"])},
        note="x: dates are read month first (%m/%d/%Y), but every value could also be day first",
    ),
    Fault(
        "dates before 1970",
        XY + "1899-12-31,a\n1969-07-20,b\n",
        reads={"x": ("date", ["1899-12-31", "1969-07-20"])},
    ),
    Fault(
        "years of two digits",
        XY + "1/31/68,a\n12/31/69,b\n",
        reads={"x": ("date", ["2068-01-31", "1969-12-31"])},
    ),
    Fault(
        "time zones, some of them absent",
        XY + "2024-01-01T00:00:00+02:00,a\n2024-01-01T00:00:00,b\n",
        reads={"x": ("date", ["2023-12-31T22:00:00", "2024-01-01T00:00:00"])},
        note="x: 1 of 2 values name a time zone: all moments are brought to UTC, and those without one are "
        "taken for UTC",
    ),
    Fault(
        "decimal commas",
        "x;y\n1,5;a\n2,25;b\n",
        reads={"x": ("number", ["1.5", "2.25"])},
        note="x: numbers with '.' between thousands and ',' before decimals",
    ),
    Fault(
        "decimal commas without quotation marks",
        "x,y\n1,5,a\n",
        refused="the header has 2 columns, but row 1 has 3 ('1,5,a')",
    ),
    Fault(
        "decimal commas among decimal points",
        "x;y\n" + "2.25;b\n" * 30 + "1,5;a\n",
        reads={"x": ("text", ["2.25", "1,5"])},
        note="x: kept as text: 1 of 31 values are not numbers (row 31: '1,5')",
    ),
    Fault(
        "thousand separators",
        'x,y\n"1,234",a\n"1,234,567",b\n12,a\n',
        reads={"x": ("number", ["1234567", "12"])},
        note="x: numbers with ',' between thousands and '.' before decimals",
    ),
    Fault(
        "leading zeros",
        XY + "00501,a\n2134,b\n",
        reads={"x": ("text", ["00501", "2134"])},
        note="x: kept as text: values such as row 1: '00501' have leading zeros or more than 18 digits",
    ),
    Fault(
        "whole numbers beyond 64 bits",
        XY + "9223372036854775808,a\n1,b\n",
        reads={"x": ("text", ["9223372036854775808", "1"])},
        note="more than 18 digits",
    ),
    Fault(
        "whole numbers beyond 64 bits in JSON",
        '{"x": 18446744073709551616}\n{"x": 1}\n',
        file="data.jsonl",
        reads={"x": ("text", ["18446744073709551616", "1"])},
        note="more than 18 digits",
    ),
    Fault(
        "numbers beyond float64",
        XY + GOOD + "1e400,a\n",
        reads={"x": ("text", ["30", "1e400"])},
        note="(row 31: '1e400')",
    ),
    Fault(
        "numbers beyond float64 in JSON",
        '{"x": 1}\n' * 30 + '{"x": 1e400}\n',
        file="data.jsonl",
        reads={"x": ("text", ["1", "inf"])},
        note="(row 31: 'inf')",
    ),
    Fault("scientific notation", XY + "1e3,a\n2.5E-4,b\n", reads={"x": ("number", ["1000", "0.00025"])}),
    Fault(
        "spellings of infinity",
        XY + GOOD + "inf,a\n-Infinity,a\n",
        reads={"x": ("text", ["inf", "-Infinity"])},
        note="x: kept as text: 2 of 32 values are not numbers (row 31: 'inf', row 32: '-Infinity')",
    ),
    Fault(
        "infinities in Parquet",
        _native("float", [1.0, float("inf")]),
        file="data.parquet",
        reads={"x": ("number", ["1", None])},
        note="x: 1 infinite value(s) are read as missing",
    ),
    Fault(
        "NaN, nan and NULL as text",
        XY + "1,a\nNaN,b\nnan,a\nNULL,b\n",
        reads={"x": ("integer", ["1", None, None, None])},
    ),
    Fault(
        "missing values in a spelling of their own",
        XY + GOOD + "NAN,a\n-,b\n",
        reads={"x": ("text", ["NAN", "-"])},
        note="(row 31: 'NAN', row 32: '-'); if they mean missing, name them in data.missing",
    ),
    Fault(
        "percent signs",
        XY + "5%,a\n12.5 %,b\n",
        reads={"x": ("number", ["5", "12.5"])},
        note="x: numbers with '%', which is taken off",
    ),
    Fault(
        "shares among percent signs",
        XY + "5%,a\n" * 30 + "0.1,b\n",
        reads={"x": ("text", ["5%", "0.1"])},
        note="x: kept as text: 1 of 31 values are not numbers (row 31: '0.1')",
    ),
    Fault(
        "currency",
        XY + '"$1,234.50",a\n-$7,b\n',
        reads={"x": ("number", ["1234.5", "-7"])},
        note="x: numbers with '$', which is taken off",
    ),
    Fault(
        "two currencies",
        XY + "$5,a\n" * 30 + "€5,b\n",
        reads={"x": ("text", ["$5", "€5"])},
        note="(row 31: '€5')",
    ),
    Fault(
        "truth values in several spellings",
        XY + "true,a\nFALSE,b\nTrue,a\n",
        reads={"x": ("boolean", ["true", "false", "true"])},
    ),
    Fault("yes, no and true", XY + "yes,a\nno,b\ntrue,a\n", reads={"x": ("text", ["yes", "no", "true"])}),
    Fault(
        "hexadecimal numbers",
        XY + GOOD + "0x1F,a\n",
        reads={"x": ("text", ["30", "0x1F"])},
        note="(row 31: '0x1F')",
    ),
    Fault(
        "blanks around names and values",
        " x ,\ty\n 1 , a\n2,a \n",
        reads={"x": ("integer", ["1", "2"]), "y": ("text", [" a", "a "])},
    ),
    Fault("an empty file", "", refused="is empty"),
    Fault("a header and no rows", XY, refused="has a header but no rows"),
    Fault("the header once more, in row 31", XY + GOOD + XY + GOOD, refused="row 31 is the header once more"),
    Fault(
        "compressed files joined, each with its header",
        lambda: PACKED + PACKED,
        file="data.csv.gz",
        refused="row 1,501 is the header once more",
    ),
    Fault(
        "names of columns that are equal after trimming",
        "x, x\n1,2\n",
        refused="the header names 'x' more than once",
    ),
    Fault("a column without a name", ",x\n0,1\n", refused="the header gives no name to column 1 of 2"),
    Fault(
        "trailing commas in rows", XY + "1,a,\n", refused="the header has 2 columns, but row 1 has 3 ('1,a,')"
    ),
    Fault("trailing commas everywhere", "x,y,\n1,a,\n", refused="the header gives no name to column 3 of 3"),
    Fault(
        "a row that is too short, the last one",
        XY + GOOD + "31",
        refused="the header has 2 columns, but row 31 has 1 ('31')",
    ),
    Fault(
        "rows that are too long and too short",
        XY + GOOD + "1,a,b\n1\n",
        refused="the header has 2 columns, but row 31 has 3 ('1,a,b'); row 32 has 1 ('1')",
    ),
    Fault("blank lines between rows", XY + "1,a\n\n\n2,b\n", reads={"x": ("integer", ["1", "2"])}),
    Fault("a byte order mark", "\ufeff" + XY + GOOD, reads={"x": ("integer", ["29", "30"])}),
    Fault(
        "three kinds of line ends",
        "x,y\r\n1,a\r\n2,b\n3,c\r4,d\n",
        reads={"x": ("integer", ["1", "2", "3", "4"]), "y": ("text", ["a", "b", "c", "d"])},
    ),
    Fault(
        "line ends inside quotation marks",
        'x,y\n1,"a\nb"\n2,c\n',
        reads={"x": ("integer", ["1", "2"]), "y": ("text", ["a\nb", "c"])},
    ),
    Fault(
        "quotation marks inside a cell",
        XY + '1,5" disk\n2,"5"" disk"\n',
        reads={"y": ("text", ['5" disk', '5" disk'])},
    ),
    Fault(
        "a quotation mark that is never closed",
        XY + GOOD + '31,"a\n' + GOOD,
        refused="a quotation mark is opened in line 32 and never closed; the cell begins with 'a\\n1,b",
    ),
    Fault(
        "a quotation mark that a later one closes",
        XY + '1,"a\n2,b\n3,"c"\n',
        refused='line 4 has text behind a closing quotation mark: \'x,y\\n1,"a\\n2,b\\n3,"c"\\n\' '
        "(the cell was opened in line 2: 'a\\n2,b\\n3,\"c\"\\n')",
    ),
    Fault(
        "quotation marks escaped by a backslash",
        XY + '1,"a \\"b\\" c"\n',
        refused="line 2 has text behind a closing quotation mark",
    ),
    Fault(
        "NUL bytes", lambda: (XY + GOOD * 200 + "1,a\0b\n").encode(), refused="line 6,002 holds a NUL byte"
    ),
    Fault(
        "NUL in JSON",
        '{"x": 1, "y": "a"}\n{"y": "a\\u0000b"}\n',
        file="data.jsonl",
        refused="line 2: 'y' holds a NUL: 'a\\x00b'",
    ),
    Fault(
        "UTF-16",
        lambda: (XY + GOOD).encode("utf-16"),
        refused="is not delimited text: it holds NUL bytes in line 1",
    ),
    Fault(
        "UTF-16, and the spec says so",
        lambda: (XY + "1,é\n").encode("utf-16"),
        options={"encoding": "utf-16"},
        reads={"x": ("integer", ["1"]), "y": ("text", ["é"])},
    ),
    Fault(
        "another encoding in row 20,001",
        lambda: (XY + "1,a\n" * 20_000).encode() + "2,café\n".encode("latin-1"),
        refused="is not utf-8: line 20002 holds b'2,caf\\xe9\\n'",
    ),
    Fault(
        "half a character in JSON",
        '{"x": 1, "y": "a"}\n{"y": "\\ud83d"}\n',
        file="data.jsonl",
        refused="line 2: 'y' holds half a surrogate pair: '\\ud83d'",
    ),
    Fault(
        "a very long cell",
        lambda: f"{XY}1,{'z' * 300_000}\n2,b\n".encode(),
        reads={"y": ("text", ["z" * 300_000, "b"])},
    ),
    Fault(
        "a compressed file that is cut", PACKED[:-30], file="data.csv.gz", refused="is damaged or cut short"
    ),
    Fault(
        "a compressed file with a wrong checksum",
        PACKED[:-8] + bytes(4) + PACKED[-4:],
        file="data.csv.gz",
        refused="is damaged or cut short",
    ),
    Fault(
        "a compressed file without its ending", PACKED, refused="is not delimited text but gzip-compressed"
    ),
    Fault(
        "Parquet that is cut",
        lambda: _parquet()[:-10],
        file="data.parquet",
        refused="is not a readable Parquet file",
    ),
    Fault(
        "Parquet with a wrong footer",
        lambda: _parquet()[:-8] + b"\xff\xff\0\0PAR1",
        file="data.parquet",
        refused="is not a readable Parquet file",
    ),
    Fault(
        "CSV that is called Parquet", XY + GOOD, file="data.parquet", refused="is not a readable Parquet file"
    ),
    Fault(
        "lists in Parquet",
        _native("nested", [[1], [2]]),
        file="data.parquet",
        refused="column 'x': values of the Arrow type list<element: int64> cannot be a column",
    ),
    Fault(
        "JSON with a broken line",
        '{"x": 1}\n{"x":\n{"x": 3}\n',
        file="data.jsonl",
        refused="line 2 is not JSON: b'{\"x\":\\n'",
    ),
    Fault(
        "JSON that ends inside a line",
        '{"x": 1}\n{"x": 2',
        file="data.jsonl",
        refused="line 2 is not JSON: b'{\"x\": 2'",
    ),
    Fault(
        "a key twice in one JSON object",
        '{"x": 1}\n{"x": 1, "x": 2}\n',
        file="data.jsonl",
        refused="line 2 gives 'x' more than one value",
    ),
    Fault(
        "a key that some JSON objects lack",
        '{"x": 1, "y": "a"}\n{"y": "b"}\n',
        file="data.jsonl",
        reads={"x": ("integer", ["1", None])},
    ),
    Fault(
        "nested JSON",
        '{"x": 1, "y": "a"}\n{"x": {"z": 1}}\n',
        file="data.jsonl",
        refused="line 2: 'x' holds a nested object",
    ),
)


def table() -> str:
    """The table of the page."""
    lines = ["| planted | what happens |", "|---|---|"]
    lines += [f"| {fault.name} | {_outcome(fault)} |" for fault in FAULTS]
    return "\n".join(lines) + "\n"


def _outcome(fault: Fault) -> str:
    if fault.refused:
        return f"refused: {_code(fault.refused)}"
    columns = "; ".join(
        f"`{name}` is {kind}: {', '.join('missing' if value is None else _code(value) for value in values)}"
        for name, (kind, values) in fault.reads.items()
    )
    return columns + (f". Noted: {_code(fault.note)}" if fault.note else "")


def _code(text: str) -> str:
    shown = text if len(text) <= 200 else f"{text[:20]}… ({len(text):,} characters)"
    shown = shown.replace("\n", "\\n").replace("|", "\\|")
    return f"`` {shown} ``" if "`" in shown or shown != shown.strip() else f"`{shown}`"


def page() -> str:
    """The page with the table as it has to be."""
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.index(BEGIN) + len(BEGIN), text.index(END)
    return text[:before] + table() + text[after:]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
