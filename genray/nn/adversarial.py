"""What a discriminator and a generator play for: four pairs of losses, and penalties on the discriminator's slope.

Logits and scores are (B, 1); every function here gives a scalar, averaged over the batch.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from genray.nn.losses import called_fake_nats, called_real_nats
from genray.nn.noise import Noise

# B images of the batch, C channels, H height, W width

Name = Literal["nonsaturating", "minimax", "wgan_gp", "hinge"]
LOGISTIC = frozenset({"nonsaturating", "minimax"})  # D = σ(logit), losses in nats


class AdversarialLoss(NamedTuple):
    real: Callable[[Tensor], Tensor]  # what the discriminator pays on real images
    fake: Callable[[Tensor], Tensor]  # what it pays on generated ones
    generated: Callable[[Tensor], Tensor]  # what the generator pays on its own


def adversarial_loss(name: Name, label_smoothing: float = 0.0) -> AdversarialLoss:
    """`label_smoothing` is of the discriminator on real images, for the logistic losses."""
    loss = _LOSSES[name]
    return loss._replace(real=partial(called_real_nats, label_smoothing=label_smoothing)) if label_smoothing else loss


def minimax_nats(logits: Tensor) -> Tensor:
    """E[ln(1 − D)], D = σ(logits) [nats]. Goodfellow et al. 2014, eq. 1: flat where the discriminator is sure."""
    return -called_fake_nats(logits)


def called_above(scores: Tensor) -> Tensor:
    """−E[D(x)]: a score should be high. Arjovsky et al. 2017, eq. 2."""
    return -scores.mean()


def called_below(scores: Tensor) -> Tensor:
    """E[D(x)]: a score should be low."""
    return scores.mean()


def hinge_real(scores: Tensor) -> Tensor:
    """E[max(0, 1 − D(x))]. Lim & Ye 2017; Miyato et al. 2018, eq. 16."""
    return F.relu(1.0 - scores).mean()


def hinge_fake(scores: Tensor) -> Tensor:
    """E[max(0, 1 + D(x))]."""
    return F.relu(1.0 + scores).mean()


def r1_penalty(discriminate: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """E‖∇D(x)‖² on real images (B, C, H, W). Mescheder et al. 2018, eq. 9, without its γ/2."""
    return _slopes(discriminate, images).square().sum(1).mean()


def gradient_penalty(discriminate: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, noise: Noise) -> Tensor:
    """E(‖∇D(x̂)‖ − 1)², x̂ between a real and a generated image (B, C, H, W). Gulrajani et al. 2017, eq. 3."""
    between = torch.lerp(fake.to(real.dtype), real, noise.uniform(len(real), 1, 1, 1))
    norms: Tensor = torch.linalg.vector_norm(_slopes(discriminate, between), dim=1)
    return (norms - 1.0).square().mean()


def _slopes(discriminate: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """∇D(x) (B, CHW). Its graph is kept by itself, so that a penalty on it moves the discriminator."""
    slopes: Tensor = torch.func.grad(lambda x: discriminate(x).sum())(images)
    return slopes.flatten(1)


_LOSSES = {
    "nonsaturating": AdversarialLoss(called_real_nats, called_fake_nats, called_real_nats),
    "minimax": AdversarialLoss(called_real_nats, called_fake_nats, minimax_nats),
    "wgan_gp": AdversarialLoss(called_above, called_below, called_above),
    "hinge": AdversarialLoss(hinge_real, hinge_fake, called_above),
}
