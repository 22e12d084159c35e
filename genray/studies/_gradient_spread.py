"""How far gradients of the ELBO lie from their mean, measured on a VAE in training: one estimator, many noises."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from genray.config import Experiment
from genray.data import datasets
from genray.images import to_float
from genray.nn.blocks import Network
from genray.nn.elbo import KL_TERMS, ELBOConfig, Posterior, terms_nats
from genray.nn.estimators import ESTIMATORS, FROM_OTHERS, Function
from genray.nn.noise import Noise
from genray.train.distributed import Distributed
from genray.train.trainer import make_trainer

# P parameters of the encoder

NUM_DRAWS = (1, 2, 4, 8, 16, 32)


class Model(Protocol):
    """A VAE, whatever its codes are."""

    encoder: Network

    def posterior(self, images: Tensor) -> Posterior: ...

    def log_likelihood(self, images: Tensor) -> Function: ...

    def elbo_nats(self, images: Tensor, noise: Noise) -> Tensor: ...


class Way(NamedTuple):
    """One way to estimate the gradient of the ELBO."""

    estimator: str
    kl_term: str

    @property
    def least(self) -> int:
        """Draws."""
        return 2 if self.estimator in FROM_OTHERS else 1


_SCORE_FAMILY = {
    "score function": Way("score_function", "sampled"),
    "exact entropy": Way("score_function", "exact_entropy"),
    "control variate": Way("control_variate", "sampled"),
    "leave-one-out": Way("leave_one_out", "sampled"),
    "leave-one-out, exact entropy": Way("leave_one_out", "exact_entropy"),
}
LADDER = {  # what figures show of all ways, and what models are trained with
    "vae": _SCORE_FAMILY | {"reparameterization": Way("reparameterization", "exact")},
    "discrete_vae": _SCORE_FAMILY,
}


def ways(model: str) -> list[Way]:
    """All that this model can be trained with."""
    able = [name for name in ESTIMATORS if model == "vae" or name != "reparameterization"]
    return [Way(estimator, kl_term) for estimator in able for kl_term in KL_TERMS]


def experiment(model: str, *, seed: int, epochs: int, **config: Any) -> Experiment:
    """On the 8 x 8 digits, without averaged weights: the model that trains is the one that is looked at."""
    return Experiment.parse(
        {
            "dataset": "digits",
            "seed": seed,
            "epochs": epochs,
            "batch_size": 64,
            "ema_decay": 0.0,
            "model": {"name": model, **config},
        }
    )


def trained(experiment: Experiment, epochs: Sequence[int]) -> Iterator[tuple[int, Model, float]]:
    """Each of these epochs, in their order (0 is before the first step), the model after it, and the seconds so far."""
    trainer = make_trainer(experiment, datasets.load(experiment.dataset).training_data, Distributed.single())
    for epoch in epochs:
        while trainer.epoch < epoch:
            trainer.train_epoch()
        yield epoch, cast(Model, trainer.model), trainer.train_seconds


def validation_images() -> Tensor:
    return to_float(datasets.load("digits").validation.images, torch.device("cpu"))


def gradient(model: Model, images: Tensor, way: Way, num_draws: int, noise: Noise) -> Tensor:
    """Of −ELBO, averaged over the images, with respect to the encoder's parameters: (P,)."""
    config = ELBOConfig(name="any", estimator=way.estimator, kl_term=way.kl_term, num_draws=num_draws)  # type: ignore[arg-type]  # pydantic checks
    nll_nats, kl_nats = terms_nats(config, model.posterior(images), model.log_likelihood(images), noise)
    loss = (nll_nats + kl_nats).mean()
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.encoder.parameters()))])


class Spread:
    """Gradients of one way with one number of draws, as they come, of which sums are kept."""

    def __init__(self, way: Way, num_draws: int, along: Tensor) -> None:
        self.way, self.num_draws, self._along = way, num_draws, along
        self._sum, self._squares = torch.zeros_like(along, dtype=torch.float64), 0.0
        self._projections: list[float] = []
        self._seconds: list[float] = []

    def add(self, model: Model, images: Tensor, noise: Noise) -> None:
        started = time.perf_counter()
        g = gradient(model, images, self.way, self.num_draws, noise).double()
        self._seconds.append(time.perf_counter() - started)
        self._sum += g
        self._squares += (g @ g).item()
        self._projections.append((g @ self._along.double()).item())

    def result(self) -> dict[str, float | int | str]:
        """Total variance of the gradient (the sum over its components), its mean and standard error along the
        direction, and the milliseconds that one takes: of the fastest, which no other process held up."""
        num = len(self._projections)
        return {
            **self.way._asdict(),
            "num_draws": self.num_draws,
            "variance": (self._squares - (self._sum @ self._sum).item() / num) / (num - 1),
            "projection": statistics.fmean(self._projections),
            "standard_error": statistics.stdev(self._projections) / num**0.5,
            "milliseconds": 1e3 * min(self._seconds),
        }


def measure(model: Model, kind: str, images: Tensor, *, replicates: int, key: str) -> list[dict[str, Any]]:
    """The spread of every way at every number of draws, all in turn: whatever else slows the machine, slows all."""
    precise = Way("reparameterization" if kind == "vae" else "leave_one_out", "exact")
    along = F.normalize(gradient(model, images, precise, 256, Noise(key, "direction")), dim=0)
    spreads = [Spread(way, n, along) for way in ways(kind) for n in NUM_DRAWS if n >= way.least]
    for replicate in range(replicates):
        for spread in spreads:
            spread.add(model, images, Noise(key, *spread.way, spread.num_draws, replicate))
    return [spread.result() for spread in spreads]
