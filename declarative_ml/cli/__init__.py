"""`dml`: argv in, text and exit code out. Each verb is one file that parses, calls the api, and prints."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import warnings
from functools import partial
from gc import freeze, set_threshold
from importlib import import_module
from keyword import iskeyword
from typing import Any, NoReturn

import click

from declarative_ml.core.disk import FULL_HINT, is_full
from declarative_ml.core.errors import DmlError, DmlWarning, SpecError, StepFailed, UsageError

STARTED = time.monotonic()
"""When the command began."""

VERBS = {
    "init": "Write a spec for a data file that runs as it is",
    "import": "Write a spec from a config of Ludwig or igel, with a report",
    "validate": "Report every problem of specs at once",
    "plan": "Show the execution graph: what is cached, what will run, and why",
    "run": "Run a spec: data in; model, bundle and report out",
    "check": "Hold data against the contract of a spec",
    "explain": "Explain the plan in words and the model by SHAP values",
    "predict": "Score a file of rows",
    "annotate": "Rows without a label out to Label Studio, with the model's answers",
    "evaluate": "Measure a model on labelled rows",
    "serve": "Serve a model over HTTP",
    "monitor": "Live drift and quality of a model from its prediction log",
    "deploy": "Render, apply and watch a spec's service and training: Kubernetes and others",
    "test": "Put a spec's behavioural tests to its trained model",
    "convert": "Convert a trained model to one more format",
    "package": "Write the build contexts of two images: one serves, one trains",
    "formats": "List the formats, and what is installed for them",
    "models": "List the models of the registry: versions, aliases, scores, gates",
    "promote": "Make a registered version the champion",
    "rollback": "Make the champion before this one the champion again",
    "report": "Open or print the path of a run's report",
    "card": "The model card: what a model is for, how good it is, and where it ends",
    "runs": "List the runs of this workspace",
    "compare": "Compare two runs: metrics, options, columns",
    "reproduce": "Make a run again from its lock, and compare every byte",
    "why": "Why would a step run, or not",
    "ui": "Open MLflow on this workspace",
    "diff": "What differs between two specs, and which steps would run again",
    "template": "List, show, use and lock templates",
    "export": "Write a notebook about a spec, a run or a bundle",
    "migrate": "Bring specs to the current version of the format",
    "schema": "Print the JSON Schema of a spec, a plan or a bundle",
    "step": "Run one step of a plan file (what a pod does)",
    "gc": "Delete what no recent run needs from the store",
    "doctor": "What works on this machine",
}


def module_of(verb: str) -> str:
    """The module of a verb: its name, with an underscore behind a word that Python keeps for itself."""
    return f"{verb}_" if iskeyword(verb) else verb


class _Verbs(click.Group):
    """Loads a verb's module only when that verb is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = import_module(f"declarative_ml.cli.{module_of(cmd_name)}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _PipeClosed from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from difflib import get_close_matches

        if args and not args[0].startswith("-") and args[0] not in VERBS:
            near = get_close_matches(args[0], VERBS, 1)
            hint = f" Did you mean '{near[0]}'?" if near else " `dml --help` lists the commands."
            raise click.UsageError(f"there is no command '{args[0]}'.{hint}", ctx)
        return super().resolve_command(ctx, args)


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from declarative_ml import __version__

        click.echo(f"dml {__version__}")
        ctx.exit()


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version."
)
def dml() -> None:
    """One YAML file in; a tested, explained, portable model out.

    \b
    dml init data.csv --target y     write spec.yaml
    dml run                          train, evaluate, explain, ship
    dml predict spec.yaml new.csv    score new rows
    """


def main() -> NoReturn:
    """The entry point. Ends the process with one of the documented exit codes."""
    signal.signal(signal.SIGTERM, _terminated)
    # Threads that wait must sleep, not spin: spinning costs more CPU than the work, and stalls on a
    # busy machine. The OpenMP runtimes read this once, when the first library loads them.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Imports make hundreds of thousands of objects that stay: looking through them for cycles every 700
    # objects takes a seventh of the time of importing MLflow and matplotlib.
    set_threshold(50_000, 20, 100)
    warnings.showwarning = partial(_show_warning, warnings.showwarning)
    try:
        code = dml.main(standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as error:
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = 2
    except SpecError as error:
        _show_problems(error)
        code = error.exit_code
    except DmlError as error:
        _show(error)
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):  # click turns the one into the other
        click.echo("\ninterrupted; finished steps are kept, the same command resumes", err=True)
        code = 130
    except _Terminated:
        click.echo("\nterminated; finished steps are kept, the same command resumes", err=True)
        code = 143
    except (_PipeClosed, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except OSError as error:
        code = _refused(error)
    except Exception as error:  # noqa: BLE001 - the command line's edge: a bug is reported, not dumped
        code = _internal(error)
    if code in (130, 143):
        _leave(code)
    if "duckdb" not in sys.modules:  # DuckDB's binding counts what is left then, and prints it as leaked
        freeze()  # else the interpreter looks once more through all that the libraries made, for a second
    sys.exit(code or 0)


def _leave(code: int) -> None:
    """End the process although a step is deep inside a library's code and cannot be asked to stop."""
    others = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    if any(thread.is_alive() and not thread.daemon for thread in others):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class _PipeClosed(BaseException):
    """The reader of our output went away. Not an OSError: click would end the process with 1."""


class _Terminated(BaseException):
    """SIGTERM arrived."""


def _terminated(signum: int, frame: object) -> NoReturn:
    raise _Terminated


def _show_warning(
    otherwise: Any, message: Warning | str, category: type[Warning], *place: Any, **more: Any
) -> None:
    if issubclass(category, DmlWarning):
        click.secho("warning: ", fg="yellow", bold=True, err=True, nl=False)
        click.echo(str(message), err=True)
    else:
        otherwise(message, category, *place, **more)


def _show(error: DmlError) -> None:
    click.secho("error: ", fg="red", bold=True, err=True, nl=False)
    click.echo(error.message, err=True)
    if error.hint:
        click.echo(f"  hint: {error.hint}", err=True)


def _show_problems(error: SpecError) -> None:
    from declarative_ml.spec.diagnostics import render_problems

    click.echo(render_problems(error.problems, texts=error.texts, color=sys.stderr.isatty()), err=True)
    if error.hint:
        click.echo(f"  hint: {error.hint}", err=True)


def _refused(error: OSError) -> int:
    """The system said no: a full disk, a missing permission, a file where a folder should be."""
    if is_full(error) and not os.environ.get("DML_DEBUG"):
        _show(StepFailed("there is no room left on the disk", hint=FULL_HINT))
        return StepFailed.exit_code
    if error.filename is None or os.environ.get("DML_DEBUG"):
        return _internal(error)
    _show(
        UsageError(
            f"{error.filename}: {error.strerror}", hint="check the path, its permissions and the free space"
        )
    )
    return UsageError.exit_code


def _internal(error: Exception) -> int:
    if os.environ.get("DML_DEBUG"):
        raise error
    click.secho("internal error: ", fg="red", bold=True, err=True, nl=False)
    click.echo(f"{type(error).__name__}: {error}", err=True)
    click.echo("  hint: this is a bug of declarative-ml; DML_DEBUG=1 shows the traceback to report", err=True)
    return 1
