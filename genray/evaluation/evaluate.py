"""A finished run, scored on the test split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from genray import metrics
from genray.data.spec import Dataset
from genray.device import describe, pick_device
from genray.errors import UserError
from genray.evaluation.attempt import Failures, left_out
from genray.evaluation.judge import Judge
from genray.files import sealed, write_json
from genray.images import grid, save_png
from genray.pictures import catalogue, projector
from genray.provenance import commit, versions
from genray.runs import Run, load
from genray.samplers import make_sampler, samplers_of


def evaluate_run(
    run: Run,
    judge: Judge,
    floor: Mapping[str, Any],
    dataset: Dataset,
    *,
    split: str = "test",
    device: torch.device | str | None = None,
    sampled_from: Sequence[str] = (),
) -> dict[str, Any]:
    """Scores a run's averaged weights by a judge over the test split, and returns what it writes to result.json: scores
    of the first sampler of `sampled_from` that the model has, and under `also` those of the others. Where none are
    named, they are the experiment's.

    Draws real.png and the pictures that the model has, and writes its codes for TensorBoard's projector. `device` is by
    default the one that the run's resources ask for. result.json counts in `test_reads` how often the test split was
    scored.
    """
    experiment, history = run.experiment, run.history
    device = device or pick_device(experiment.resources.gpu)
    model = load(run.path, device=str(device))
    names = samplers_of(tuple(sampled_from) or experiment.sampled_from, model, experiment.model.name)
    samplers = [make_sampler(name, model, dataset.train, seed=experiment.seed, device=device) for name in names]
    failures: list[Failures] = [{} for _ in names]
    scores = [
        judge.score(model, seed=experiment.seed, device=device, sampler=sampler, failed=failed)
        for sampler, failed in zip(samplers, failures, strict=True)
    ]
    given = set[str]().union(*scores, *failures)
    others = zip(names[1:], scores[1:], failures[1:], strict=True)
    content = {
        "experiment": experiment.plain(),
        "dataset": experiment.dataset,
        "fingerprint": dataset.fingerprint,
        "split": split,
        "sampled_from": names[0],
        "samples_given": model.samples_given,
        "num_samples": judge.num_samples,
        "metrics": scores[0],
        "metric_versions": {name: score.version for name, score in metrics.scores().items() if name in scores[0]},
        "failed": failures[0],
        "left_out": left_out(experiment, given, judge.split, names),
        "also": [{"sampled_from": name, "metrics": values, "failed": failed} for name, values, failed in others],
        "validation_sampled_from": samplers_of(experiment.sampled_from, model, experiment.model.name)[0],
        "floor": dict(floor),
        "extractor": {"name": judge.extractor.name, "hash": judge.extractor.hash, "recipe": judge.extractor.recipe},
        "classifier": {"name": judge.extractor.classifier.name, "hash": judge.extractor.classifier.hash},
        "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "train_seconds": history[-1]["train_seconds"] if history else 0.0,
        "test_reads": _test_reads(run) + 1,
        "seed": experiment.seed,
        "device": describe(device),
        "versions": versions(),
        "commit": commit(),
    }
    _draw_pictures(run, [catalogue.Shown(model, judge.split, device, s, judge.known(dataset.train)) for s in samplers])
    projector.write(run, model, judge.split, device)
    result = sealed(content)
    write_json(run.result_path, result)
    return result


def _test_reads(run: Run) -> int:
    """So far. A result.json that cannot be read tells of one."""
    try:
        reads = (run.result or {}).get("test_reads", 0)
    except UserError:
        return 1
    return reads if isinstance(reads, int) else 1


def _draw_pictures(run: Run, each: Sequence[catalogue.Shown]) -> None:
    """Of the model and its first sampler; samples of the others, and real images, beside them."""
    first, *others = each
    drawn = catalogue.draw_all(first) | {f"samples_{shown.sampler.name}": catalogue.samples(shown) for shown in others}
    for name, picture in (drawn | {"real": grid(first.split.some(catalogue.NUM_SHOWN).images)}).items():
        save_png(run.picture_path(name), picture)
