"""Images a second in training, on one processor: genray's loop against the same model trained by a loop written by hand
over a tensor in memory, by that loop over PyTorch-GAN's DataLoader, and by pythae's trainer, in turns in one process.

All train the same layers with the same batches. An epoch of each in turn is one round, and ratios are those of a round;
the first round is not counted. Seconds are the process's own on its processors, so that what else runs on the machine
is not counted; on a machine of its own the clock says the same. genray's side includes its averaged weights, progress
and finite checks; no side evaluates or saves.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from benchmarks import bare_loops, pythae_trainers
from benchmarks.common import MODELS, header, name_of, spread
from genray.config import Experiment
from genray.data.datasets import load
from genray.data.spec import TrainingData
from genray.train.distributed import Distributed
from genray.train.trainer import Trainer, make_trainer

RIVALS = {
    "bare": "the bare loop",
    "fused": "with fused Adam",
    "alone": "its losses and gradients alone",
    "loader": "over a DataLoader",
    "pythae": "pythae",
}
Epoch = Callable[[], object]


def trainer_of(data: TrainingData, model: dict[str, Any], asked: argparse.Namespace) -> Trainer:
    hidden = {} if model["name"] == "progan" else {"hidden": asked.hidden}
    given = {"dataset": "mnist", "epochs": 300, "batch_size": asked.batch_size, "metrics": [], "model": hidden | model}
    return make_trainer(Experiment.parse(given), data, Distributed.single())


def sides(data: TrainingData, model: dict[str, Any], asked: argparse.Namespace, folder: str) -> dict[str, Epoch]:
    """An epoch of each that trains this model, genray's first; each has networks of its own."""

    name, mlp, batch_size = model["name"], "network" not in model, asked.batch_size

    def twin() -> Any:
        return trainer_of(data, model, asked).model

    def step_by(adam: bare_loops.Adam) -> bare_loops.Step:
        return bare_loops.STEPS[name](twin(), adam)

    found: dict[str, Epoch] = {"genray": trainer_of(data, model, asked).train_epoch}
    if name in bare_loops.STEPS:
        images = torch.from_numpy(data.train.images).float() / 127.5 - 1.0
        bare, fused = step_by(bare_loops.adam), step_by(partial(bare_loops.adam, fused=True))
        alone, batch = step_by(bare_loops.Standing), images[:batch_size]
        found["bare"] = lambda: [bare(x) for x in bare_loops.in_memory(images, batch_size)]
        found["fused"] = lambda: [fused(x) for x in bare_loops.in_memory(images, batch_size)]
        found["alone"] = lambda: [alone(batch) for _ in range(asked.steps)]
    if name in bare_loops.STEPS and mlp:
        pictures = bare_loops.loader(len(data.train), batch_size)
        other = step_by(bare_loops.adam)
        found["loader"] = lambda: [other(x) for x, _ in pictures]
    if name in pythae_trainers.TRAINERS and mlp:
        found["pythae"] = pythae_trainers.epoch_of(name, twin(), data.train, batch_size, folder)
    return found


def seconds(epoch: Epoch) -> float:
    started = time.process_time()
    epoch()
    return time.process_time() - started


def rounds(epochs: dict[str, Epoch], repeats: int) -> dict[str, list[float]]:
    """Seconds of each epoch of each."""
    taken = [{name: seconds(epoch) for name, epoch in epochs.items()} for _ in range(repeats + 1)][1:]
    return {name: [times[name] for times in taken] for name in epochs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=[name_of(model) for model in MODELS])
    parser.add_argument("--repeats", type=int, default=11, help="counted rounds, after one that is not")
    parser.add_argument("--steps", type=int, default=100, help="of an epoch")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=128)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    data = load("mnist").training_data
    count = asked.steps * asked.batch_size
    images, labels = data.train.images[:count], data.train.labels
    assert labels is not None
    data = replace(data, train=replace(data.train, images=images, labels=labels[:count]))
    print(header("Training throughput on a CPU", ["torch", "torchvision", "pythae"]))
    print(f"- load of the machine: {os.getloadavg()[0]:.0f} processes\n")
    print(
        f"Hidden {asked.hidden}, batch {asked.batch_size}, threads {asked.threads}, MNIST; {asked.repeats} rounds of "
        f"{asked.steps} steps. Ratios are genray's images a second over the other's: median (range).\n"
    )
    print(f"| model | genray [images/s] | {' | '.join(RIVALS.values())} |\n|---|---|{'---|' * len(RIVALS)}", flush=True)
    for model in (model for model in MODELS if name_of(model) in asked.models):
        with tempfile.TemporaryDirectory() as folder:
            taken = rounds(sides(data, model, asked, folder), asked.repeats)
        ratios = {
            rival: spread([theirs / ours for theirs, ours in zip(times, taken["genray"], strict=True)])
            for rival, times in taken.items()
        }
        rate = count / statistics.median(taken["genray"])
        print(f"| {name_of(model)} | {rate:.0f} | {' | '.join(ratios.get(r, '') for r in RIVALS)} |", flush=True)


if __name__ == "__main__":
    main()
