"""The network whose features the metrics look at, and how it is trained."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genray.data.spec import DataSpec

# N images, B images of a batch, C channels, H height, W width, D feature dimensions, K classes

NUM_FEATURES = 32  # few enough for a covariance of the digits' 270 validation images
WIDTHS = (16, 32, 64, 64, 64, 64, 64, 64)  # channels of each level
NUM_ROTATIONS = 4
BATCH_SIZE = 128
LEARNING_RATE = 5e-3  # at the top of a one-cycle schedule
MIN_STEPS, EPOCHS, MAX_STEPS = 200, 2, 1_000  # 99 % of digits and of MNIST are told apart


class Network(nn.Module):
    """Convolutions that halve the image until it is 4 x 4 or less, a layer of D features, a linear classifier.

    Its last output is for scrambled images. A classifier of digits alone takes noise for digits: uniform noise had a
    Fréchet distance of 14 and a precision of 0.73, and so has 36 and 0.00; images averaged over 3 x 3 pixels have 28.
    """

    def __init__(self, spec: DataSpec, num_classes: int) -> None:
        super().__init__()
        height, width, channels = spec.height, spec.width, spec.channels
        layers: list[nn.Module] = []
        for level, num_filters in enumerate(WIDTHS):
            if level > 1 and max(height, width) <= 4:
                break
            stride = 1 if level == 0 and max(height, width) < 16 else 2
            layers += [
                nn.Conv2d(channels, num_filters, 3, stride, 1, bias=False),
                nn.BatchNorm2d(num_filters),
                nn.ReLU(),
            ]
            height, width, channels = -(-height // stride), -(-width // stride), num_filters
        self.trunk = nn.Sequential(*layers, nn.Flatten())
        self.embed = nn.Linear(channels * height * width, NUM_FEATURES)
        self.classify = nn.Linear(NUM_FEATURES, num_classes + 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images uint8 (B, C, H, W) → features (B, D) and logits (B, K + 1)."""
        features: Tensor = self.embed(self.trunk(images.float().div(127.5).sub(1)))
        return features, self.classify(F.silu(features))


def train(network: Network, images: Tensor, labels: Tensor | None, generator: torch.Generator) -> None:
    """Learns the labels (N,) of images uint8 (N, C, H, W), or by how many quarter turns an image was rotated, and to
    tell a scrambled image from the others."""
    num_steps = min(max(MIN_STEPS, EPOCHS * -(-len(images) // BATCH_SIZE)), MAX_STEPS)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=num_steps)
    network.train()
    for index in _batches(len(images), num_steps, generator):
        batch, target = (images[index], labels[index]) if labels is not None else rotated(images[index], generator)
        fakes = scrambled(batch[: -(-len(batch) // 4)], generator)
        fake_target = torch.full((len(fakes),), network.classify.out_features - 1)
        optimizer.zero_grad()
        logits = network(torch.cat([batch, fakes]))[1]
        torch.autograd.backward(F.cross_entropy(logits, torch.cat([target, fake_target])))
        optimizer.step()
        schedule.step()
    network.eval()


def scrambled(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images (B, C, H, W), each with its pixels in an order of its own."""
    order = torch.rand(len(images), 1, images[0, 0].numel(), generator=generator).argsort(2)
    return images.flatten(2).gather(2, order.expand(-1, images.shape[1], -1)).view_as(images)


def rotated(images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Square images (B, C, H, H), each turned by 0 to 3 quarters, and how many (B,). Gidaris et al. 2018."""
    turns = torch.randint(NUM_ROTATIONS, (len(images),), generator=generator)
    result = images.clone()
    for quarters in range(1, NUM_ROTATIONS):
        result[turns == quarters] = torch.rot90(images[turns == quarters], quarters, (2, 3))
    return result, turns


def _batches(n: int, num_steps: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Indices of `num_steps` batches, epoch after epoch, without the rest that does not fill a batch."""
    size = min(BATCH_SIZE, n)
    per_epoch = n // size
    for step in range(num_steps):
        if step % per_epoch == 0:
            order = torch.randperm(n, generator=generator)
        yield order[step % per_epoch * size :][:size]
