"""The folder of results as one page of Markdown."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from benchmarks.automl.calibration import debiased_ece, paired_ece_difference
from benchmarks.automl.entries import Entry, matched
from benchmarks.automl.ranking import Contest, complete, contests, entries_in, mean_ranks
from benchmarks.automl.results import Cell, read_stored, read_truth
from benchmarks.automl.scores import primary
from benchmarks.automl.tables import TABLES
from declarative_ml.learning.intervals import paired_difference
from declarative_ml.learning.metrics import METRICS

HEAD = """\
# Quality beside AutoML tools

`dml` with `model: auto` beside AutoGluon, H2O AutoML, FLAML, and LightGBM and CatBoost with their defaults:
the same rows, the same columns, the same spellings of a missing cell, the same metric to optimise, {threads}
threads each, no network while fitting. Columns that give the target away are taken out for all. `@60` is the
seconds that a contender was given. Division 0 of a table is its own train.csv and test.csv; the others are
drawn from the rows of both, seeded, classes in proportion. A contender that fails, or takes a quarter more
than its seconds and 15 s to start, is ranked last and said to be so. `dml-capped` has a line more in its
spec, `max_latency`: 100 us for a row of up to 20 columns, and 2 us for each further one.

Written by `make bench-quality TABLES=FOLDER PAGE=FILE`; ENTRIES and SPLITS choose contenders and divisions.
"""

COSTS = """\
Medians over all divisions. Seconds run from the start of the process to the saved model; for `dml` they hold
`dml init` too, and the evaluation and the report of `dml run`. Size is what the tool saves to predict with.
Latency is the median of a second of single rows after a second that does not count, by the tool's own
predict call on a pandas row with the model in memory, and for `dml` in a bare onnxruntime session on
`model.onnx`.
"""

CALIBRATION = """\
Calibration error (ECE, 15 bins) of the test rows, debiased: what the noise of few rows adds to a bin is taken
off (Kumar, Liang & Ma, NeurIPS 2019). The plain error of a calibrated model lies above 0; this one lies near
0, at times below. Two classes: of the probability of the positive one; more: of the predicted one. Mean over
the divisions.
"""

_RESAMPLES = 400
_BUSY = 1.25


def page(results: Path, cells: Sequence[Cell]) -> str:
    """The whole page. A contender that is absent or did not finish is named with the reason."""
    cells = sorted(cells, key=_table_place)
    if not cells:
        return f"{_head(cells)}\nThere are no results yet.\n"
    found = contests(cells)
    shown = [entry for entry in entries_in(cells) if any(entry.label in one.cells for one in found)]
    sections = [
        _head(cells),
        _ranks(found, shown),
        _scores(found, shown),
        _duels(results, found, shown),
        _calibration(results, found, shown),
        _costs(found, shown),
        _troubles(cells),
        _machine(cells),
    ]
    return "\n".join(section for section in sections if section)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def number(value: float) -> str:
    """Four significant digits, whole thousands in full; a dash where there is none."""
    if not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def size(count: float) -> str:
    """Bytes in kB, MB or GB."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"


def _head(cells: Sequence[Cell]) -> str:
    threads = {str(cell.key["threads"]) for cell in cells}
    return HEAD.format(threads=" or ".join(sorted(threads)) or "2")


def _table_place(cell: Cell) -> tuple[int, str, int]:
    names = [one.name for one in TABLES]
    place = names.index(cell.table) if cell.table in names else len(names)
    return place, cell.table, cell.split


def _ranks(found: Sequence[Contest], shown: Sequence[Entry]) -> str:
    labels = [entry.label for entry in shown]
    whole = complete(found, labels)
    kinds = {
        "all": whole,
        "two classes": [one for one in whole if _kind(one) == "binary"],
        "classes": [one for one in whole if _kind(one) == "multiclass"],
        "numbers": [one for one in whole if _kind(one) == "number"],
    }
    means = {kind: mean_ranks(members, labels) for kind, members in kinds.items()}
    ordered = sorted(labels, key=lambda label: (math.isnan(means["all"][label]), means["all"][label]))
    rows = [[f"`{label}`", *(_rank(means[kind][label]) for kind in kinds)] for label in ordered]
    tables = len({one.table for one in whole})
    left = len(found) - len(whole)
    note = f"Over {len(whole)} divisions of {tables} tables"
    note += f"; {left} more are not complete yet." if left else "."
    return f"## Mean ranks\n\n{note} 1 is best.\n\n" + table(["contender", *kinds], rows)


