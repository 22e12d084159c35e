"""One run without a sweep: train it and score it on the validation split, then score it on the test split."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genray import files
from genray.config import Experiment, parse_overrides, with_values
from genray.errors import UserError
from genray.runs import Row, Run, create_run, open_run

if TYPE_CHECKING:
    from genray.train.distributed import Distributed

Tell = Callable[[str], object]  # hears what is being done


def experiment_of(
    model: str, *, dataset: str | None = None, config: Path | None = None, overrides: Iterable[str] = ()
) -> Experiment:
    """What `genray train` is told: a YAML file where there is one, the dataset over it, `key=value` texts over that."""
    from genray import models

    if model not in models.names():
        models.load(model)  # which says what is wrong
    values = ({"dataset": dataset} if dataset else {}) | parse_overrides(overrides)
    tree = with_values(files.read_yaml(config) if config else {}, values)
    named = with_values(tree, {"model.name": model})
    other = tree.get("model", {}).get("name", model)
    if other != model:
        raise UserError(f"model.name must be the MODEL that is trained, got {other!r} and {model!r}; give one of them")
    return Experiment.parse(named, str(config or ""))


def default_folder(experiment: Experiment) -> Path:
    """runs/vae-mnist-0"""
    dataset = re.sub(r"[^A-Za-z0-9._-]+", "-", experiment.dataset).strip("-")
    return Path("runs") / f"{experiment.model.name}-{dataset}-{experiment.seed}"


def train(
    experiment: Experiment,
    out: Path,
    *,
    resume: bool = False,
    tell: Tell = lambda text: None,
    report: Callable[[Row], object] = lambda row: None,
) -> Run:
    """Trains in this process. All that can be known to fail is refused before `out` is made."""
    from genray import preflight
    from genray.data import datasets
    from genray.metrics.evaluate import make_judge
    from genray.metrics.features import extractor_for
    from genray.train.loop import train as train_run

    tell(f"reading {experiment.dataset}")
    data = datasets.load(experiment.dataset, image_size=experiment.image_size).training_data
    preflight.check_experiment(experiment, data)
    place = _place(experiment)
    run = create_run(out, experiment, resume=resume)
    tell("looking for the feature network of the metrics, which is trained once a dataset")
    judge = make_judge(extractor_for(data), data.validation, experiment.metrics, experiment.num_samples)
    tell(f"training {experiment.model.name} on {len(data.train)} images, {experiment.epochs} epochs, on {place.device}")
    train_run(experiment, data, run, judge=judge, report=lambda row: report(row) is not False, distributed=place)
    return run


def evaluate(path: Path | str, *, tell: Tell = lambda text: None) -> dict[str, Any]:
    """Scores a run on the test split, with the floor beside it, and writes its result.json."""
    from genray.data import datasets
    from genray.metrics.evaluate import evaluate_run, floor, make_judge
    from genray.metrics.features import extractor_for

    run = open_run(path)
    experiment = run.experiment
    if not run.checkpoint_path.exists():
        raise UserError(f"{run.path} has no checkpoint yet: it is not trained; go on with `genray train` and --resume")
    data = datasets.load(experiment.dataset, image_size=experiment.image_size)
    tell("looking for the feature network of the metrics, which is trained once a dataset")
    judge = make_judge(extractor_for(data.training_data), data.test, experiment.metrics, experiment.num_samples)
    tell(f"scoring {judge.num_samples} samples against {len(data.test)} test images")
    return evaluate_run(run, judge, floor(judge, data.train), data)


def _place(experiment: Experiment) -> Distributed:
    """One device. A GPU that was asked for and is not there is refused, not replaced."""
    from genray.train.distributed import Distributed, pick_device

    device = pick_device(experiment.resources.gpu)
    if experiment.resources.gpu and device.type == "cpu":
        raise UserError(
            f"resources.gpu must be 0 where no GPU is found, got {experiment.resources.gpu:g}; set resources.gpu to 0"
        )
    return Distributed.single(device)
