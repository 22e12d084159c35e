"""Trains deep generative models, searches their hyperparameters over Ray, and compares their samples under one protocol.

What the command line does, from Python:

    import genray

    run = genray.train({"model": {"name": "vae"}}, out="runs/mine")
    model = genray.load(run.path)
    images = genray.sample(run.path, 100)
    result = genray.evaluate(run.path)

    genray.sweep("search_spaces/quickstart.yaml", out="runs/quickstart")
    comparison = genray.compare(["runs/quickstart"])

Wrong input raises `genray.UserError`, a run that cannot go on `genray.Fault`: one line that says what to do. Nothing
heavy is imported before it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

# The package of this name is imported before the function of this name is defined: a later import leaves the function.
import genray.train
from genray.errors import Fault, UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from genray.config import Experiment
    from genray.models.base import GenerativeModel
    from genray.runs import Row, Run

__all__ = ["Fault", "UserError", "__version__", "compare", "evaluate", "load", "sample", "sweep", "train"]

__version__ = "0.1.0"

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


def evaluate(run: PathLike) -> dict[str, Any]:
    """Scores a trained run on the test split; returns what its result.json then holds."""
    from genray import single

    return single.evaluate(run)


def load(run: PathLike, *, device: str = "cpu") -> GenerativeModel:
    """The trained model of a run, with its averaged weights, in evaluation mode."""
    from genray import runs

    return runs.load(run, device=device)


def sample(run: PathLike, num: int = 64, *, seed: int = 0, device: str = "cpu") -> NDArray[np.uint8]:
    """`num` samples of a trained run: uint8 (N, C, H, W)."""
    from genray import samples

    return samples.draw(run, num, seed=seed, device=device)


def compare(runs: Sequence[PathLike], *, out: PathLike | None = None) -> dict[str, Any]:
    """Compares sweeps, or runs that were evaluated, and writes index.html and comparison.{json,csv,md} to `out`.

    Returns what comparison.json holds. `out` is by default `comparison` in the first sweep, or beside the first run.
    """
    from genray import report

    return report.compare(runs, out or default_page(runs))


def default_page(runs: Sequence[PathLike]) -> Path:
    """The folder that a comparison is written to unless another is given."""
    if not runs:
        raise UserError("nothing to compare; give the folder of a sweep, or of runs that were evaluated")
    first = Path(runs[0])
    return (first if (first / "sweep.yaml").exists() else first.parent) / "comparison"
