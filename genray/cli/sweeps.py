"""Commands on many runs: search, compare, answer a study's question; and what a user asks before and meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genray.cli.options import DatasetName, Resume, Set, Space, Trials
from genray.endings import resumable

RunFolders = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Sweeps, or runs that were evaluated.")]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON, the last of the output.")]
DoctorStorage = Annotated[
    str | None, typer.Option("--storage", metavar="URL|PATH", help="To check too: s3://…, gs://…, or a shared folder.")
]
GpuPrice = Annotated[float | None, typer.Option(metavar="PRICE", min=0, help="Of an hour of one GPU.")]
CpuPrice = Annotated[float | None, typer.Option(metavar="PRICE", min=0, help="Of an hour of one CPU.")]
Address = Annotated[str | None, typer.Option(help="A Ray cluster's address; default: Ray on this machine.")]
Storage = Annotated[
    str | None,
    typer.Option(metavar="URL|shared", help="Where a cluster keeps the sweep: s3://bucket/folder; default: in --out."),
]
SweepFolder = Annotated[Path, typer.Argument(metavar="SWEEP", help="The folder of a sweep.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show Ray's own log too.")]
SweepOut = Annotated[Path | None, typer.Option(metavar="DIR", help="Default: runs/NAME, by the file's `name`.")]
StudyName = Annotated[str, typer.Argument(metavar="NAME", help="A name from `genray studies`.")]
StudyOut = Annotated[Path | None, typer.Option(metavar="DIR", help="Default: runs/NAME.")]
Minutes = Annotated[float | None, typer.Option(help="Answer after so long from what is done; --resume goes on.")]
BudgetName = Annotated[
    str, typer.Option("--budget", metavar="quick|full", help="3 minutes to an hour of 2 cores; hours of a GPU.")
]
StudySet = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change what a budget pays for, in a study that can."),
]
PageOut = Annotated[Path | None, typer.Option(metavar="DIR", help="Default: comparison, in the first folder given.")]
Controls = Annotated[
    bool | None,
    typer.Option("--controls/--no-controls", help="Rows that every metric must place right. Default: where they can."),
]
Mixed = Annotated[bool, typer.Option("--mixed", help="A table each for runs that do not compare.")]


def sweep(
    space: Space,
    trials: Trials = None,
    set_: Set = None,
    out: SweepOut = None,
    resume: Resume = False,
    address: Address = None,
    storage: Storage = None,
    verbose: Verbose = False,
) -> None:
    """Searches, trains the best again, and compares.

    Each model has its own search, with the same number of trials; its best configuration is trained again with fresh
    seeds and scored on the test split.

    \b
    Examples:
      genray sweep search_spaces/quickstart.yaml
      genray sweep search_spaces/compare.yaml --trials 8 --set experiment.epochs=20
      genray sweep search_spaces/compare.yaml --trials 16 --resume
    """
    import genray
    from genray import arguments, console

    plan = arguments.sweep_of(space, trials=trials, overrides=set_ or ())
    folder = out or arguments.sweep_folder(plan)
    with resumable(folder / "sweep.yaml"):
        comparison = genray.sweep(plan, out=folder, resume=resume, address=address, storage=storage, verbose=verbose)
    console.show_comparison(comparison, folder / "comparison")


def estimate(
    space: Space,
    trials: Trials = None,
    set_: Set = None,
    address: Address = None,
    gpu_hour_price: GpuPrice = None,
    cpu_hour_price: CpuPrice = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Says what a sweep will need: hours, GPU hours, money. Times a few steps of each model and trains none.

    \b
    Examples:
      genray estimate search_spaces/quickstart.yaml
      genray estimate search_spaces/compare.yaml --trials 16 --gpu-hour-price 1.20
    """
    from genray import arguments
    from genray.cluster.estimate import estimate as estimate_

    found = estimate_(
        arguments.sweep_of(space, trials=trials, overrides=set_ or ()),
        address=address,
        gpu_hour_price=gpu_hour_price,
        cpu_hour_price=cpu_hour_price,
        tell=lambda text: typer.echo(text, err=True),
        verbose=verbose,
    )
    typer.echo(found.to_json() if json else "\n".join(found.lines))


def watch(folder: SweepFolder) -> None:
    """Watches a sweep that another process does, until it ends.

    \b
    Example:
      genray watch runs/quickstart
    """
    from genray import console
    from genray.cluster.watch import watch as watch_

    console.show_comparison(*watch_(folder))


def compare(runs: RunFolders, out: PageOut = None, mixed: Mixed = False, controls: Controls = None) -> None:
    """Compares models: a table here, and a page to open.

    Runs on several datasets get a table each, and one for all. Runs on one dataset that differ in split, images,
    extractor, budget, number of samples or version of a metric are refused, or with --mixed get a table each.
    Beside the models stand controls, which every metric must place right: an untrained model, a Gaussian mixture and
    PCA fitted on pixels, and training images replayed.

    \b
    Examples:
      genray compare runs/quickstart
      genray compare runs/vae-digits-0 runs/gan-digits-0 --out runs/mine
      genray compare runs/digits runs/mnist
    """
    import genray
    from genray import arguments, console, report

    folder = out or arguments.page_folder(runs)
    before = report.runs_of(folder)
    comparison = genray.compare(runs, out=folder, mixed=mixed, controls=controls)
    console.show_comparison(comparison, folder)
    if others := sorted(set(before) - set(report.runs_of(folder))):
        typer.echo(f"it replaced the page of {', '.join(others[:3])}{' …' if len(others) > 3 else ''}")


def study(
    name: StudyName,
    out: StudyOut = None,
    budget: BudgetName = "quick",
    set_: StudySet = None,
    minutes: Minutes = None,
    resume: Resume = False,
    address: Address = None,
    verbose: Verbose = False,
) -> None:
    """Answers a question of the theory: a page with figures, tables and what held.

    \b
    Examples:
      genray study gradient_variance
      genray study optimal_discriminator --budget full --out runs/discriminator
      genray study iwae --budget full --minutes 9 --resume
      genray study hidden_size --budget full --set epochs=3 --set models=[vae,gan]
    """
    import genray
    from genray import console
    from genray.overrides import parse_overrides

    folder, changes = out or Path("runs") / name, parse_overrides(set_ or ())
    with resumable(folder / "study.yaml"):
        result = genray.study(
            name,
            out=folder,
            budget=budget,
            overrides=changes,
            resume=resume,
            minutes=minutes,
            address=address,
            verbose=verbose,
        )
    console.show_study(result, folder)


def doctor(
    address: Address = None,
    storage: DoctorStorage = None,
    dataset: DatasetName = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Looks a cluster over, or this machine: one line a check, with the fix. Exit code 1 where one has failed.

    \b
    Examples:
      genray doctor
      genray doctor --address auto --storage s3://bucket/sweeps
    """
    from genray.cluster import doctor as doctor_
    from genray.cluster.checks.base import Check

    def show(check: Check) -> None:
        typer.echo(check.line, err=json)

    with doctor_.ended_in_time(show):
        checks = doctor_.doctor(address=address, storage=storage, dataset=dataset, show=show, verbose=verbose)
    if json:
        typer.echo(doctor_.to_json(checks))
    raise typer.Exit(int(any(check.level == "FAIL" for check in checks)))
