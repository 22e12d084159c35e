"""The command line: one thin function a command, here and in the files beside this one, and how any of them ends.
Heavy imports stand inside functions; `genray --help` needs none."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Annotated

import typer

from genray.cli import runs, sweeps
from genray.cli.cluster import cluster
from genray.endings import Stopped, of_disk, words
from genray.errors import Fault, UserError

app = typer.Typer(
    help="Trains deep generative models, searches their hyperparameters over Ray, and compares their samples.",
    epilog="Begin with: genray sweep search_spaces/quickstart.yaml",
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(cluster, name="cluster")

Version = Annotated[bool, typer.Option("--version", help="Show the version and exit.")]


@app.callback(invoke_without_command=True)
def root(version: Version = False) -> None:
    if version:
        from genray.version import __version__

        typer.echo(f"genray {__version__}")
        raise typer.Exit


def models() -> None:
    """Lists the models.

    \b
    Example:
      genray models
    """
    from genray import console

    typer.echo(console.models())


def datasets() -> None:
    """Lists the datasets, and what has to be downloaded.

    \b
    Example:
      genray datasets
    """
    from genray import console

    typer.echo(console.datasets())


def studies() -> None:
    """Lists the studies: questions of the theory that genray answers by experiment.

    \b
    Example:
      genray studies
    """
    from genray import console

    typer.echo(console.studies())


for command in (
    models,
    datasets,
    studies,
    runs.train,
    sweeps.sweep,
    sweeps.estimate,
    sweeps.watch,
    sweeps.doctor,
    runs.evaluate,
    sweeps.compare,
    runs.sample,
    runs.export,
    sweeps.study,
):  # in the order of `genray --help`
    app.command()(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command. Returns 0: done; 2: wrong input, or a disk that is full or read-only; 1: another fault of ours or
    the machine's; 130: stopped by Ctrl-C."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # of libraries, about what a user cannot mend; `python -W` brings them back
    if strange := [word for word in given if any("\ud800" <= c <= "\udfff" for c in word)]:  # bytes that are no text
        return _say(f"arguments must be UTF-8 text, got {strange[0]!r}; give another name, or rename what has it", 2)
    try:
        code = app(given or ["--help"], prog_name="genray", standalone_mode=False)
    except typer.TyperException as error:  # a wrong option or argument
        command = getattr(getattr(error, "ctx", None), "command_path", "genray")
        return _say(f"{error.format_message()} (see `{command} --help`)", 2)
    except UserError as error:
        return _say(str(error), 2)
    except (Stopped, Fault) as error:
        return _say(str(error), 130 if isinstance(error, Stopped) else 1)
    except OSError as error:
        return _say(str(told), 2) if (told := of_disk(error)) is not None else _say(words(error), 1)
    return _say("stopped", 130) if code == 130 else code or 0


def _say(text: str, code: int) -> int:
    print(f"genray: {' '.join(text.split())}", file=sys.stderr)
    return code