def _rank(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def _kind(contest: Contest) -> str:
    return next(iter(contest.cells.values())).task.type


def _scores(found: Sequence[Contest], shown: Sequence[Entry]) -> str:
    rows = []
    for name, several in _by_table(found).items():
        metric = primary(next(iter(several[0].cells.values())).task)
        cells = {entry.label: [one.cells.get(entry.label) for one in several] for entry in shown}
        means = {label: _mean_score(members, metric) for label, members in cells.items()}
        known = [value for value in means.values() if math.isfinite(value)]
        pick: Callable[[list[float]], float] = max if METRICS[metric].greater_is_better else min
        best = pick(known) if known else math.nan
        line = [f"{name}", f"{metric}, {len(several)}"]
        for label, members in cells.items():
            line.append(_score_text(members, means[label], best))
        rows.append(line)
    header = ["table", "metric, divisions", *(f"`{entry.label}`" for entry in shown)]
    told = (
        "Mean over the divisions that ended in time; the best is bold. In brackets: accuracy, "
        "where log loss ranks; how many divisions failed or were late."
    )
    return f"## Scores\n\n{told}\n\n" + table(header, rows)


def _by_table(found: Sequence[Contest]) -> dict[str, list[Contest]]:
    tables: dict[str, list[Contest]] = defaultdict(list)
    for contest in found:
        tables[contest.table].append(contest)
    return tables


def _mean_score(members: Sequence[Cell | None], metric: str) -> float:
    values = [cell.scores[metric] for cell in members if cell is not None and cell.counts]
    return statistics.fmean(values) if values else math.nan


def _score_text(members: Sequence[Cell | None], mean: float, best: float) -> str:
    done = [cell for cell in members if cell is not None]
    if not done:
        return "–"
    text = f"**{number(mean)}**" if mean == best else number(mean)
    brackets = []
    if done[0].task.type == "multiclass" and math.isfinite(mean):
        brackets.append(f"{_mean_score(done, 'accuracy'):.3f}")
    troubles = Counter(cell.status for cell in done if not cell.counts)
    brackets += [f"{count} {status}" for status, count in sorted(troubles.items())]
    return f"{text} ({', '.join(brackets)})" if brackets else text


def _duels(results: Path, found: Sequence[Contest], shown: Sequence[Entry]) -> str:
    """Ours against each peer: how often the paired interval leaves no doubt."""
    rows = []
    for peer in shown:
        ours = matched(peer, shown)
        if peer.ours or ours is None:
            continue
        verdicts = Counter(
            verdict
            for one in found
            if (verdict := _verdict(results, one.cells.get(ours.label), one.cells.get(peer.label)))
        )
        if verdicts:
            counts = [str(verdicts[name]) for name in ("better", "even", "worse")]
            rows.append([f"`{ours.label}`", f"`{peer.label}`", *counts])
    if not rows:
        return ""
    told = (
        "On how many divisions the difference of the ranking metric lies beyond its paired 95 % bootstrap "
        "interval on the test rows. Failed or late counts as worse."
    )
    return f"## Against each peer\n\n{told}\n\n" + table(
        ["ours", "peer", "better", "no difference", "worse"], rows
    )


def _verdict(results: Path, ours: Cell | None, theirs: Cell | None) -> str:
    """better, even or worse: ours; empty when one has not run."""
    if ours is None or theirs is None:
        return ""
    if not (ours.counts and theirs.counts):
        return {(True, False): "better", (False, True): "worse"}.get((ours.counts, theirs.counts), "even")
    metric = METRICS[primary(ours.task)]
    _, low, high = paired_difference(
        metric.name,
        ours.task,
        read_truth(results, ours),
        read_stored(results, ours),
        read_stored(results, theirs),
        resamples=_RESAMPLES,
    )
    if low <= 0.0 <= high:
        return "even"
    return "better" if (low > 0.0) == metric.greater_is_better else "worse"


def _calibration(results: Path, found: Sequence[Contest], shown: Sequence[Entry]) -> str:
    classes = [one for one in found if _kind(one) != "number"]
    if not classes:
        return ""
    errors: dict[tuple[str, str], list[float]] = defaultdict(list)
    for one in classes:
        for label, cell in one.cells.items():
            if cell.counts:
                error = debiased_ece(read_truth(results, cell), read_stored(results, cell))
                errors[one.table, label].append(error)
    names = list(_by_table(classes))
    means = {place: statistics.fmean(values) for place, values in errors.items()}
    rows = [[name, *(f"{means.get((name, entry.label), math.nan):.4f}" for entry in shown)] for name in names]
    rows.append(["**mean**", *(_mean_error(means, names, entry.label) for entry in shown)])
    rows = [["–" if cell == "nan" else cell for cell in row] for row in rows]
    text = f"## Calibration\n\n{CALIBRATION}\n" + table(
        ["table", *(f"`{entry.label}`" for entry in shown)], rows
    )
    return text + _calibration_duels(results, classes, shown)


def _mean_error(means: dict[tuple[str, str], float], names: Sequence[str], label: str) -> str:
    """Of all tables, each once; a dash when some are not there: other tables would be another mean."""
    values = [means[name, label] for name in names if (name, label) in means]
    return f"**{statistics.fmean(values):.4f}**" if len(values) == len(names) else "–"


def _calibration_duels(results: Path, classes: Sequence[Contest], shown: Sequence[Entry]) -> str:
    """Ours minus AutoGluon's, by table and division, with the interval."""
    pairs = [
        (ours, peer)
        for peer in shown
        if peer.contender == "autogluon" and (ours := matched(peer, shown)) is not None
    ]
    if not pairs:
        return ""
    rows = []
    for one in classes:
        cells = [(one.cells.get(ours.label), one.cells.get(peer.label)) for ours, peer in pairs]
        rows.append(
            [f"{one.table} {one.split}", *(_calibration_difference(results, *pair) for pair in cells)]
        )
    header = ["table, division", *(f"`{ours.label}` − `{peer.label}`" for ours, peer in pairs)]
    told = (
        "The difference to AutoGluon with its paired 95 % bootstrap interval (1,000 resamples); below 0 "
        "ours is the better calibrated. **worse** and **better** mark intervals without 0."
    )
    return f"\n{told}\n\n" + table(header, rows)


def _calibration_difference(results: Path, ours: Cell | None, theirs: Cell | None) -> str:
    if ours is None or theirs is None or not (ours.counts and theirs.counts):
        return "–"
    truth = read_truth(results, ours)
    difference, low, high = paired_ece_difference(
        truth, read_stored(results, ours), read_stored(results, theirs)
    )
    verdict = " **worse**" if low > 0 else " **better**" if high < 0 else ""
    return f"{difference:+.4f} [{low:+.4f}, {high:+.4f}]{verdict}"


def _costs(found: Sequence[Contest], shown: Sequence[Entry]) -> str:
    def spread(entry: Entry, fact: str) -> list[float]:
        cells = (one.cells.get(entry.label) for one in found)
        return [cell.facts[fact] for cell in cells if cell is not None and fact in cell.facts]

    rows = []
    for entry in shown:
        seconds, sizes, latencies = (spread(entry, fact) for fact in ("seconds", "bytes", "latency_ms"))
        if not seconds:
            rows.append([f"`{entry.label}`", *["–"] * 6])
            continue
        rows.append(
            [
                f"`{entry.label}`",
                f"{statistics.median(seconds):.1f}",
                f"{max(seconds):.1f}",
                size(statistics.median(sizes)),
                size(max(sizes)),
                number(statistics.median(latencies)),
                number(max(latencies)),
            ]
        )
    header = ["contender", "seconds", "most", "size", "largest", "one row, ms", "slowest"]
    return f"## Cost\n\n{COSTS}\n" + table(header, rows)


def _troubles(cells: Sequence[Cell]) -> str:
    """Every cell that is not ok, with its reason; one line for a peer that is absent."""
    absent = {cell.entry.contender: cell.reason for cell in cells if cell.status == "absent"}
    rows = [[f"`{name}`", "all", "absent", _plain(reason)] for name, reason in sorted(absent.items())]
    rows += [
        [f"`{cell.entry.label}`", f"{cell.table} {cell.split}", cell.status, _plain(cell.reason)]
        for cell in cells
        if cell.status in ("failed", "late")
    ]
    if not rows:
        return ""
    return "## What did not work\n\n" + table(["contender", "table, division", "status", "reason"], rows)


def _plain(text: str) -> str:
    """Text of someone else's as one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;") or "no reason given"


def _machine(cells: Sequence[Cell]) -> str:
    """What the numbers were measured on, and a warning where it was not quiet or not one machine."""
    kinds = Counter((one.machine["cpu"], one.machine["cores"], one.machine["memory_gib"]) for one in cells)
    text = "## Measured on\n\n" + "".join(
        f"- {cpu}, {cores} cores, {memory} GiB: {count} results\n"
        for (cpu, cores, memory), count in kinds.items()
    )
    speeds = sorted(one.machine["yardstick_cpu_s"] for one in cells)
    text += (
        f"- Yardstick (a fixed loop, before each result): {speeds[0]:.2f} to {speeds[-1]:.2f} CPU s, "
        f"median {statistics.median(speeds):.2f}\n"
    )
    busy = sum(one.machine["yardstick_wall_s"] > _BUSY * one.machine["yardstick_cpu_s"] for one in cells)
    if busy:
        text += f"- **{busy} of {len(cells)} results began while others used the processor**: "
        text += "their times are too long\n"
    versions: dict[str, set[str]] = defaultdict(set)
    for cell in cells:
        for name, version in cell.facts.get("versions", {}).items():
            versions[name].add(version)
    return (
        text
        + "- "
        + ", ".join(f"{name} {' and '.join(sorted(found))}" for name, found in sorted(versions.items()))
        + "\n"
    )
