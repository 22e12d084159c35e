import math

import pytest
import torch

from genray.nn.likelihoods import Bernoulli, Gaussian, Likelihood, mean_image, unit_interval

PIXELS = torch.linspace(-1, 1, 101)


@pytest.mark.parametrize("sigma", [0.3, 0.05])
def test_gaussian_is_a_density_over_pixels_in_the_unit_interval(sigma: float) -> None:
    """Integrated over one pixel in units of [0, 1], far beyond it, it gives 1."""
    x = torch.linspace(-9, 9, 20_001)  # [-1, 1] is the image's own range
    logits = torch.full((len(x), 1, 1, 1), 0.4)
    nll_nats = Gaussian(sigma).nll_nats(logits, x.view(-1, 1, 1, 1))
    assert torch.trapezoid((-nll_nats).exp(), unit_interval(x)).item() == pytest.approx(1, abs=1e-4)


def test_bernoulli_is_a_probability_over_black_and_white() -> None:
    logits = torch.full((2, 1, 1, 1), -0.7)
    nll_nats = Bernoulli().nll_nats(logits, torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1))
    assert (-nll_nats).exp().sum().item() == pytest.approx(1)


@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(0.2)])
def test_an_image_is_most_likely_under_its_own_mean(likelihood: Likelihood) -> None:
    logits = torch.linspace(-4, 4, 801).view(-1, 1, 1, 1)
    image = torch.full_like(logits, 0.3)
    best = logits[likelihood.nll_nats(logits, image).argmin()]
    assert mean_image(best).item() == pytest.approx(0.3, abs=0.01)


def test_a_learned_sigma_is_a_parameter_and_a_fixed_one_is_none() -> None:
    assert [name for name, _ in Gaussian("learned").named_parameters()] == ["log_sigma"]
    assert not list(Gaussian(0.5).parameters())
    assert Gaussian(0.5).log_sigma.item() == pytest.approx(math.log(0.5))


def test_the_mean_image_is_the_mean_of_the_pixels_mapped_back() -> None:
    logits = torch.linspace(-5, 5, 11)
    torch.testing.assert_close(unit_interval(mean_image(logits)), logits.sigmoid())
    torch.testing.assert_close(2 * unit_interval(PIXELS) - 1, PIXELS)


@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(0.3)])
def test_of_some_pixels_alone_by_cutting_them_out(likelihood: Likelihood) -> None:
    generator = torch.Generator().manual_seed(0)
    logits, images = torch.randn(4, 2, 6, 5, generator=generator), torch.rand(4, 2, 6, 5, generator=generator) * 2 - 1
    where = (torch.arange(6) >= 2)[None, None, :, None].expand(4, 1, 6, 5)
    cut = likelihood.nll_nats(logits[:, :, 2:], images[:, :, 2:])
    torch.testing.assert_close(likelihood.nll_nats(logits, images, where), cut)
