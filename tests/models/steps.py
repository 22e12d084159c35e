"""A loop of a few lines, which tests and golden losses share: it must not move when genray's own loop does."""

from __future__ import annotations

import functools
from typing import get_args

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from genray import models
from genray.data.spec import DataSpec
from genray.models.base import Batch, GenerativeModel, Phase, Progress, build
from genray.nn.noise import Noise

DIGITS = DataSpec(channels=1, height=8, width=8, num_classes=10)


def make(name: str, spec: DataSpec = DIGITS, *, seed: int = 0, **config: object) -> GenerativeModel:
    return build(models.load(name).Config.parse({"name": name, **config}), spec, seed)


def networks(name: str) -> tuple[str, ...]:
    """The kinds of networks that a model can be made of."""
    kinds: tuple[str, ...] = get_args(models.load(name).Config.model_fields["network"].annotation)
    return kinds


@functools.cache
def all_digits() -> Batch:
    data = load_digits()
    images = torch.from_numpy(data.images.astype(np.float32))[:, None] / 8 - 1
    return {"image": images, "label": torch.from_numpy(data.target)}


def digit_batch(size: int, *, step: int = 0) -> Batch:
    """Real digits `step * size` to `(step + 1) * size` of scikit-learn's set."""
    return {key: value[step * size : (step + 1) * size] for key, value in all_digits().items()}


def random_batch(spec: DataSpec, size: int) -> Batch:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(size, *spec.shape, generator=generator) * 2 - 1
    return {"image": images, "label": torch.arange(size) % spec.num_classes}


def updated_parameters(model: GenerativeModel, phase: Phase) -> dict[str, Tensor]:
    return {name: p for name, p in model.named_parameters() if name.split(".")[0] in phase.updates}


def only_requires_grad(model: GenerativeModel, phase: Phase) -> None:
    """Every network but the phase's own frozen, as the loop does it."""
    mine = updated_parameters(model, phase)
    for name, p in model.named_parameters():
        p.requires_grad_(name in mine)
        p.grad = None


class Steps:
    """Updates of a model by its own phases and their own optimizers."""

    def __init__(self, model: GenerativeModel) -> None:
        self.model = model
        self._optimizers = {
            phase.name: torch.optim.AdamW(
                updated_parameters(model, phase).values(),
                phase.optimizer.learning_rate,
                phase.optimizer.betas,
                weight_decay=phase.optimizer.weight_decay,
                eps=1e-5,  # 1e-8 turns the rounding of gradients near 0 into whole steps: 8e-4 between two CPUs
            )
            for phase in model.phases()
        }

    def phase(self, phase: Phase, batch: Batch, noise: Noise) -> float:
        """One update; the loss before it."""
        only_requires_grad(self.model, phase)
        loss = phase.loss(batch, noise).total
        loss.backward()
        self._optimizers[phase.name].step()
        return loss.item()

    def all(self, batch: Batch, step: int) -> dict[str, float]:
        """One update by each phase in turn."""
        self.model.set_progress(Progress(step, num_steps=100, steps_per_epoch=10))
        return {phase.name: self.phase(phase, batch, Noise(0, step, phase.name)) for phase in self.model.phases()}
