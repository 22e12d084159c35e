"""Samples from a mixture fitted to codes: against moments, scikit-learn's density, and a model of known codes."""

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor

from genray.config import Experiment
from genray.data.spec import Dataset, Split
from genray.errors import Fault, UserError
from genray.evaluation.judge import make_judge
from genray.extractors.classifier import Classifier
from genray.models.base import build
from genray.nn.noise import Noise
from genray.samplers import Mixture, encode, fit, make_sampler, samplers_of
from tests.metrics.fakes import SampleOnly


class Identity(SampleOnly):
    """Codes are the pixels themselves; its prior gives black images only."""

    def encode(self, images: Tensor) -> Tensor:
        return images.flatten(1)

    def decode(self, codes: Tensor) -> Tensor:
        return codes.unflatten(1, self.spec.shape).clamp(-1, 1)


def experiment(name: str, sampled_from: object) -> Experiment:
    return Experiment.parse({"model": {"name": name}, "sampled_from": sampled_from})


def test_draws_have_the_moments_of_the_mixture() -> None:
    factors = torch.tensor([[[1.0, 0.0], [0.5, 0.2]], [[0.1, 0.0], [-0.3, 2.0]]])
    means, weights = torch.tensor([[5.0, -2.0], [-3.0, 1.0]]), torch.tensor([0.25, 0.75])
    draws = Mixture(weights, means, factors).draw(200_000, Noise(0)).double()
    left = draws[:, 0] > 1  # eight standard deviations lie between the two
    assert left.double().mean() == pytest.approx(0.25, abs=0.004)
    for k, part in enumerate((draws[left], draws[~left])):
        torch.testing.assert_close(part.mean(0), means[k].double(), atol=0.03, rtol=0)
        torch.testing.assert_close(part.T.cov(), (factors[k] @ factors[k].T).double(), atol=0.05, rtol=0.02)


def test_draws_are_as_likely_under_scikit_learns_density_as_its_own_draws() -> None:
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(2_000, 3)) * [1, 4, 0.2] + np.where(rng.random((2_000, 1)) < 0.3, 6, -2)
    reference = GaussianMixture(10, random_state=3).fit(codes)
    draws = fit(codes, seed=3).draw(20_000, Noise(1)).double().numpy()
    theirs = reference.sample(20_000)[0]
    assert reference.score(draws) == pytest.approx(reference.score(theirs), abs=0.05)
    np.testing.assert_allclose(draws.mean(0), theirs.mean(0), atol=0.15)


def test_a_fit_depends_on_codes_and_seed_alone() -> None:
    codes = np.random.default_rng(0).normal(size=(300, 2))
    np.random.seed(5)
    first = fit(codes, seed=1)
    np.random.seed(6)
    again, other = fit(codes, seed=1), fit(codes, seed=2)
    assert torch.equal(first.means, again.means)
    assert not torch.equal(first.means, other.means)


def test_few_codes_and_codes_on_a_line_are_fitted() -> None:
    for codes in (np.zeros((4, 2)) + np.arange(4)[:, None], np.zeros((50, 3))):
        assert fit(codes, seed=0).draw(5, Noise(0)).isfinite().all()


def test_codes_that_are_not_finite_are_a_fault(digits: Dataset) -> None:
    model = Identity(digits.spec)
    model.encode = lambda images: images.flatten(1) / 0
    with pytest.raises(Fault, match="codes of training images must be finite"):
        encode(model, Split(digits.train.images[:20]))


def test_huge_codes_on_a_plane_are_a_fault() -> None:
    """Rounding of 1e5² in float64 is more than what scikit-learn adds to variances."""
    plane = np.random.default_rng(0).normal(size=(500, 2)) @ np.random.default_rng(1).normal(size=(2, 8))
    assert fit(plane, seed=0).means.isfinite().all()
    with pytest.raises(Fault, match=r"must spread in every direction .*, got codes up to \d\S* .*; lower optimizer"):
        fit(1e5 * plane, seed=0)


def test_a_mixture_over_pixels_beats_a_prior_of_nothing(extractor: Classifier, digits: Dataset) -> None:
    """The sampler that is scored is the one that was asked for: `Identity` draws black, its codes hold digits."""
    judge, model = make_judge(extractor, digits.validation, ("frechet", "prdc")), Identity(digits.spec)
    prior = judge.score(model, seed=0)
    gmm = judge.score(model, seed=0, sampler=make_sampler("gmm", model, digits.train, seed=0))
    assert gmm["frechet"] * 5 < prior["frechet"]
    assert prior["coverage"] == 0
    assert gmm["coverage"] > 0.5
    assert judge.score(model, seed=0, sampler=make_sampler("prior", model, digits.train, seed=0)) == prior


def test_scores_of_the_model_itself_stand_with_the_prior_alone(extractor: Classifier, digits: Dataset) -> None:
    model = build(experiment("vae", "prior").model, digits.spec, seed=0)
    judge = make_judge(extractor, digits.validation, ("frechet", "elbo", "reconstruction"))
    assert judge.score(model, seed=0).keys() == {"frechet", "elbo", "reconstruction"}
    sampler = make_sampler("gmm", model, digits.train, seed=0)
    assert judge.score(model, seed=0, sampler=sampler).keys() == {"frechet"}


@pytest.mark.parametrize(
    ("name", "asked", "found"),
    [
        ("vae", ["prior", "gmm"], ("prior", "gmm")),
        ("aae", ["gmm", "prior"], ("gmm", "prior")),
        ("vae_gan", "gmm", ("gmm",)),
        ("gan", ["gmm", "prior"], ("prior",)),
        ("gan", "prior", ("prior",)),
    ],
)
def test_samplers_that_a_model_has(name: str, asked: object, found: tuple[str, ...], digits: Dataset) -> None:
    given = experiment(name, asked)
    assert samplers_of(given.sampled_from, build(given.model, digits.spec, seed=0), name) == found


def test_a_model_without_codes_is_refused_by_name(digits: Dataset) -> None:
    model = build(experiment("gan", "prior").model, digits.spec, seed=0)
    with pytest.raises(UserError, match=r"sampled_from: gmm needs a model .* got gan; set it to prior"):
        samplers_of(["gmm"], model, "gan")


def test_one_sampler_is_written_as_a_word_and_several_as_a_list() -> None:
    assert experiment("vae", ["gmm"]).plain()["sampled_from"] == "gmm"
    assert experiment("vae", ["gmm", "prior"]).plain()["sampled_from"] == ["gmm", "prior"]
    assert Experiment.parse(experiment("vae", "gmm").plain()).sampled_from == ("gmm",)
