"""Arguments and options that commands of several files take."""

from pathlib import Path
from typing import Annotated

import typer

Space = Annotated[Path, typer.Argument(metavar="SPACE.yaml", help="A search space.")]
DatasetName = Annotated[str | None, typer.Option(metavar="D", help="From `genray datasets`, or folder:/path.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set any key; can be repeated.")]
Trials = Annotated[int | None, typer.Option(help="Trials of each model, in place of the file's.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with what is in the folder.")]
