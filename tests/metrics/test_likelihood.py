"""Likelihoods against models whose likelihood is known, and kernels against scikit-learn's."""

import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import KernelDensity

from genray.data.spec import Dataset, Split
from genray.errors import UserError
from genray.evaluation.floor import floor
from genray.evaluation.judge import make_judge
from genray.extractors.classifier import Classifier
from genray.metrics import ais, ais_gaussian, importance_bound, parzen
from genray.metrics.base import Context
from genray.nn.noise import Noise
from tests import linear_gaussian
from tests.metrics.fakes import Replay, SampleOnly, context
from tests.models.steps import make

CPU = torch.device("cpu")


def of_model(model: object, pixels: np.ndarray) -> Context:
    x = np.zeros((len(pixels), 2))
    return context(x, x, split=Split(pixels), model=model)


@torch.no_grad()
def test_the_importance_bound_is_the_exact_likelihood_within_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance_bound, "NUM_DRAWS", 500)
    pixels = linear_gaussian.pixels(250)  # more than one chunk
    found = importance_bound.compute(of_model(linear_gaussian.made(), pixels))
    exact = linear_gaussian.exact_log_density(linear_gaussian.images(250)).mean()
    assert 0 < found["importance_bound_error"] < 0.01
    assert found["importance_bound"] == pytest.approx(exact, abs=4 * found["importance_bound_error"])


@torch.no_grad()
@pytest.mark.parametrize("name", ["vae", "discrete_vae"])
def test_one_draw_is_the_elbo_in_the_mean_and_more_lie_above(name: str) -> None:
    model, images = make(name, hidden=8, latent=3), torch.tensor(linear_gaussian.pixels(64)).float() / 127.5 - 1
    images = images.repeat(1, 1, 4, 4)
    elbo = torch.stack([model.elbo_nats(images, Noise(i)).mean() for i in range(100)])
    one, many = (
        torch.stack([importance_bound.bound_nats(model, images, Noise(k, i), k).nats.mean() for i in range(100)])
        for k in (1, 20)
    )
    assert one.mean().item() == pytest.approx(elbo.mean().item(), abs=4 * (one.std() + elbo.std()).item() / 10)
    assert many.mean() - one.mean() > 4 * (one.std() + many.std()) / 10


@torch.no_grad()
def test_bits_that_are_drawn_of_pixels_are_the_same_for_all_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against ln p of the drawn bits by quadrature over one code: drawn anew for each chunk, they would differ."""
    monkeypatch.setattr("genray.nn.importance.ROWS_AT_A_TIME", 400)
    model = make("vae", hidden=8, latent=1, binarized=True)
    images = torch.zeros(4, 1, 8, 8)
    seen = model.seen(images, Noise("same"))
    z = torch.linspace(-8, 8, 2_001)
    joint = model.log_likelihood(seen)(z[:, None, None].expand(-1, 4, 1)).double()
    joint = joint - 0.5 * z[:, None] ** 2 - 0.5 * math.log(2 * math.pi)
    exact = joint.logsumexp(0) + math.log(16 / 2_000)
    found = importance_bound.bound_nats(model, images, Noise("same"), 3_000)
    assert ((found.nats - exact).abs() < 4 * found.variance.sqrt() + 1e-3).all()


@torch.no_grad()
def test_annealing_gives_the_exact_likelihood_within_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the model's own likelihood, and of a Gaussian around what it decodes."""
    monkeypatch.setattr(ais, "NUM_TEMPERATURES", 150)
    monkeypatch.setattr(linear_gaussian.Model, "decode", lambda self, codes: self.decoder(codes))
    model, pixels, images = linear_gaussian.made(), linear_gaussian.pixels(60), linear_gaussian.images(60)
    own = ais.compute(of_model(model, pixels))
    exact = linear_gaussian.exact_log_density(images).mean()
    assert 0 < own["ais_error"] < 0.03
    assert own["ais"] == pytest.approx(exact, abs=4 * own["ais_error"])
    around = ais_gaussian.compute(of_model(model, pixels))
    half = {"weight": linear_gaussian.W / 2, "bias": (linear_gaussian.BIAS + 1) / 2, "sigma": ais_gaussian.SIGMA}
    exact = linear_gaussian.exact_log_density((images + 1) / 2, **half).mean()
    assert 0 < around["ais_gaussian_error"] < 0.03
    assert around["ais_gaussian"] == pytest.approx(exact, abs=4 * around["ais_gaussian_error"])


