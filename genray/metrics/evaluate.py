"""Scoring: a model's samples against a split of real images, by every metric that was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from genray import metrics, pictures, projector
from genray.data.spec import Dataset, Split
from genray.errors import Fault, UserError
from genray.files import sealed, write_json
from genray.images import grid, save_png, to_uint8
from genray.metrics.attempt import SAMPLES, Failures, compute_each, fail, left_out
from genray.metrics.base import CHUNK, Context, Extractor, FeatureSet, require_finite, require_images, some_of
from genray.models.base import GenerativeModel
from genray.neighbours import Known
from genray.nn.noise import Noise
from genray.provenance import commit, versions
from genray.runs import Run, load
from genray.samplers import PRIOR, Draw, Sampler, make_sampler, samplers_of
from genray.train.distributed import pick_device

# N images, C channels, H height, W width

MAX_SAMPLES = 10_000
MAX_TUNING = 1_000  # images on which a metric chooses what it has to choose


@dataclass(frozen=True)
class Judge:
    """All that scoring needs besides the model. It can be pickled, and shared between processes without a copy."""

    extractor: Extractor
    split: Split
    real: FeatureSet  # of `split`
    metrics: tuple[str, ...]
    num_samples: int
    train: FeatureSet | None = None  # of the training split, where a metric looks at it
    tuning: Split | None = None  # other real images than `split`, on which a metric may choose what it has to choose

    def score(
        self,
        model: GenerativeModel,
        *,
        seed: int,
        device: torch.device | str = "cpu",
        sampler: Sampler | None = None,  # None: the prior
        failed: Failures | None = None,
    ) -> dict[str, float]:
        """Every metric's values, {"frechet": …, "precision": …}, of `num_samples` samples that depend on `seed` alone.

        A metric that the model lacks the means for is left out, and so are those of the model itself where the samples
        are not from its prior. The reason of one that fails goes into `failed`, and is raised without it. Where a
        sample is not finite, all that judge samples fail, and `failed` has it under SAMPLES too.
        """
        sampler = sampler or Sampler(PRIOR, model.sample)
        wanted = [name for name in self.metrics if sampler.name == PRIOR or metrics.judges_samples(name)]
        with evaluating(model):
            try:
                images = np.concatenate(list(draw(sampler.draw, self.num_samples, seed=seed, device=device)))
            except Fault as fault:
                if failed is None:
                    raise
                failed[SAMPLES] = str(fault)
                for name in filter(metrics.judges_samples, wanted):
                    fail(name, fault, failed)
                wanted = [name for name in wanted if not metrics.judges_samples(name)]
                images = np.zeros((self.num_samples, *self.split.images.shape[1:]), np.uint8)  # that no metric judges
            samples = Split(images)
            return self.compare(samples, wanted, model=model, seed=seed, device=device, failed=failed)

    def compare(
        self,
        samples: Split,
        wanted: Sequence[str] | None = None,
        *,
        model: GenerativeModel | None = None,
        seed: int,
        device: torch.device | str = "cpu",
        failed: Failures | None = None,
        fake: FeatureSet | None = None,
    ) -> dict[str, float]:
        """The values for given images, samples or real ones that stand in for them, by the metrics `wanted`. `fake` are
        their features, where those are known."""
        check_sizes(self.metrics, num_real=len(self.real), num_samples=len(samples))
        if fake is None:
            fake = self.extractor.features(samples.images, device)
        given = (self.extractor.classifier, samples, self.train, self.tuning)
        context = Context(self.real, fake, self.split, model, seed, torch.device(device), *given)
        return compute_each(self.metrics if wanted is None else wanted, context, failed)

    def known(self, train: Split) -> Known | None:
        """Where neighbours of samples are looked for, if the judge has features of the training split."""
        return None if self.train is None else Known(self.extractor, train, self.train, self.split, self.real)


def make_judge(
    extractor: Extractor,
    split: Split,
    metric_names: tuple[str, ...],
    num_samples: int | None = None,
    *,
    train: FeatureSet | None = None,
    tuning: Split | None = None,
) -> Judge:
    """A judge over a split. `num_samples` is by default the number of images of the split, 10,000 at most; `train` is
    what `training_features` gives; `tuning` are images that are not in the split, of which 1,000 at most are kept.

    Raises UserError for a metric that is not there, or that so few images do not allow.
    """
    count = count_samples(metric_names, split, num_samples)
    few = None if tuning is None else some_of(tuning, MAX_TUNING)
    return Judge(extractor, split, extractor.features(split.images), tuple(metric_names), count, train, few)


def count_samples(metric_names: Sequence[str], split: Split, num_samples: int | None) -> int:
    """How many samples are compared with a split. Raises UserError where a metric needs more images of either."""
    count = num_samples or min(len(split), MAX_SAMPLES)
    check_sizes(metric_names, num_real=len(split), num_samples=count)
    return count


def training_features(extractor: Extractor, train: Split, metric_names: Sequence[str]) -> FeatureSet | None:
    """Of the training split, if one of the metrics looks at it: computed once, for all judges of a sweep."""
    return extractor.features(train.images) if metrics.look_at_training(metric_names) else None


def check_sizes(metric_names: Sequence[str], *, num_real: int, num_samples: int) -> None:
    """Refuses fewer images than a metric needs."""
    for name in metric_names:
        require_images(name, metrics.load(name).MIN_IMAGES, num_real=num_real, num_samples=num_samples)


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
        "device": _describe(device),
        "versions": versions(),
        "commit": commit(),
    }
    _draw_pictures(run, [pictures.Shown(model, judge.split, device, s, judge.known(dataset.train)) for s in samplers])
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


def _draw_pictures(run: Run, each: Sequence[pictures.Shown]) -> None:
    """Of the model and its first sampler; samples of the others, and real images, beside them."""
    first, *others = each
    drawn = pictures.draw_all(first) | {f"samples_{shown.sampler.name}": pictures.samples(shown) for shown in others}
    for name, picture in (drawn | {"real": grid(pictures.spread(first.split.images))}).items():
        save_png(run.picture_path(name), picture)


def _describe(device: torch.device | str) -> str:
    """`cpu`, or the name of the GPU."""
    device = torch.device(device)
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def draw(
    sample: Draw, num_samples: int, *, seed: int, device: torch.device | str = "cpu"
) -> Iterator[NDArray[np.uint8]]:
    """Samples as uint8 (n, C, H, W), at most 1,000 at a time: the memory needed does not grow with their number.
    Raises Fault where one is not finite."""
    for chunk, start in enumerate(range(0, num_samples, CHUNK)):
        n = min(CHUNK, num_samples - start)
        with torch.no_grad():
            images = sample(n, Noise(seed, "sample", chunk, device=device))
        require_finite(images)
        yield to_uint8(images)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; the module's own mode is put back."""
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        module.train(was_training)
