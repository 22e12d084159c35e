"""Commands on one run: train it, score it, draw from it, export it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genray.cli.options import DatasetName, Resume, Set
from genray.endings import resumable
from genray.errors import UserError

Name = Annotated[str, typer.Argument(metavar="MODEL", help="A name from `genray models`.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a trained run.")]
Config = Annotated[Path | None, typer.Option(metavar="FILE", help="An experiment as YAML.")]
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
            tell=typer.echo,
            report=lambda row: typer.echo(console.progress(experiment, row)),
        )
    typer.echo(f"\n{console.trained(run)}")


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
        console.result(run, single.evaluate(run, sampled_from=sampled_from or (), extractor=extractor, tell=typer.echo))
    )


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


def export(run: RunFolder, out: ExportFile = None, best: Best = False) -> None:
    """Writes a trained model for other programs: its weights, or what draws images, as a graph.

    \b
    Examples:
      genray export runs/vae-digits-0
      genray export runs/vae-digits-0 --out vae.onnx
    """
    import genray

    typer.echo(f"wrote {genray.export(run, out, best=best)}")
