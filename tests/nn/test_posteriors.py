"""Posteriors against torch's distributions, and their draws against what they say of themselves."""

import pytest
import torch
from torch import distributions

from genray.nn.noise import Noise
from genray.nn.posteriors import Bernoulli, DiagonalGaussian, draw, fair_bits

NUM = 40_000

generator = torch.Generator().manual_seed(0)
MU, LOGVAR, LOGITS = (torch.randn(3, 5, generator=generator) for _ in range(3))
GAUSSIAN, BITS = DiagonalGaussian(MU, LOGVAR), Bernoulli(LOGITS)

PAIRS = {
    "gaussian": (
        GAUSSIAN,
        distributions.Independent(distributions.Normal(MU, (0.5 * LOGVAR).exp()), 1),
        distributions.Independent(distributions.Normal(torch.zeros(3, 5), 1.0), 1),
    ),
    "bernoulli": (
        BITS,
        distributions.Independent(distributions.Bernoulli(logits=LOGITS), 1),
        distributions.Independent(distributions.Bernoulli(probs=torch.full((3, 5), 0.5)), 1),
    ),
}
every_pair = pytest.mark.parametrize(("q", "reference", "prior"), PAIRS.values(), ids=PAIRS)


@every_pair
def test_densities_are_torchs(q, reference, prior) -> None:
    z = reference.sample((4,))
    torch.testing.assert_close(q.log_prob(z), reference.log_prob(z))
    torch.testing.assert_close(q.prior_log_prob(z), prior.log_prob(z))
    torch.testing.assert_close(q.entropy(), reference.entropy())
    torch.testing.assert_close(q.kl_nats(), distributions.kl_divergence(reference, prior))


@every_pair
def test_draws_have_the_moments_of_their_density(q, reference, prior) -> None:
    z = draw(q, NUM, Noise("draws"))
    assert z.shape == (NUM, 3, 5)
    torch.testing.assert_close(z.mean(0), reference.mean, atol=0.06, rtol=0)
    torch.testing.assert_close(z.var(0), reference.variance, atol=0.03, rtol=0.05)


@every_pair
def test_ranks_share_the_draws_of_one(q, reference, prior) -> None:
    whole = draw(DiagonalGaussian(MU[:2], LOGVAR[:2]) if isinstance(q, DiagonalGaussian) else Bernoulli(LOGITS[:2]), 4,
                 Noise(0))  # fmt: skip
    parts = []
    for rank in range(2):
        one = slice(rank, rank + 1)
        mine = DiagonalGaussian(MU[one], LOGVAR[one]) if isinstance(q, DiagonalGaussian) else Bernoulli(LOGITS[one])
        parts.append(draw(mine, 4, Noise(0, rank=rank, world_size=2)))
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)


def test_prior_bits_are_fair() -> None:
    bits = fair_bits(NUM, 3, Noise("coins"))
    assert bits.unique().tolist() == [0.0, 1.0]
    torch.testing.assert_close(bits.mean(0), torch.full((3,), 0.5), atol=0.01, rtol=0)
