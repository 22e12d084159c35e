"""Annealed importance sampling where the likelihood is known: in closed form, and by quadrature over one code."""

import numpy as np
import pytest
import torch

from genray.nn import annealing
from genray.nn.annealing import annealed_importance, temperatures, transition
from genray.nn.importance import over_images
from genray.nn.noise import Noise
from tests import linear_gaussian
from tests.models.steps import digit_batch
from tests.models.test_vae import quadrature, trained


def test_temperatures_rise_from_0_to_1_slowly_at_both_ends() -> None:
    betas = temperatures(50)
    assert len(betas) == 51
    assert (betas[0], betas[-1]) == (0, 1)
    steps = betas.diff()
    assert (steps > 0).all()
    assert max(steps[0], steps[-1]) < 0.2 * steps.max()
    torch.testing.assert_close(steps, steps.flip(0))


def test_the_estimate_is_the_exact_likelihood_of_a_linear_gaussian_decoder() -> None:
    model, images = linear_gaussian.made(), linear_gaussian.images(40)
    found = annealed_importance(model.log_likelihood(images), (40, 2), Noise(0), num_temperatures=200, num_chains=16)
    exact = linear_gaussian.exact_log_density(images)
    mean, error = over_images([found])
    assert error < 0.02
    assert mean == pytest.approx(exact.mean(), abs=4 * error)
    distances = (found.nats.numpy() - exact) / found.variance.sqrt().numpy()
    assert np.abs(distances).max() < 5
    assert np.square(distances).mean() < 2  # what the chains say of their spread is true


def test_the_estimate_is_the_integral_of_a_trained_vae() -> None:
    model, images = trained(likelihood="gaussian"), digit_batch(6, step=100)["image"]
    found = annealed_importance(model.log_likelihood(images), (6, 1), Noise(1), num_temperatures=300, num_chains=16)
    for i, image in enumerate(images):
        evidence, _ = quadrature(model, image)
        assert found.nats[i].item() == pytest.approx(evidence, abs=4 * found.variance[i].sqrt().item() + 1e-3)


@pytest.mark.parametrize("step", [0.05, 0.3])
def test_a_transition_leaves_the_posterior_as_it_is(step: float) -> None:
    """Chains that start as exact draws of p(z|x)^β keep its mean and covariance, however rough a leapfrog is."""
    model, beta, n = linear_gaussian.made(), torch.tensor(0.7), 20_000
    image = linear_gaussian.images(1)
    precision = torch.eye(2) + beta * linear_gaussian.W.T @ linear_gaussian.W / linear_gaussian.SIGMA**2
    covariance = torch.linalg.inv(precision)
    residual = (image.flatten() - linear_gaussian.BIAS) @ linear_gaussian.W
    mean = covariance @ (beta * residual / linear_gaussian.SIGMA**2)
    draws = mean + Noise(0).normal(n, 1, 2) @ torch.linalg.cholesky(covariance).T
    place = annealing._at(model.log_likelihood(image), draws)
    noise = Noise(1)
    for _ in range(5):
        place, accepted = transition(model.log_likelihood(image), place, beta, torch.tensor([step]), noise)
    assert 0.5 < accepted < (0.9 if step > 0.1 else 1.0)
    moved = place.z[:, 0]
    assert (moved - draws[:, 0]).norm(dim=1).median() > 0.1
    standard_error = covariance.diagonal().sqrt() / n**0.5
    assert ((moved.mean(0) - mean).abs() < 4 * standard_error).all()
    torch.testing.assert_close(moved.T.cov(), covariance, rtol=0.05, atol=0.002)


def test_steps_are_brought_to_the_acceptance_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a step so long that next to none is accepted, and from one so short that all are."""
    model, images = linear_gaussian.made(), linear_gaussian.images(20)
    shares: list[float] = []

    def noted(*given: object) -> object:
        place, accepted = transition(*given)
        shares.append(accepted.mean().item())
        return place, accepted

    monkeypatch.setattr(annealing, "transition", noted)
    for first in (0.001, 10.0):
        monkeypatch.setattr(annealing, "FIRST_STEP", first)
        shares.clear()
        annealed_importance(model.log_likelihood(images), (20, 2), Noise(0), num_temperatures=400, num_chains=8)
        assert abs(shares[0] - annealing.ACCEPTED) > 0.3
        assert sum(shares[-100:]) / 100 == pytest.approx(annealing.ACCEPTED, abs=0.08)


def test_a_proposal_that_is_not_a_number_is_refused() -> None:
    place = annealing._at(lambda z: z.sum(-1), torch.zeros(3, 1, 2))
    stays, accepted = transition(
        lambda z: z.sum(-1) * float("nan"), place, torch.tensor(1.0), torch.tensor([0.1]), Noise(0)
    )
    assert torch.equal(stays.z, place.z)
    assert accepted.tolist() == [0.0]
