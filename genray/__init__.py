"""Trains deep generative models, searches their hyperparameters over Ray, and compares their samples.

What the command line does, from Python:

    import genray

    run = genray.train({"model": {"name": "vae"}}, out="runs/mine")
    model = genray.load(run.path)
    images = genray.sample(run.path, 100)
    result = genray.evaluate(run.path)

    genray.sweep("search_spaces/quickstart.yaml", out="runs/quickstart")
    comparison = genray.compare(["runs/quickstart"])
    answer = genray.study("optimal_discriminator", out="runs/discriminator")

Wrong input raises `genray.UserError`, a run that cannot go on `genray.Fault`: one line that says what to do. Nothing
heavy is imported before it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import genray.train  # noqa: F401  the package first: were it imported later, it would replace the function of its name
from genray.errors import Fault, UserError
from genray.extractors.function import register_extractor
from genray.version import __version__

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from genray.config import Experiment
    from genray.models.base import GenerativeModel
    from genray.runs import Row, Run
    from genray.space import Sweep

__all__ = [
    "Fault",
    "UserError",
    "__version__",
    "compare",
    "complete",
    "evaluate",
    "export",
    "load",
    "register_extractor",
    "sample",
    "study",
    "sweep",
    "train",
]

PathLike = Path | str


def train(
    experiment: Experiment | Mapping[str, Any],
    *,
    out: PathLike,
    resume: bool = False,
    report: Callable[[Row], object] | None = None,
) -> Run:
    """Trains one model in this process, scored on the validation split as it goes, and returns its run.

    `experiment`: as in YAML, {"model": {"name": "vae"}, "dataset": "mnist", "epochs": 20}; what is left out has a
    default. `report` hears of each evaluation, a row of metrics.jsonl; if it returns False the run stops there.
    """
    from genray import single
    from genray.config import Experiment

    if not isinstance(experiment, Experiment):
        experiment = Experiment.parse(experiment)
    return single.train(experiment, Path(out), resume=resume, report=report or (lambda row: None))


def sweep(
    space: Sweep | PathLike,
    *,
    out: PathLike | None = None,
    overrides: Mapping[str, Any] | None = None,
    resume: bool = False,
    address: str | None = None,
    storage: str | None = None,
    verbose: bool = False,
) -> dict[str, Any]:
    """Searches each model of a search space, trains the best again with fresh seeds, and compares them.

    `space`: the path of a YAML file; `overrides` sets keys of it, {"trials": 4, "experiment.epochs": 10}. `out` is by
    default runs/<name>; `resume` goes on with what is in it. On a cluster, `storage` is where the sweep is kept
    too ("s3://bucket/folder"), or "shared" where `out` is one folder on all machines. Returns what comparison.json
    holds, which lies with the page in `out`/comparison.
    """
    import json

    from genray import arguments
    from genray.cluster.sweep import sweep as run_sweep
    from genray.space import Sweep

    if not isinstance(space, Sweep):
        space = Sweep.load(space, overrides)
    folder = Path(out) if out else arguments.sweep_folder(space)
    page = run_sweep(space, out=folder, resume=resume, address=address, storage=storage, verbose=verbose)
    comparison: dict[str, Any] = json.loads((page / "comparison.json").read_text())
    return comparison


def evaluate(run: PathLike, *, sampled_from: Sequence[str] = (), extractor: str = "") -> dict[str, Any]:
    """Scores a trained run on the test split; returns what its result.json then holds. `sampled_from`: ["prior",
    "gmm"], where its samples should be drawn otherwise than its experiment says; `extractor`: "inception", where its
    scores should rest on other features."""
    from genray import single

    return single.evaluate(run, sampled_from=sampled_from, extractor=extractor)


def load(run: PathLike, *, best: bool = False, device: str = "cpu") -> GenerativeModel:
    """The trained model of a run, or of a .safetensors file, with its averaged weights, in evaluation mode. With `best`
    it is the run's checkpoint that the validation split scored best."""
    from genray import runs

    if Path(run).suffix == ".safetensors":
        from genray import exports

        return exports.read(Path(run), device=device)
    return runs.load(run, best=best, device=device)


def export(run: PathLike, out: PathLike | None = None, *, best: bool = False) -> Path:
    """Writes a run's averaged weights as .safetensors, or its sampler as .onnx, and returns where; by default
    model.safetensors in the run's folder. With `best`, of its best checkpoint."""
    from genray import exports

    return exports.export(Path(run), Path(out) if out is not None else None, best=best)


def sample(
    run: PathLike,
    num: int = 64,
    *,
    seed: int = 0,
    device: str = "cpu",
    sampled_from: str = "prior",
    label: int | None = None,
    best: bool = False,
) -> NDArray[np.uint8]:
    """`num` samples of a trained run: uint8 (N, C, H, W). `sampled_from` "gmm": a mixture fitted to training codes.

    With `label`, images of that class, by a model that was trained to draw them; with `best`, of the run's best
    checkpoint.
    """
    from genray import samples

    return samples.draw(run, num, seed=seed, device=device, sampled_from=sampled_from, label=label, best=best)


def complete(
    run: PathLike, files: Sequence[PathLike], num: int = 8, *, seed: int = 0, device: str = "cpu"
) -> NDArray[np.uint8]:
    """`num` completions of each image file, by a model that was trained to be given a part: uint8 (N, num, C, H, W)."""
    from genray import samples

    return samples.complete(run, files, num, seed=seed, device=device).drawn


def compare(
    runs: Sequence[PathLike], *, out: PathLike | None = None, mixed: bool = False, controls: bool | None = None
) -> dict[str, Any]:
    """Compares sweeps, or runs that were evaluated, and writes index.html and comparison.{json,csv,md} to `out`.

    Returns what comparison.json holds. `out` is by default `comparison` in the first sweep, or beside the first run.
    Runs whose numbers do not compare raise a UserError; where `mixed`, they get a table each: {"parts": {name: …}}.
    So do datasets, with a "summary" over all.
    `controls`: whether rows that every metric must place right stand beside the models (an untrained one, densities of
    pixels, replayed training images); None: where the dataset is here, unless a sweep says `controls: false`.
    """
    from genray import arguments, report

    out = out or arguments.page_folder(runs)
    return report.compare([Path(run) for run in runs], out, mixed=mixed, controls=controls)


def study(
    name: str,
    *,
    out: PathLike | None = None,
    budget: str = "quick",
    overrides: Mapping[str, Any] | None = None,
    resume: bool = False,
    minutes: float | None = None,
    address: str | None = None,
    verbose: bool = False,
) -> dict[str, Any]:
    """Answers a question of the theory, and writes index.html, study.json, study.md and figures/*.png to `out`.

    `budget` is "quick" (minutes on a laptop) or "full"; `overrides` changes what it pays for, in a study that takes
    some: {"epochs": 2}. `out` is by default runs/<name>; `resume` goes on with what is
    in it, and after `minutes` a study that can answers from the parts that are done. Returns what study.json holds.
    """
    from genray.cluster.ask import ask

    return ask(
        name,
        out=out or Path("runs") / name,
        budget=budget,
        overrides=overrides,
        resume=resume,
        minutes=minutes,
        address=address,
        verbose=verbose,
    )