@torch.no_grad()
def test_what_a_model_lacks_is_left_out(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ais, "NUM_TEMPERATURES", 3)
    images = digits.test.images[:10]
    bare = of_model(SampleOnly(digits.spec), images)
    assert [metric.compute(bare) for metric in (importance_bound, ais, ais_gaussian)] == [{}, {}, {}]
    gan = of_model(make("gan", hidden=8), images)
    assert importance_bound.compute(gan) == ais.compute(gan) == {}
    assert ais_gaussian.compute(gan).keys() == ais_gaussian.SCORES.keys()
    for model in (make("discrete_vae", hidden=8), make("aae", hidden=8, latent=2, prior="mixture")):
        assert ais.compute(of_model(model, images)) == ais_gaussian.compute(of_model(model, images)) == {}


def kernel_density(samples: np.ndarray, sigma: float) -> KernelDensity:
    """In one leaf: with several, scikit-learn 1.9 is hundreds of nats off where σ is small beside distances."""
    return KernelDensity(bandwidth=sigma, leaf_size=10_000).fit(samples)


def test_a_kernel_density_is_scikit_learns() -> None:
    random = np.random.default_rng(0)
    images, samples = (random.integers(0, 256, (n, 1, 3, 4), np.uint8) for n in (600, 300))  # more than two blocks
    sigmas = [0.02, 0.1, 0.7]
    found = parzen.log_density(images, samples, sigmas, CPU)
    for sigma, nats in zip(sigmas, found, strict=True):
        reference = kernel_density(samples.reshape(300, -1) / 255, sigma)
        np.testing.assert_allclose(nats, reference.score_samples(images.reshape(600, -1) / 255), rtol=1e-9)


def test_sigma_is_the_best_on_the_tuning_images_and_not_on_those_that_are_scored(
    extractor: Classifier, digits: Dataset
) -> None:
    judge = make_judge(extractor, digits.test, ("parzen",), 300, tuning=digits.validation)
    found = judge.score(Replay(digits.train.images), seed=0)
    drawn = Replay(digits.train.images).sample(300, Noise(0, "sample", 0))
    samples = ((drawn + 1) * 127.5).round().numpy().reshape(300, -1) / 255
    tuning, scored = (split.images.reshape(len(split), -1) / 255 for split in (digits.validation, digits.test))
    densities = [kernel_density(samples, sigma) for sigma in parzen.SIGMAS]
    best = int(np.argmax([density.score(tuning) for density in densities]))
    assert found["parzen_sigma"] == parzen.SIGMAS[best]
    assert 0 < best < len(parzen.SIGMAS) - 1
    nats = densities[best].score_samples(scored)
    assert found["parzen"] == pytest.approx(nats.mean())
    assert found["parzen_error"] == pytest.approx(nats.std(ddof=1) / len(nats) ** 0.5)


def test_real_images_have_a_parzen_floor_above_noise_and_no_tuning_is_refused(
    extractor: Classifier, digits: Dataset
) -> None:
    judge = make_judge(extractor, digits.test, ("parzen",), tuning=digits.validation)
    noise = np.random.default_rng(0).integers(0, 256, digits.train.images.shape, np.uint8)
    lowest = floor(judge, digits.train, draws=2)["parzen"]
    assert lowest["mean"] > judge.score(Replay(noise), seed=0)["parzen"] + 20
    with pytest.raises(UserError, match=r"parzen needs images to choose sigma on; give `tuning`"):
        make_judge(extractor, digits.test, ("parzen",)).score(Replay(noise), seed=0)
