"""One run without a sweep: train it and score it on the validation split, then score it on the test split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genray import files
from genray.config import Experiment
from genray.errors import UserError
from genray.runs import Row, Run, create_run, load, open_run

if TYPE_CHECKING:
    import torch

    from genray.data.spec import TrainingData
    from genray.evaluation.judge import Judge

Tell = Callable[[str], object]  # hears what is being done


def train(
    experiment: Experiment,
    out: Path,
    *,
    resume: bool = False,
    tell: Tell = lambda text: None,
    report: Callable[[Row], object] = lambda row: None,
) -> Run:
    """Trains, in this process if one worker does. All that can be known to fail is refused before `out` is made."""
    from genray import extractors, preflight
    from genray.data import datasets
    from genray.evaluation.judge import make_judge, training_features

    if resume and files.holds_nothing(out, "experiment.yaml"):
        raise UserError(f"{out} holds no run to go on with; leave out --resume, or give its folder with --out")
    tell(f"reading {experiment.dataset}")
    data = datasets.load(experiment.dataset, image_size=experiment.image_size).training_data
    preflight.check_experiment(experiment, data)
    extractors.find(experiment.extractor, data)
    device = _device(experiment)
    with ExitStack() as held:
        if experiment.workers > 1:
            from genray.cluster import group

            held.enter_context(group.room(experiment, data))
        run = Run(create_run(out, experiment, resume=resume).path, experiment)  # with resources that are there now
        held.enter_context(files.locked(run.path, "run"))
        tell("looking for the feature network of the metrics, which is trained once a dataset")
        extractor, names = extractors.make(experiment.extractor, data), experiment.metrics
        seen = training_features(extractor, data.train, names)
        judge = make_judge(extractor, data.validation, names, experiment.num_samples, train=seen, tuning=data.train)
        tell(f"training {experiment.model.name} on {len(data.train)} images, {experiment.limit.text}, on {device}")
        if experiment.workers > 1:
            group.train(run, data, judge, lambda row: report(row) is not False)
        else:
            _train_here(run, data, judge, lambda row: report(row) is not False, device)
    return run


def _train_here(
    run: Run, data: TrainingData, judge: Judge, report: Callable[[Row], bool], device: torch.device
) -> None:
    from genray.train.distributed import Distributed
    from genray.train.loop import train as train_here

    here = Distributed.single(device)
    train_here(run.experiment, data, run, judge=judge, report=report, distributed=here)


def evaluate(
    path: Path | str, *, sampled_from: Sequence[str] = (), extractor: str = "", tell: Tell = lambda text: None
) -> dict[str, Any]:
    """Scores a run on the test split, with the floor beside it, and writes its result.json. `sampled_from` names other
    samplers than its experiment does, `extractor` another extractor."""
    run = open_run(path)
    experiment = run.experiment
    if not run.checkpoint_path.exists():
        raise UserError(f"{run.path} has no checkpoint yet: it is not trained; go on with `genray train` and --resume")
    if sampled_from:
        sampled_from = Experiment.parse(experiment.plain() | {"sampled_from": list(sampled_from)}).sampled_from
    load(path)  # refused before anything is computed or written
    with files.locked(run.path, "run"):
        return _scored(run, sampled_from, extractor, tell)


def _scored(run: Run, sampled_from: Sequence[str], extractor: str, tell: Tell) -> dict[str, Any]:
    from genray import extractors
    from genray.data import datasets
    from genray.evaluation.evaluate import evaluate_run
    from genray.evaluation.floor import floor
    from genray.evaluation.judge import make_judge, training_features

    experiment = run.experiment
    data = datasets.load(experiment.dataset, image_size=experiment.image_size)
    tell("looking for the feature network of the metrics, which is trained once a dataset")
    made, names = extractors.make(extractor or experiment.extractor, data.training_data), experiment.metrics
    seen = training_features(made, data.train, names)
    judge = make_judge(made, data.test, names, experiment.num_samples, train=seen, tuning=data.validation)
    tell(f"scoring {judge.num_samples} samples against {len(data.test)} test images")
    return evaluate_run(run, judge, floor(judge, data.train), data, sampled_from=sampled_from)


def _device(experiment: Experiment) -> torch.device:
    """A GPU that is asked for and not there is refused, not replaced."""
    from genray.device import pick_device

    device = pick_device(experiment.resources.gpu)
    if experiment.resources.gpu and device.type == "cpu":
        raise UserError(
            f"resources.gpu must be 0 where no GPU is found, got {experiment.resources.gpu:g}; set resources.gpu to 0"
        )
    return device
