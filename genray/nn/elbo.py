"""The two terms of −ELBO, −E_q[ln p(x|z)] and KL(q(z|x) ‖ p(z)), with the gradient of any estimator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Self

from pydantic import model_validator
from torch import Tensor

from genray.nn.blocks import Network
from genray.nn.estimators import ESTIMATORS, FROM_OTHERS, Density, Estimator, Function, exact_entropy
from genray.nn.layers import TwoLayerPosterior
from genray.nn.likelihoods import Likelihood
from genray.nn.noise import Noise
from genray.nn.posteriors import Bernoulli, DiagonalGaussian, draw
from genray.settings import ModelConfig, Size

# n draws of z for each image, B images, Z latent dimensions

Posterior = DiagonalGaussian | Bernoulli | TwoLayerPosterior


class ELBOConfig(ModelConfig):
    """How the bound's gradient is estimated. Fields of every model that is trained on it."""

    estimator: Literal["reparameterization", "score_function", "control_variate", "leave_one_out"] = (
        "reparameterization"
    )
    kl_term: Literal["exact", "exact_entropy", "sampled"] = "exact"  # in closed form, its entropy alone, or not at all
    num_draws: Size | None = None  # of z for each image; None: 1 by reparameterization, 4 otherwise

    @property
    def draws(self) -> int:
        return self.num_draws or (1 if self.estimator == "reparameterization" else 4)

    @model_validator(mode="after")
    def _check_draws(self) -> Self:
        if self.estimator in FROM_OTHERS and self.draws < 2:
            raise ValueError(
                f"estimator {self.estimator!r} needs at least 2 draws, got num_draws={self.draws}; raise num_draws"
            )
        return self


def terms_nats(config: ELBOConfig, q: Posterior, log_likelihood: Function, noise: Noise) -> tuple[Tensor, Tensor]:
    """−E_q[ln p(x|z)] and KL(q ‖ p(z)) (B,), unbiased in value and gradient, for ln p(x|z): (n, B, Z) → (n, B)."""
    z, estimator = draw(q, config.draws, noise), ESTIMATORS[config.estimator]
    return -estimator(q, log_likelihood, z), KL_TERMS[config.kl_term](estimator, q, z)


def log_likelihood_of(
    images: Tensor, decoder: Network, likelihood: Likelihood, noise: Noise | None, code: Function = lambda z: z
) -> Function:
    """ln p(x|z), (n, B, Z) → (n, B), for images (B, C, H, W). `code` makes of z what the decoder reads; without noise
    there is no dropout."""

    def f(z: Tensor) -> Tensor:
        n = len(z)
        logits = decoder(code(z).transpose(0, 1).flatten(0, 1), noise)  # the draws of an image side by side
        pixels = images if n == 1 else images.repeat_interleave(n, 0)
        return -likelihood.nll_nats(logits, pixels).view(-1, n).T

    return f


def _exact(estimator: Estimator, q: Posterior, z: Tensor) -> Tensor:
    return q.kl_at_nats(z).mean(0)


def _exact_entropy(estimator: Estimator, q: Posterior, z: Tensor) -> Tensor:
    return -exact_entropy(estimator)(q, q.prior_log_prob, z)


def _sampled(estimator: Estimator, q: Posterior, z: Tensor) -> Tensor:
    return -estimator(q, lambda z: q.prior_log_prob(z) - _log_prob(q, z), z)


def _log_prob(q: Density, z: Tensor) -> Tensor:
    """ln q(z). Where z carries no gradient, ln q's own has mean 0: it would be noise alone, and is left out."""
    log_q = q.log_prob(z)
    return log_q if z.requires_grad else log_q.detach()


KL_TERMS: dict[str, Callable[[Estimator, Posterior, Tensor], Tensor]] = {
    "exact": _exact,
    "exact_entropy": _exact_entropy,
    "sampled": _sampled,
}
