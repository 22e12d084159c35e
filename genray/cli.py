"""The command line: one thin function a command. Heavy imports stand inside; `genray --help` needs none."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from genray.cli_cluster import cluster
from genray.endings import Stopped, of_disk, resumable, words
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
Name = Annotated[str, typer.Argument(metavar="MODEL", help="A name from `genray models`.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a trained run.")]
RunFolders = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Sweeps, or runs that were evaluated.")]
Space = Annotated[Path, typer.Argument(metavar="SPACE.yaml", help="A search space.")]
DatasetName = Annotated[str | None, typer.Option(metavar="D", help="From `genray datasets`, or folder:/path.")]
Config = Annotated[Path | None, typer.Option(metavar="FILE", help="An experiment as YAML.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set any key; can be repeated.")]
Trials = Annotated[int | None, typer.Option(help="Trials of each model, in place of the file's.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with what is in the folder.")]
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
Num = Annotated[int | None, typer.Option(help="How many. Default: 64, or 8 completions of each image.")]
Seed = Annotated[int, typer.Option(help="Another seed gives other samples.")]
File = Annotated[Path, typer.Option(metavar="FILE", help="A .png: one picture; a .npz: `images`, uint8.")]
ExportFile = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="A .safetensors (default: model.safetensors in RUN), or an .onnx."),
]
Samplers = Annotated[
    list[str] | None,
    typer.Option("--sampled-from", metavar="SAMPLER", help="prior or gmm; can be repeated. Default: the run's own."),
]
ExtractorName = Annotated[
    str, typer.Option("--extractor", metavar="NAME", help="Whose features, or module:function. Default: the run's own.")
]
Label = Annotated[int | None, typer.Option(metavar="CLASS", help="Images of this class alone, from 0.")]
Best = Annotated[bool, typer.Option("--best", help="Not the last checkpoint, but the one that was scored best.")]
Complete = Annotated[list[Path] | None, typer.Option(metavar="FILE...", help="Images to complete from a part of each.")]
Files = Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="More images to --complete.")]
SampledFrom = Annotated[str, typer.Option(metavar="SAMPLER", help="prior, or gmm: a mixture fitted to codes.")]
RunOut = Annotated[Path | None, typer.Option(metavar="DIR", help="Default: runs/MODEL-DATASET-SEED.")]
SweepOut = Annotated[Path | None, typer.Option(metavar="DIR", help="Default: runs/NAME, by the file's `name`.")]
StudyName = Annotated[str, typer.Argument(metavar="NAME", help="A name from `genray studies`.")]
StudyOut = Annotated[Path | None, typer.Option(metavar="DIR", help="Default: runs/NAME.")]
Minutes = Annotated[float | None, typer.Option(help="Answer after so long from what is done; --resume goes on.")]
BudgetName = Annotated[str, typer.Option("--budget", metavar="quick|full", help="Minutes on a laptop, or more.")]
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


@app.callback(invoke_without_command=True)
def root(version: Version = False) -> None:
    if version:
        from genray import __version__

        typer.echo(f"genray {__version__}")
        raise typer.Exit


@app.command()
def models() -> None:
    """Lists the models.

    \b
    Example:
      genray models
    """
    from genray import console

    typer.echo(console.models())


@app.command()
def datasets() -> None:
    """Lists the datasets, and what has to be downloaded.

    \b
    Example:
      genray datasets
    """
    from genray import console

    typer.echo(console.datasets())


@app.command()
def studies() -> None:
    """Lists the studies: questions of the theory that genray answers by experiment.

    \b
    Example:
      genray studies
    """
    from genray import console

    typer.echo(console.studies())


@app.command()
def train(
    model: Name,
    dataset: DatasetName = None,
    config: Config = None,
    set_: Set = None,
    out: RunOut = None,
    resume: Resume = False,
) -> None:
    """Trains one model, scored on the validation split as it goes.

    \b
    Examples:
      genray train vae
      genray train vae_gan --dataset mnist --set epochs=20 --set model.hidden=64
      genray train vae --config runs/vae-digits-0/experiment.yaml --set seed=1
    """
    from genray import arguments, console, single

    experiment = arguments.experiment_of(model, dataset=dataset, config=config, overrides=set_ or ())
    folder = out or arguments.run_folder(experiment)
    with resumable(folder / "experiment.yaml"):
        run = single.train(
            experiment,
            folder,
            resume=resume,
            tell=_tell,
            report=lambda row: typer.echo(console.progress(experiment, row)),
        )
    typer.echo(f"\n{console.trained(run)}")


@app.command()
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


@app.command()
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


@app.command()
def watch(folder: SweepFolder) -> None:
    """Watches a sweep that another process does, until it ends.

    \b
    Example:
      genray watch runs/quickstart
    """
    from genray import console
    from genray.cluster.watch import watch as watch_

    console.show_comparison(*watch_(folder))


@app.command()
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


@app.command()
def evaluate(run: RunFolder, sampled_from: Samplers = None, extractor: ExtractorName = "") -> None:
    """Scores a run on the test split, beside real images.

    \b
    Examples:
      genray evaluate runs/vae-digits-0
      genray evaluate runs/vae-digits-0 --sampled-from prior --sampled-from gmm
      genray evaluate runs/vae-cifar10-0 --extractor inception
    """
    from genray import console, single

    typer.echo(
        console.result(run, single.evaluate(run, sampled_from=sampled_from or (), extractor=extractor, tell=_tell))
    )


@app.command()
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
    from genray import arguments, console

    comparison = genray.compare(runs, out=out, mixed=mixed, controls=controls)
    console.show_comparison(comparison, out or arguments.page_folder(runs))


@app.command()
def sample(
    run: RunFolder,
    files: Files = None,
    num: Num = None,
    out: File = Path("samples.png"),
    seed: Seed = 0,
    sampled_from: SampledFrom = "prior",
    label: Label = None,
    complete: Complete = None,
    best: Best = False,
) -> None:
    """Draws samples from a trained run, of a given label, or completes images of which it is given a part.

    \b
    Examples:
      genray sample runs/vae-digits-0
      genray sample runs/vae-digits-0 --num 10000 --out samples.npz
      genray sample runs/vae-digits-0 --sampled-from gmm
      genray sample runs/cvae-mnist-0 --label 7 --best
      genray sample runs/halves --complete a.png b.png c.png --num 6
    """
    from genray import samples

    samples.check_file(out)
    if not complete:
        if files:
            raise UserError(f"sample takes one run, got {files[0]} too; files to complete come after --complete")
        count = 64 if num is None else num
        images = samples.draw(run, count, seed=seed, sampled_from=sampled_from, label=label, best=best)
        samples.save(images, out)
        typer.echo(f"wrote {len(images)} samples of {run} to {out}")
        return
    if label is not None or sampled_from != "prior":
        raise UserError("--complete takes neither --label nor --sampled-from; leave them out")
    every = [*complete, *(files or ())]
    completions = samples.complete(run, every, 8 if num is None else num, seed=seed, best=best)
    samples.save_completions(completions, out)
    typer.echo(f"wrote {completions.drawn.shape[1]} completions of {len(completions.images)} images to {out}")


@app.command()
def export(run: RunFolder, out: ExportFile = None, best: Best = False) -> None:
    """Writes a trained model for other programs: its weights, or what draws images, as a graph.

    \b
    Examples:
      genray export runs/vae-digits-0
      genray export runs/vae-digits-0 --out vae.onnx
    """
    import genray

    typer.echo(f"wrote {genray.export(run, out, best=best)}")


@app.command()
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command. Returns 0: done; 2: wrong input, or a disk that is full or read-only; 1: another fault of ours or
    the machine's; 130: stopped by Ctrl-C."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # of libraries, about what a user cannot mend; `python -W` brings them back
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


def _tell(text: str) -> None:
    typer.echo(text)


def _say(text: str, code: int) -> int:
    print(f"genray: {' '.join(text.split())}", file=sys.stderr)
    return code
