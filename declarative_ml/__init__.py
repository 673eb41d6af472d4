"""declarative-ml: one YAML file in; a tested, explained, portable model out.

    import declarative_ml as dml

    spec = dml.load("spec.yaml")
    run = dml.run(spec)
    answers = run.bundle.predict(table)

The names below are loaded when they are first used: importing this package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "Bundle",
    "Comparison",
    "DataError",
    "Difference",
    "DmlError",
    "Drawing",
    "Evaluation",
    "Explanation",
    "GateFailed",
    "Leaderboard",
    "MissingDependency",
    "Plan",
    "Problem",
    "Problems",
    "Rows",
    "Run",
    "Runs",
    "Spec",
    "SpecError",
    "StepFailed",
    "UsageError",
    "__version__",
    "annotate",
    "card",
    "check",
    "compare",
    "convert",
    "deploy",
    "diff",
    "doctor",
    "evaluate",
    "explain",
    "export_notebook",
    "find_run",
    "gc",
    "init",
    "list_formats",
    "list_models",
    "load",
    "migrate",
    "monitor",
    "open",
    "package",
    "plan",
    "predict",
    "promote",
    "reproduce",
    "rollback",
    "run",
    "runs",
    "schema",
    "serve",
    "templates",
    "test",
    "validate",
    "why",
]

if TYPE_CHECKING:
    from declarative_ml.api.session import (
        Bundle,
        Comparison,
        DataError,
        Difference,
        DmlError,
        Drawing,
        Evaluation,
        Explanation,
        GateFailed,
        Leaderboard,
        MissingDependency,
        Plan,
        Problem,
        Problems,
        Rows,
        Run,
        Runs,
        Spec,
        SpecError,
        StepFailed,
        UsageError,
        annotate,
        card,
        check,
        compare,
        convert,
        deploy,
        diff,
        doctor,
        evaluate,
        explain,
        export_notebook,
        find_run,
        gc,
        init,
        list_formats,
        list_models,
        load,
        migrate,
        monitor,
        open,
        package,
        plan,
        predict,
        promote,
        reproduce,
        rollback,
        run,
        runs,
        schema,
        serve,
        templates,
        test,
        validate,
        why,
    )
else:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module 'declarative_ml' has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module("declarative_ml.api.session"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
