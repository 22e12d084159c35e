"""Joint VAE (JMVAE-kl, Suzuki et al. 2016): p(x₁, x₂) of two views of an image, and each view drawn from the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Self, cast

import torch
from pydantic import NonNegativeFloat, PositiveFloat, model_validator
from torch import Tensor, nn

from genray.data.spec import DataSpec
from genray.models.base import Batch, GenerativeModel, Loss, Phase, Progress
from genray.nn.blocks import Network
from genray.nn.elbo import log_likelihood_of
from genray.nn.likelihoods import Likelihood
from genray.nn.noise import Noise
from genray.nn.pairs import PAIRINGS, Pair, binarize, halves, one_hot
from genray.nn.posteriors import DiagonalGaussian
from genray.nn.views import Encoder, ImageView, LabelView
from genray.nn.warmup import Warmup
from genray.settings import ModelConfig, OptimizerConfig

# B images, C channels, H height, W width, Z latent dimensions, k draws of z for each image

DRAWS_AT_A_TIME = 50  # of z for each image, where there are many: memory does not grow with their number


class JointVAEConfig(ModelConfig):
    name: Literal["joint_vae"] = "joint_vae"
    # (x₁, x₂): label and image, upper and lower half, image and its copy after a quarter turn or in another colour
    views: Literal["image_label", "halves", "rotated", "recoloured"] = "image_label"
    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli"  # of pixels
    sigma: PositiveFloat | Literal["learned"] = "learned"  # of the Gaussian likelihood, for pixels in [0, 1]
    binarized: bool = False  # pixels drawn 0 or 1 with their grey value as probability, anew at each step
    alpha: PositiveFloat = 0.1  # weight of what brings the one-view encoders to the joint one
    kl_weight: NonNegativeFloat = 1.0
    kl_warmup_epochs: NonNegativeFloat = 0.0  # the KL weight grows from 0 to kl_weight over these

    @model_validator(mode="after")
    def _check_binarized(self) -> Self:
        if self.binarized and self.likelihood == "gaussian":
            raise ValueError(
                f"binarized pixels are 0 or 1, got likelihood={self.likelihood!r}; set likelihood to bernoulli"
            )
        if self.binarized and self.views == "recoloured":
            raise ValueError(f"binarized pixels have no other colour, got views={self.views!r}; set binarized to false")
        return self


class Model(GenerativeModel):
    """p(x₁, x₂, z) = p(z) p(x₁|z) p(x₂|z). What x₁ says of x₂ goes through z: p(x₂|x₁) = ∫ p(x₂|z) p(z|x₁) dz, with
    q(z|x₁) in the place of p(z|x₁). Views are counted from 0 in code: x₁ is `pair[0]`.
    """

    Config = JointVAEConfig

    def __init__(self, config: JointVAEConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.config = config
        self.pairing = PAIRINGS[config.views](spec)
        self.takes_labels, self.completes = config.views == "image_label", config.views == "halves"
        self.each_shows_class = not self.completes
        self._views = [ImageView(s) if isinstance(s, DataSpec) else LabelView(s) for s in self.pairing.specs]
        self.joint_encoder = Encoder(config, *self._views)
        self.encoders = nn.ModuleList(Encoder(config, view) for view in self._views)
        self.decoders = nn.ModuleList(view.writer(config) for view in self._views)
        self.likelihoods = nn.ModuleList(view.likelihood(config.likelihood, config.sigma) for view in self._views)
        self.kl_weight = Warmup(config.kl_weight, config.kl_warmup_epochs)

    def phases(self) -> Sequence[Phase]:
        return (Phase("elbo", ("joint_encoder", "encoders", "decoders", "likelihoods"), self.loss, OPTIMIZER),)

    def loss(self, batch: Batch, noise: Noise) -> Loss:
        """−E_q[ln p(x₁|z) + ln p(x₂|z)] + weight · KL(q ‖ p(z)) + α Σᵢ KL(q ‖ q(z|xᵢ)), q = q(z|x₁, x₂); eq. 5."""
        pair = self.pair(batch, noise)
        q = self.joint_encoder(*pair, noise=noise)
        z = q.rsample(1, noise)
        nll_nats = [-self._log_likelihood(i, pair[i], z, noise)[0].mean() for i in range(2)]
        kl_nats = q.kl_nats().mean()
        alone = [self._alone(i, pair[i], noise) for i in range(2)]
        apart_nats = (q.kl_to_nats(alone[0]) + q.kl_to_nats(alone[1])).mean()
        total = nll_nats[0] + nll_nats[1] + self.kl_weight.value * kl_nats + self.config.alpha * apart_nats
        terms = {"nll_1_nats": nll_nats[0], "nll_2_nats": nll_nats[1], "kl_nats": kl_nats, "apart_nats": apart_nats}
        return Loss(total, {name: term.detach() for name, term in terms.items()})

    def pair(self, batch: Batch, noise: Noise) -> Pair:
        """Both views of each image, binarized where the configuration says so."""
        return self.pairing.views(batch | {"image": self._seen(batch["image"], noise)}, noise)

    def _seen(self, images: Tensor, noise: Noise) -> Tensor:
        return binarize(images, noise) if self.config.binarized else images

    def _alone(self, view: int, x: Tensor, noise: Noise | None = None) -> DiagonalGaussian:
        """q(z|xᵢ). Without noise there is no dropout."""
        return cast("Encoder", self.encoders[view])(x, noise=noise)

    def _log_likelihood(self, view: int, x: Tensor, z: Tensor, noise: Noise | None = None) -> Tensor:
        """ln p(xᵢ|z) (k, B) of draws z (k, B, Z)."""
        decoder, likelihood = cast("Network", self.decoders[view]), cast("Likelihood", self.likelihoods[view])
        return log_likelihood_of(x, decoder, likelihood, noise)(z)

    def joint_elbo_nats(self, batch: Batch, noise: Noise) -> Tensor:
        """Lower bound (B,) on ln p(x₁, x₂) [nats]."""
        return self._bound_nats(self.pair(batch, noise), noise)

    def _bound_nats(self, pair: Pair, noise: Noise) -> Tensor:
        q = self.joint_encoder(*pair)
        z = q.rsample(1, noise)
        return self._log_likelihood(0, pair[0], z)[0] + self._log_likelihood(1, pair[1], z)[0] - q.kl_nats()

    def conditional_elbo_nats(self, batch: Batch, noise: Noise, given: int = 0) -> Tensor:
        """Lower bound (B,) on ln ∫ p(x₂|z) q(z|x₁) dz, the density that x₂ is drawn from where x₁ is given [nats].

        E_q[ln p(x₂|z)] − KL(q ‖ q(z|x₁)), q = q(z|x₁, x₂). With `given` 1, of x₁ where x₂ is given.
        """
        pair = self.pair(batch, noise)
        q, made = self.joint_encoder(*pair), 1 - given
        z = q.rsample(1, noise)
        return self._log_likelihood(made, pair[made], z)[0] - q.kl_to_nats(self._alone(given, pair[given]))

    def log_likelihoods_nats(self, batch: Batch, noise: Noise, num_draws: int) -> tuple[Tensor, Tensor]:
        """ln p(x₁, x₂) and ln p(x) of the image alone, each (B,) [nats], by importance weights of k draws of
        q(z|x₁, x₂): lower bounds in the mean, tighter with each draw (Burda et al. 2016).
        """
        pair = self.pair(batch, noise)
        q = self.joint_encoder(*pair)
        logs: tuple[list[Tensor], list[Tensor]] = ([], [])
        for start in range(0, num_draws, DRAWS_AT_A_TIME):
            z = q.rsample(min(DRAWS_AT_A_TIME, num_draws - start), noise)
            ratio = q.prior_log_prob(z) - q.log_prob(z)
            each = [self._log_likelihood(i, pair[i], z) for i in range(2)]
            image = each[0] + each[1] if self.pairing.image_view is None else each[self.pairing.image_view]
            for log, total in zip(logs, (each[0] + each[1], image), strict=True):
                log.append((ratio + total).logsumexp(0))
        joint, alone = (torch.stack(log).logsumexp(0) - math.log(num_draws) for log in logs)
        return joint, alone

    def elbo_nats(self, images: Tensor, noise: Noise) -> Tensor:
        """Lower bound (B,) on ln p(x) of the image alone, by its own encoder; by the joint one where both views
        together are the image [nats]."""
        images, view = self._seen(images, noise), self.pairing.image_view
        if view is None:
            return self._bound_nats(halves(images), noise)
        q = self._alone(view, images)
        return self._log_likelihood(view, images, q.rsample(1, noise))[0] - q.kl_nats()

    def cross(self, x: Tensor, noise: Noise, *, given: int) -> Tensor:
        """The mean (B, ...) of p(x₂|z), z drawn from q(z|x₁), of x₁ (B, ...); with `given` 1, of x₁ from x₂."""
        return self._mean(1 - given, self._alone(given, x).rsample(1, noise)[0])

    def draw_pair(self, n: int, noise: Noise) -> Pair:
        """Means of p(x₁|z) and p(x₂|z), z drawn from the prior."""
        z = noise.normal(n, self.config.latent)
        return self._mean(0, z), self._mean(1, z)

    def judged(self, pair: Pair) -> Pair:
        return self.pairing.judged(pair)

    def _mean(self, view: int, z: Tensor) -> Tensor:
        return self._views[view].mean(cast("Network", self.decoders[view])(z))

    def encode(self, images: Tensor) -> Tensor:
        """Means of q(z|x) of the image alone; of the joint posterior where both views together are the image."""
        if self.pairing.image_view is None:
            return self.joint_encoder(*halves(images)).mu
        return self._alone(self.pairing.image_view, images).mu

    def decode(self, codes: Tensor) -> Tensor:
        if self.pairing.image_view is None:
            return torch.cat([self._mean(0, codes), self._mean(1, codes)], dim=2)
        return self._mean(self.pairing.image_view, codes)

    def reconstruct(self, images: Tensor) -> Tensor:
        return self.decode(self.encode(images))

    def sample(self, n: int, noise: Noise, *, label: Tensor | None = None) -> Tensor:
        """Means of p(x|z), z drawn from the prior, or from q(z|label) where labels (n,) are given."""
        if label is None:
            return self.decode(noise.normal(n, self.config.latent))
        return self.cross(one_hot(label, self.spec.num_classes), noise, given=0)

    def masks(self, n: int, noise: Noise) -> Tensor:
        """bool (n, 1, H, W): the upper half is given of some images, the lower of others."""
        rows = torch.arange(self.spec.height, device=noise.device)[None, None, :, None]
        upper = rows < self.spec.height // 2
        gives_upper = noise.uniform(n, 1, 1, 1) < 0.5
        return (upper == gives_upper).expand(n, 1, -1, self.spec.width)

    def complete(self, images: Tensor, masks: Tensor, noise: Noise) -> Tensor:
        """The given half as it is, the other one made of it."""
        upper, lower = halves(images)
        made = [self.cross(lower, noise, given=1), self.cross(upper, noise, given=0)]
        return torch.where(masks, images, torch.cat(made, dim=2))

    def set_progress(self, progress: Progress) -> None:
        self.kl_weight.at(progress.epoch)

    def branch(self) -> tuple[()]:
        return ()


OPTIMIZER = OptimizerConfig(learning_rate=2e-3)
