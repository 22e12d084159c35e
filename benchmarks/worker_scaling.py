"""What a second worker brings: images a second of 2 processes over gloo against 1, each with one thread; and the bytes
that a step all-reduces, counted at `torch.distributed.all_reduce`, against the least, the gradients of what it moves.

The batch is the sum over workers: its losses are those of one worker, whatever their number.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import torch
import torch.distributed
import torch.multiprocessing

from benchmarks.common import header, spread
from genray.config import Experiment
from genray.data.datasets import load
from genray.train.distributed import Distributed
from genray.train.trainer import Trainer, make_trainer

MODELS = ("vae", "gan")


class Found(NamedTuple):
    rates: list[float]  # images a second, an epoch each
    num_bytes: float  # all-reduced a step
    least: int


def least_bytes(trainer: Trainer) -> int:
    """Gradients in float32 of what each phase moves."""
    updates = [name for phase in trainer.model.phases() for name in phase.updates]
    return sum(4 * p.numel() for name in updates for p in trainer.model.get_submodule(name).parameters())


class Counter:
    """In place of `torch.distributed.all_reduce`, which it calls."""

    def __init__(self) -> None:
        self.num_bytes, self._all_reduce = 0, torch.distributed.all_reduce

    def __call__(self, tensor: torch.Tensor) -> None:
        self.num_bytes += tensor.nbytes
        self._all_reduce(tensor)


def work(rank: int, world_size: int, store: str, plain: dict, epochs: int, results: object) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world_size)
    experiment = Experiment.parse(plain)
    place = Distributed(torch.device("cpu"), rank, world_size)
    data = load(experiment.dataset).training_data
    trainer = make_trainer(experiment, data, place)
    least = least_bytes(trainer)
    counter = torch.distributed.all_reduce = Counter()
    trainer.train_epoch()
    first, rates = trainer.step, []
    counted = counter.num_bytes
    for _ in range(epochs):
        torch.distributed.barrier()
        before, started = trainer.step, time.perf_counter()
        trainer.train_epoch()
        rates.append((trainer.step - before) * experiment.batch_size / (time.perf_counter() - started))
    if rank == 0:
        results.put(Found(rates, (counter.num_bytes - counted) / (trainer.step - first), least))
    torch.distributed.destroy_process_group()


def measure(world_size: int, plain: dict, epochs: int) -> Found:
    results = torch.multiprocessing.get_context("spawn").SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        arguments = (world_size, str(Path(folder) / "store"), plain, epochs, results)
        torch.multiprocessing.spawn(work, arguments, nprocs=world_size)
    return results.get()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[128, 512, 2048])
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3, help="counted epochs, after one that is not")
    asked = parser.parse_args()
    load_before = os.getloadavg()[0]
    rows = []
    for name in MODELS:
        for batch_size in asked.batch_sizes:
            plain = {
                "dataset": asked.dataset,
                "batch_size": batch_size,
                "metrics": [],
                "epochs": asked.repeats + 1,
                "model": {"name": name, "hidden": asked.hidden},
            }
            one, two = (measure(n, plain, asked.repeats) for n in (1, 2))
            efficiency = [b / (2 * a) for a, b in zip(one.rates, two.rates, strict=True)]
            cells = (spread(one.rates, 0), spread(two.rates, 0), spread(efficiency))
            rows.append((name, batch_size, *cells, f"{two.num_bytes:,.0f}", f"{two.least:,}"))
    print(header("A second worker", ["torch"]))
    print(
        f"MLPs of {asked.hidden} hidden units on {asked.dataset}, a thread a worker; {asked.repeats} epochs of each, "
        f"median (range); the machine's load was {load_before:.1f} before.\n"
    )
    columns = ("", "batch", "1 worker [images/s]", "2 workers [images/s]", "efficiency", "bytes a step", "least")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |")


if __name__ == "__main__":
    main()
