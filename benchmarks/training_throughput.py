"""Images a second while training a VAE on MNIST: genray's loop against pythae's trainer, in turns in one process.

Both train the same networks (genray's MLP, two hidden layers each way), with the same batch, optimizer (Adam), number
of threads and Bernoulli likelihood, on the same 55,000 images. An epoch of one, an epoch of the other, and so on.
genray's side includes its averaged weights, progress and finite checks; neither side evaluates or saves.
"""

import argparse
import tempfile
import time
from collections.abc import Callable

import numpy as np
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig

from benchmarks.common import header, spread
from genray.config import Experiment
from genray.data.datasets import load
from genray.data.spec import Dataset
from genray.nn.blocks import Network
from genray.train.distributed import Distributed
from genray.train.trainer import Trainer, make_trainer

LATENT = 20


def ours(data: Dataset, hidden: int, batch_size: int) -> Trainer:
    model = {"name": "vae", "hidden": hidden, "latent": LATENT}
    experiment = Experiment.parse({"dataset": "mnist", "batch_size": batch_size, "metrics": [], "model": model})
    return make_trainer(experiment, data.training_data, Distributed.single())


class Encoder(BaseEncoder):
    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> ModelOutput:
        mu, logvar = self.network(x).chunk(2, dim=1)
        return ModelOutput(embedding=mu, log_covariance=logvar)


class Decoder(BaseDecoder):
    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, z: torch.Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=torch.sigmoid(self.network(z)))


def theirs(data: Dataset, hidden: int, batch_size: int, folder: str, *, no_cuda: bool = True) -> BaseTrainer:
    twin = ours(data, hidden, batch_size).model
    config = VAEConfig(input_dim=data.spec.shape, latent_dim=LATENT, reconstruction_loss="bce")
    images = torch.from_numpy(data.train.images.astype(np.float32) / 255)
    trainer = BaseTrainer(
        VAE(config, encoder=Encoder(twin.encoder), decoder=Decoder(twin.decoder)),
        train_dataset=BaseDataset(images, torch.zeros(len(images))),
        training_config=BaseTrainerConfig(
            output_dir=folder, per_device_train_batch_size=batch_size, learning_rate=1e-3, no_cuda=no_cuda
        ),
    )
    trainer.prepare_training()
    trainer.callback_handler.callbacks.clear()  # its progress bar costs time, and ours would be off too
    return trainer


def seconds(epoch: Callable[[], object]) -> float:
    started = time.perf_counter()
    epoch()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="counted epochs of each, after one that is not")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=128)
    asked = parser.parse_args()
    data = load("mnist")
    print(header("Training throughput: VAE (MLP) on MNIST", ["torch", "pythae"]))
    print(
        f"Hidden {asked.hidden}, latent {LATENT}, batch {asked.batch_size}; {asked.repeats} epochs of each in turns.\n"
    )
    print("| threads | genray [images/s] | pythae [images/s] | ratio, epoch by epoch: median (range) |")
    print("|---|---|---|---|")
    for threads in asked.threads:
        torch.set_num_threads(threads)
        with tempfile.TemporaryDirectory() as folder:
            mine, other = (
                ours(data, asked.hidden, asked.batch_size),
                theirs(data, asked.hidden, asked.batch_size, folder),
            )
            pairs = [
                (seconds(mine.train_epoch), seconds(lambda epoch=epoch: other.train_step(epoch)))  # noqa: B023
                for epoch in range(asked.repeats + 1)
            ][1:]
        rates = [[len(data.train) / t for t in side] for side in zip(*pairs, strict=True)]
        ratios = [b / a for a, b in pairs]
        print(f"| {threads} | {spread(rates[0], 0)} | {spread(rates[1], 0)} | {spread(ratios)} |")


if __name__ == "__main__":
    main()
