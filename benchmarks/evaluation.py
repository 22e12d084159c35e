"""What the evaluation of a finalist takes: drawing its samples, their features, and each metric, with the real images'
features known, as they are in a sweep after its start.

A VAE of one epoch is scored; nothing in the time of a metric depends on how good its samples are. A first evaluation is
not counted: libraries load, and what real images alone decide is computed, once a sweep.
"""

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.common import header, spread
from genray import extractors
from genray.config import Experiment
from genray.data import datasets
from genray.data.spec import Split
from genray.device import pick_device
from genray.evaluation.attempt import compute_each
from genray.evaluation.judge import draw, evaluating, make_judge, training_features
from genray.metrics.base import Context
from genray.train.distributed import Distributed
from genray.train.trainer import make_trainer

METRICS = (
    "frechet", "fd_infinity", "kernel", "prdc", "class_score", "class_entropy", "swd", "ms_ssim", "memorization",
    "elbo", "reconstruction",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    device = pick_device(float(torch.cuda.is_available()))
    dataset = datasets.load(asked.dataset)
    experiment = Experiment.model_validate({"dataset": asked.dataset, "epochs": 1, "model": {"name": "vae"}})
    trainer = make_trainer(experiment, dataset.training_data, Distributed(device))
    trainer.train_epoch()
    model, load = trainer.ema.evaluated(), os.getloadavg()[0]
    extractor = extractors.make(experiment.extractor, dataset.training_data)
    seen = training_features(extractor, dataset.train, METRICS)
    judge = make_judge(extractor, dataset.test, METRICS, asked.samples, train=seen, tuning=dataset.validation)
    seconds: dict[str, list[float]] = defaultdict(list)

    def timed(name: str, work: Callable[..., Any], *given: Any) -> Any:
        began = time.perf_counter()
        result = work(*given)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds[name].append(time.perf_counter() - began)
        return result

    def drawn(seed: int) -> Split:
        return Split(np.concatenate(list(draw(model.sample, asked.samples, seed=seed, device=device))))

    for repeat in range(1 + asked.repeats):
        with evaluating(model):
            samples = timed("drawing samples", drawn, repeat)
            fake = timed("their features", extractor.features, samples.images, device)
            given = (extractor.classifier, samples, seen, judge.tuning)
            context = Context(judge.real, fake, judge.split, model, repeat, device, *given)
            for name in METRICS:
                timed(name, compute_each, [name], context)
    print(header("Evaluation of a finalist", ["torch", "scikit-learn"]))
    print(
        f"{asked.samples:,} samples of a VAE against the {len(dataset.test):,} test images of {asked.dataset}, on "
        f"{device.type} with {torch.get_num_threads()} threads, median (range) of {asked.repeats}; the machine's load "
        f"was {load:.1f} before.\n\n| | seconds |\n|---|---|"
    )
    for name, values in seconds.items():
        print(f"| {name} | {spread(values[1:])} |")
    print(f"| together | {spread([sum(values) for values in zip(*seconds.values(), strict=True)][1:])} |")
    print(f"| together, the first time | {sum(values[0] for values in seconds.values()):.2f} |")


if __name__ == "__main__":
    main()
