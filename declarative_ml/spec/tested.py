"""What `tests` means: the columns and files that it names, and tests that do not fit the rest of a spec."""

from __future__ import annotations

from collections.abc import Iterator

from declarative_ml.behaviour.direction import Direction
from declarative_ml.behaviour.expectation import Expectation
from declarative_ml.behaviour.robustness import Robustness
from declarative_ml.sources.base import Source
from declarative_ml.sources.file import FileSource
from declarative_ml.spec.document import Spec
from declarative_ml.spec.positions import Path
from declarative_ml.spec.tuned import Fault

_CLASSES = frozenset({"binary", "multiclass"})
_NUMBER = frozenset({"number"})
_NO_NUMBERS = ("category", "text", "binary")
_TEXTS = ("category", "text")


def columns_of_tests(spec: Spec) -> Iterator[tuple[Path, str]]:
    """Every column that a test names, with the place where it does."""
    for name, test in spec.tests.items():
        yield from ((("tests", name, *path), column) for path, column in test.columns_named())


def answer_files(spec: Spec) -> dict[Path, Source]:
    """The files of expected answers, by the places that name them."""
    return {
        ("tests", name, "file"): FileSource(type="file", path=test.file)
        for name, test in spec.tests.items()
        if isinstance(test, Expectation) and test.file is not None
    }


def demands_of_tests(spec: Spec) -> Iterator[tuple[Path, str, frozenset[str]]]:
    """Path, words, and the types of target that it is for."""
    for name, test in spec.tests.items():
        path: Path = ("tests", name)
        if isinstance(test, Direction) and test.of_class is not None:
            yield (*path, "of_class"), "of_class", _CLASSES
        for number, row in enumerate(test.rows if isinstance(test, Expectation) else ()):
            if row.probability is not None:
                yield (*path, "rows", number, "probability"), "probability", _CLASSES
            if row.number is not None:
                yield (*path, "rows", number, "number"), "number", _NUMBER


def faults_of_tests(spec: Spec) -> Iterator[Fault]:
    """Tests that could not be made, whatever the data."""
    for name, test in spec.tests.items():
        path: Path = ("tests", name)
        for place, column in test.columns_named():
            if column == spec.target.column:
                message = f"'{column}' is the target: a test changes what the model is given"
                yield Fault((*path, *place), message, "name a feature", at_key=place[-1] == column)
            elif isinstance(test, Direction | Robustness) and (why := _unseen(spec, column)):
                message = f"the model does not take '{column}': {why}"
                yield Fault((*path, *place), message, "name a feature", at_key=False)
        if isinstance(test, Direction):
            yield from _direction(spec, path, test)
        if isinstance(test, Robustness):
            yield from _robustness(spec, path, test)


def _unseen(spec: Spec, column: str) -> str | None:
    if column in spec.exclude:
        return "it is listed under exclude"
    if spec.features != "auto" and spec.others == "drop" and column not in spec.features:
        return "it is not among the features"
    return None


def _feature(spec: Spec, column: str) -> str | None:
    """The type of the feature; None where only the data tells."""
    feature = None if spec.features == "auto" else spec.features.get(column)
    return None if feature is None else feature.type


def _direction(spec: Spec, path: Path, test: Direction) -> Iterator[Fault]:
    kind = _feature(spec, test.column)
    if test.by is not None and kind in _NO_NUMBERS:
        message = f"'{test.column}' is {kind}: it does not move by a number"
        yield Fault((*path, "by"), message, "write to: VALUE in place of 'by'", at_key=False)
    if spec.target.type == "multiclass" and test.of_class is None:
        message = "with several classes a direction says whose probability is meant"
        yield Fault(path, message, "add of_class: CLASS")


def _robustness(spec: Spec, path: Path, test: Robustness) -> Iterator[Fault]:
    if test.columns == "all" or test.noise == "missing":
        return
    fitting = ("number",) if test.noise == "jitter" else _TEXTS
    for number, column in enumerate(test.columns):
        kind = _feature(spec, column)
        if kind is not None and kind not in fitting:
            message = f"{test.noise} does not happen to '{column}', which is {kind}"
            hint = f"it happens to features of type {' and '.join(fitting)}"
            yield Fault((*path, "columns", number), message, hint, at_key=False)
