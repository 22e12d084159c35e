"""The folder of one training run, and what it holds.

experiment.yaml   what was asked for, and the version of the folder (genray/schema.py)
metrics.jsonl     a row an epoch
checkpoint/       state.pt, to go on from and to sample from, the one before it, and the best one
samples.png       and the other pictures of genray/pictures/catalogue.py, of the last evaluation
projector/        codes of test images for TensorBoard's projector, once it was evaluated (genray/pictures/projector.py)
frames/           samples over training time, small and few (genray/pictures/frames.py)
result.json       scores on the test split, once it was evaluated
"""

from __future__ import annotations

import json
import math
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genray import files, schema
from genray.config import Experiment
from genray.errors import UserError

if TYPE_CHECKING:
    from genray.models.base import GenerativeModel

Row = dict[str, float]  # "epoch", "step", "train_seconds", "train/<phase>/<term>", "validation/<metric>"


@dataclass(frozen=True)
class Run:
    """Paths and readers; `open_run` and `create_run` make one."""

    path: Path
    experiment: Experiment

    @property
    def metrics_path(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def checkpoint_path(self) -> Path:
        return self.path / "checkpoint" / "state.pt"

    @property
    def best_checkpoint_path(self) -> Path:
        """Of the best leading score; there once a checkpoint was scored."""
        return self.path / "checkpoint" / "best.pt"

    def picture_path(self, name: str) -> Path:
        return self.path / f"{name}.png"

    def frame_path(self, epoch: int) -> Path:
        return self.path / "frames" / f"{epoch:05d}.webp"

    @property
    def frames(self) -> dict[int, Path]:
        """Small pictures of samples, by epoch, in order of time."""
        found = sorted(self.path.glob("frames/[0-9]*.webp"))
        return {int(path.stem): path for path in found if path.stem.isdecimal()}

    @property
    def result_path(self) -> Path:
        return self.path / "result.json"

    @property
    def history(self) -> list[Row]:
        """The rows of metrics.jsonl. A last line that a kill cut short is left out."""
        if not self.metrics_path.exists():
            return []
        *lines, _cut = self.metrics_path.read_bytes().split(b"\n")
        try:
            return [_row(line) for line in lines]
        except ValueError as error:
            raise UserError(f"{self.metrics_path}: a line is no row ({error}); mend or remove the file") from None

    @property
    def result(self) -> dict[str, Any] | None:
        """result.json, or None where the run was not evaluated."""
        if not self.result_path.exists():
            return None
        try:
            return _json_object(self.result_path.read_bytes())
        except ValueError as error:
            fix = f"run `genray evaluate {shlex.quote(str(self.path))}`"
            raise UserError(f"{self.result_path} is no result ({error}); {fix}") from None


def _json_object(content: bytes) -> dict[str, Any]:
    """Raises ValueError."""
    try:
        value = json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(value, dict):
        raise ValueError(f"it must be a JSON object, got {type(value).__name__}")
    return value


def _row(line: bytes) -> Row:
    """Raises ValueError."""
    row: Row = _json_object(line)
    for key in ("epoch", "train_seconds"):
        if not isinstance(value := row.get(key), int | float) or not math.isfinite(value):
            raise ValueError(f"{key} must be a number, got {value!r}")
    return row


def open_run(path: Path | str) -> Run:
    """A run that is there."""
    path = Path(path)
    if not (path / "experiment.yaml").is_file():
        missing = "holds no experiment.yaml" if path.is_dir() else "is not a folder"
        raise UserError(f"{path} is not a run: it {missing}; give the folder that `genray train` wrote")
    return Run(path, Experiment.parse(schema.read_yaml(path / "experiment.yaml"), str(path / "experiment.yaml")))


def create_run(path: Path | str, experiment: Experiment, *, resume: bool = False) -> Run:
    """A new run, or with `resume` the one that is there, when it is of the same experiment. Overwrites nothing."""
    path = Path(path)
    try:
        if (path / "experiment.yaml").exists():
            return _same_run(path, experiment, resume)
        if not files.holds_nothing(path, "experiment.yaml"):
            raise UserError(f"{path} is there and is not a run; give another folder with --out")
        files.write_text(path / "experiment.yaml", schema.stamped(experiment.to_yaml()))
    except OSError as error:
        raise UserError(f"cannot write the run to {path}: {error.strerror}; give another folder with --out") from None
    return Run(path, experiment)


def _same_run(path: Path, experiment: Experiment, resume: bool) -> Run:
    if not resume:
        raise UserError(f"{path} holds a run already; go on with it by --resume, or give another folder with --out")
    run = open_run(path)
    if differences := run.experiment.differences(experiment):
        raise UserError(
            f"{path} holds a run of another experiment, which differs in {', '.join(differences)}; "
            f"give the same values, or another folder with --out"
        )
    return run


def load(path: Path | str, *, best: bool = False, device: str = "cpu") -> GenerativeModel:
    """The trained model of a run, with its averaged weights, ready to sample; with `best` not as it was at last, but at
    the checkpoint with the best leading score on the validation split."""
    from genray import checkpoint
    from genray.models.base import build

    run = open_run(path)
    if best and not run.best_checkpoint_path.exists():
        raise UserError(f"{path} holds no best checkpoint: none was scored on the validation split; leave out --best")
    file = run.best_checkpoint_path if best else run.checkpoint_path
    state, spec = checkpoint.read(file, device, experiment=run.experiment)
    model = build(run.experiment.model, spec, seed=0).to(device)
    checkpoint.require_like(file, state, {"ema": model.state_dict()})
    model.load_state_dict(state["ema"])
    return model.eval().requires_grad_(False)
