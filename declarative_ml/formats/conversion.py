"""Convert a model to one format, in a process of its own.

Converters are large: they print, keep memory, set global options, and some crash. The child writes the
files and `conversion.json`; what it prints goes to a log, of which the last words are told when it dies.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from declarative_ml.core.atomic import publish_folder, read_json, write_json
from declarative_ml.core.child import child, wait_for
from declarative_ml.core.component import Section
from declarative_ml.core.errors import MissingDependency, StepFailed, UsageError
from declarative_ml.core.optional import installed
from declarative_ml.core.task import Task
from declarative_ml.formats import FORMATS
from declarative_ml.formats.base import Format, Original, Rows
from declarative_ml.formats.leaving_out import Cost, Labelled, LeftOut, cost_of, lighter
from declarative_ml.formats.parity import Parity, measure
from declarative_ml.store.bundle import Input

if TYPE_CHECKING:
    import pyarrow as pa

FILES = "files"
RESULT = "conversion.json"
_JOB, _MODEL, _ROWS, _LOG = "job.json", "model.onnx", "rows.arrow", "log.txt"
_LAST_WORDS = 300

Status = Literal["ok", "unproven", "refused", "differs", "failed"]


class Conversion(Section):
    """How one conversion ended."""

    format: str
    name: str
    """The folder under formats/."""
    status: Status
    """ok: written, run, within tolerance. unproven: written, cannot run on this machine. refused: this model
    cannot become it. differs: its answers differ by more than is allowed. failed: the converter did."""
    reason: str = ""
    left_out: tuple[LeftOut, ...] = ()
    """Members of an ensemble that are not in it; the parity is to the model without them."""
    cost: Cost | None = None
    """What that does to the metric, where labelled rows were at hand."""
    parity: Parity | None = None
    bytes: int = 0
    facts: dict[str, Any] = Field(default_factory=dict)

    @property
    def ships(self) -> bool:
        """Whether there are files that may be used."""
        return self.status in ("ok", "unproven")


@dataclass(frozen=True)
class Job:
    """What the child is to do; lies in a folder."""

    folder: Path

    @classmethod
    def write(cls, folder: Path, original: Original, wanted: Format) -> Job:
        """Lay everything that the child needs into `folder`."""
        import pyarrow as pa

        (folder / _MODEL).write_bytes(original.content)
        table = _table(original.rows)
        with pa.OSFile(str(folder / _ROWS), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        about = {
            "format": wanted.options(),
            "name": original.name,
            "task": original.task.model_dump(mode="json"),
            "inputs": [column.model_dump(mode="json") for column in original.inputs],
            "threshold": original.threshold,
            "missing": list(original.missing),
        }
        write_json(folder / _JOB, about)
        return cls(folder)

    def read(self) -> tuple[Original, Format]:
        """What `write` laid there."""
        about = read_json(self.folder / _JOB)
        original = Original(
            content=(self.folder / _MODEL).read_bytes(),
            name=about["name"],
            task=Task.model_validate(about["task"]),
            inputs=tuple(Input.model_validate(column) for column in about["inputs"]),
            threshold=about["threshold"],
            rows=_rows(self.folder / _ROWS),
            missing=tuple(about["missing"]),
        )
        return original, FORMATS.parse(about["format"])


def require_format(wanted: Format) -> None:
    """Raise MissingDependency when what the conversion needs is not installed."""
    for module in wanted.modules:
        if not installed(module):
            raise MissingDependency(module, wanted.extra or "all")


def convert(
    original: Original,
    wanted: Format,
    target: Path,
    *,
    threads: int = 1,
    tick: Callable[[], None] = lambda: None,
    labelled: Labelled | None = None,
) -> Conversion:
    """Convert into the folder `target`, which appears whole, and only where the conversion may be used.

    `tick` is called twice a second; what it raises ends the conversion. By `labelled` it is told what
    members that are left out cost. Raises MissingDependency without the format's libraries, UsageError where
    `target` is there already, and StepFailed for a converter that was killed: that says nothing of the model.
    """
    require_format(wanted)
    # The child works in a folder of its own, where a relative path would lead elsewhere.
    target = target.absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        place = Path(scratch)
        Job.write(place, original, wanted)
        code = _run_child(place, threads, tick)
        if (place / RESULT).exists():
            found = Conversion.model_validate(read_json(place / RESULT))
        elif code < 0:
            raise StepFailed(
                f"{wanted.name}: the converter was ended by signal {-code}",
                hint="if memory ran out, close other programs; the same command tries again",
            )
        else:
            reason = f"the converter ended with status {code}: {_last_words(place / _LOG)}"
            found = Conversion(format=wanted.format, name=wanted.name, status="failed", reason=reason)
        if found.ships:
            if target.exists():
                raise UsageError(f"{target} exists already", hint="name another folder")
            publish_folder(place / FILES, target)
        return _with_cost(found, original, labelled)


def _with_cost(found: Conversion, original: Original, labelled: Labelled | None) -> Conversion:
    """The same, its reason telling what was left out and what that costs."""
    if not (found.ships and found.left_out):
        return found
    cost = None
    if labelled is not None and len(labelled.truth):
        cost = cost_of(original, [member.name for member in found.left_out], labelled)
    out = ", ".join(f"{member.name} (weight {member.weight:.2f})" for member in found.left_out)
    told = f"without {out}: {cost or 'no labelled rows tell what that costs'}"
    reason = f"{told}; {found.reason}" if found.reason else told
    return found.model_copy(update={"cost": cost, "reason": reason})


def work(folder: Path) -> None:
    """What the child does."""
    job = Job(folder)
    original, wanted = job.read()
    write_json(folder / RESULT, _attempt(original, wanted, folder / FILES).model_dump(mode="json"))


def _attempt(original: Original, wanted: Format, files: Path) -> Conversion:
    about: dict[str, Any] = {"format": wanted.format, "name": wanted.name}
    if (reason := wanted.refuse(original)) is not None:
        less = lighter(original, wanted)
        if less is None:
            return Conversion(**about, status="refused", reason=reason)
        original, about["left_out"] = less
        if not wanted.leave_out:
            names = ", ".join(member.name for member in about.pop("left_out"))
            reason += f"; `leave_out: true` converts without {names}"
            return Conversion(**about, status="refused", reason=reason)
    files.mkdir()
    wanted.write(original, files)
    about["bytes"] = sum(path.stat().st_size for path in files.rglob("*") if path.is_file())
    about["facts"] = wanted.facts(files)
    run = wanted.open(original, files)
    if run is None:
        return Conversion(
            **about, status="unproven", reason="not executed: its runtime is not on this machine"
        )
    parity = measure(original, run, wanted.tolerance or wanted.precision)
    about["parity"] = parity
    if parity.holds:
        return Conversion(**about, status="ok")
    reason = (
        f"its answers differ from model.onnx by up to {parity.max_difference:.2g} ({parity.worst}), allowed "
        f"{parity.tolerance:.2g}; more than that in {parity.beyond:,} of {parity.rows:,} rows; "
        f"{wanted.remedy(original)}"
    )
    return Conversion(**about, status="differs", reason=reason)


def _run_child(folder: Path, threads: int, tick: Callable[[], None]) -> int:
    """The exit status of the child."""
    with (
        (folder / _LOG).open("wb") as log,
        child(
            "declarative_ml.formats.worker", str(folder), folder=folder, log=log, threads=threads
        ) as process,
    ):
        return wait_for(process, tick)


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:_LAST_WORDS] if lines else "no word"


def _table(rows: Rows) -> pa.Table:
    import pyarrow as pa

    kinds = {name: pa.float32() if values.dtype.kind == "f" else pa.string() for name, values in rows.items()}
    return pa.table({name: pa.array(rows[name][:, 0], type=kind) for name, kind in kinds.items()})


def _rows(path: Path) -> Rows:
    import pyarrow as pa

    with pa.memory_map(str(path)) as source:
        table = pa.ipc.open_file(source).read_all()
    return {name: table[name].to_numpy().reshape(-1, 1) for name in table.column_names}
