"""Training steps on a CUDA device: replayed as graphs against run as they are, and against pythae's trainer where it is
installed. Of each model: microseconds a step, whether losses agree, and how much of a step the device is busy."""

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.common import MODELS, header, name_of, spread
from genray.config import Experiment
from genray.data.datasets import load
from genray.data.spec import Dataset
from genray.train import steps
from genray.train.distributed import Distributed
from genray.train.trainer import Trainer, make_trainer

NUM_COMPARED = 100  # steps, of which losses are compared
NUM_PROFILED = 50
NUM_AGAINST = 100  # steps of an epoch beside pythae's


def trainer_of(data: Dataset, model: dict[str, Any], asked: argparse.Namespace) -> Trainer:
    given = {"dataset": "mnist", "epochs": 300, "batch_size": asked.batch_size, "metrics": []}
    hidden = {} if model["name"] == "progan" else {"hidden": asked.hidden}
    experiment = Experiment.parse(given | {"model": hidden | model})
    return make_trainer(experiment, data.training_data, Distributed.single("cuda"))


@contextlib.contextmanager
def as_they_are() -> Iterator[None]:
    """Trainers made here capture nothing."""
    before, steps.graphs_on = steps.graphs_on, lambda place: None
    try:
        yield
    finally:
        steps.graphs_on = before


def losses(trainer: Trainer) -> torch.Tensor:
    """Of all phases and terms, at each of the first steps, with convolutions that give the same each time."""
    with torch.backends.cudnn.flags(deterministic=True):
        for step in range(NUM_COMPARED):
            trainer.train_step(step)
    noted = [torch.stack([values for _, values in runner._losses]) for runner in trainer.phases]
    trainer.end_epoch()
    return torch.cat([values.flatten() for values in noted])


def microseconds(trainer: Trainer, count: int) -> float:
    """Of a step, the device's work waited for at the end."""
    torch.cuda.synchronize()
    started = time.perf_counter()
    for step in range(NUM_COMPARED, NUM_COMPARED + count):
        trainer.train_step(step)
    torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    trainer.end_epoch()
    return seconds / count * 1e6


def profiled(trainer: Trainer) -> tuple[float, float]:
    """Kernels a step, and microseconds of a step in which the device is busy."""
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        for step in range(NUM_PROFILED):
            trainer.train_step(step)
        torch.cuda.synchronize()
    trainer.end_epoch()
    events = [e for e in found.events() if e.device_type == torch.autograd.DeviceType.CUDA]
    busy, end = 0.0, 0.0
    for event in sorted(events, key=lambda e: e.time_range.start):  # kernels of two streams may overlap
        busy += max(0.0, event.time_range.end - max(end, event.time_range.start))
        end = max(end, event.time_range.end)
    return len(events) / NUM_PROFILED, busy / NUM_PROFILED


def against_pythae(data: Dataset, asked: argparse.Namespace) -> Iterator[str]:
    """A row for each model that pythae has: an epoch of ours and of its trainer in turns, on the same device."""
    from benchmarks.pythae_trainers import TRAINERS, epoch_of

    count = NUM_AGAINST * asked.batch_size
    train = replace(data.train, images=data.train.images[:count], labels=data.train.labels[:count])
    data = replace(data, train=train)
    for name in TRAINERS:
        ours, twin = trainer_of(data, {"name": name}, asked), trainer_of(data, {"name": name}, asked).model.cpu()
        theirs = epoch_of(name, twin, train, asked.batch_size, tempfile.mkdtemp(), no_cuda=False)
        turns = [(seconds(ours.train_epoch), seconds(theirs)) for _ in range(1 + asked.repeats)][1:]
        our_rate, their_rate = (statistics.median(count / turn[side] for turn in turns) for side in (0, 1))
        yield f"| {name} | {our_rate:.0f} | {their_rate:.0f} | {spread([b / a for a, b in turns], 1)} |"


def seconds(epoch: Callable[[], object]) -> float:
    """What an epoch takes, the device's work waited for."""
    torch.cuda.synchronize()
    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        epoch()
    torch.cuda.synchronize()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=[name_of(model) for model in MODELS])
    parser.add_argument("--steps", type=int, default=1_000, help="timed steps of each")
    parser.add_argument("--epochs", type=int, default=0, help="whole epochs of VAE, GAN and AAE that are timed too")
    parser.add_argument("--repeats", type=int, default=5, help="counted epochs beside pythae's")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=128)
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        parser.exit(0, "gpu_steps is passed over: it needs a CUDA device, and there is none\n")
    data = load("mnist")
    torch.zeros(1, device="cuda")
    print(header("Training steps on a GPU: replayed graphs", ["torch"]), flush=True)
    print(f"- device: {torch.cuda.get_device_name()}\n- hidden {asked.hidden}, batch {asked.batch_size}, MNIST\n")
    print("| model | as it is [µs] | replayed [µs] | ratio | kernels | busy | busy, replayed | losses differ by |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for model in (model for model in MODELS if name_of(model) in asked.models):
        with as_they_are():
            plain = trainer_of(data, model, asked)
        replayed = trainer_of(data, model, asked)
        expected, found = losses(plain), losses(replayed)
        differ = float(((found - expected).abs() / expected.abs().clamp_min(1e-3)).max())
        times = [microseconds(trainer, asked.steps // share) for trainer, share in ((plain, 4), (replayed, 1))]
        kernels, busy = profiled(replayed)
        _, busy_plain = profiled(plain)
        shares = [f"{100 * b / t:.0f} %" for b, t in zip((busy_plain, busy), times, strict=True)]
        print(
            f"| {name_of(model)} | {times[0]:.0f} | {times[1]:.0f} | {times[0] / times[1]:.1f} | {kernels:.0f} | "
            f"{shares[0]} | {shares[1]} | {differ:.1e} |",
            flush=True,
        )
    if asked.epochs:
        print(f"\n| {asked.epochs} epochs of | seconds |\n|---|---|")
        for name in ("vae", "gan", "aae"):
            trainer = trainer_of(data, {"name": name}, asked)
            started = time.perf_counter()
            for _ in range(asked.epochs):
                trainer.train_epoch()
            print(f"| {name} | {time.perf_counter() - started:.1f} |", flush=True)
    if find_spec("pythae"):
        print(
            f"\n| {NUM_AGAINST} steps of | genray [images/s] | pythae [images/s] | ratio |\n|---|---|---|---|",
            flush=True,
        )
        for row in against_pythae(data, asked):
            print(row, flush=True)


if __name__ == "__main__":
    main()
