import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from genray.data.spec import DataSpec
from genray.errors import UserError
from genray.models.base import GenerativeModel, Progress
from genray.models.vae import Model, VAEConfig
from genray.nn.noise import Noise
from genray.settings import ModelConfig
from tests import linear_gaussian
from tests.models.steps import DIGITS, Steps, digit_batch, make

GRID = torch.linspace(-12, 12, 8001)


def trained(**config: object) -> Model:
    """A VAE with one latent dimension, after a few steps: its posterior is no longer its prior."""
    model = make("vae", hidden=16, latent=1, **config)
    steps = Steps(model)
    for step in range(40):
        steps.all(digit_batch(32, step=step % 8), step)
    assert isinstance(model, Model)
    return model


def quadrature(model: Model, image: Tensor) -> tuple[float, float]:
    """ln p(x) = ln ∫ p(x|z) p(z) dz and the ELBO ∫ q(z|x) ln(p(x|z) p(z) / q(z|x)) dz of one image, on a grid."""
    with torch.no_grad():
        nll = model.likelihood.nll_nats(model.decoder(GRID[:, None]), image.expand(len(GRID), -1, -1, -1))
        mu, logvar = model.encoder(image[None])[0]
    joint = -nll + Normal(0.0, 1.0).log_prob(GRID)
    q = Normal(mu, (0.5 * logvar).exp())
    evidence = joint.max() + torch.trapezoid((joint - joint.max()).exp(), GRID).log()
    bound = torch.trapezoid(q.log_prob(GRID).exp() * (joint - q.log_prob(GRID)), GRID)
    return evidence.item(), bound.item()


@pytest.mark.parametrize("config", [{"likelihood": "bernoulli"}, {"likelihood": "gaussian"}, {"dropout": 0.2}])
def test_elbo_is_its_integral_and_lies_below_the_log_likelihood(config: dict[str, object]) -> None:
    model, images = trained(**config), digit_batch(6, step=100)["image"]
    with torch.no_grad():
        draws = torch.stack([model.elbo_nats(images, Noise(k)) for k in range(400)])
    standard_error = draws.std(0) / 20
    for i in range(len(images)):
        evidence, bound = quadrature(model, images[i])
        assert bound < evidence
        assert draws[:, i].mean().item() == pytest.approx(bound, abs=4 * standard_error[i].item() + 1e-3)


def test_loss_is_the_negative_elbo_where_the_weight_is_1_and_nothing_is_dropped() -> None:
    model, batch = trained(), digit_batch(16)
    loss = model.loss(batch, Noise(0))
    torch.testing.assert_close(loss.total, -model.elbo_nats(batch["image"], Noise(0)).mean())


@pytest.mark.parametrize("kl_term", ["exact", "exact_entropy", "sampled"])
@pytest.mark.parametrize("estimator", ["reparameterization", "score_function", "control_variate", "leave_one_out"])
def test_every_estimator_has_the_gradient_of_the_bound(estimator: str, kl_term: str) -> None:
    """Against the bound as an integral over z, at a KL weight of 2; one image many times, the encoder's head."""
    model, image = trained(kl_weight=2.0, estimator=estimator, kl_term=kl_term), digit_batch(1)["image"]
    bias = model.encoder.head.bias
    q = model.posterior(image)
    density = q.log_prob(GRID[:, None, None])[:, 0].exp()
    log_ratio = model.log_likelihood(image)(GRID[:, None, None])[:, 0]
    exact = -torch.trapezoid(density * log_ratio, GRID) + 2.0 * q.kl_nats().sum()
    (expected,) = torch.autograd.grad(exact, bias)
    batch = {"image": image.expand(500, -1, -1, -1)}
    losses = [model.loss(batch, Noise(k)).total for k in range(30)]
    found = torch.stack([torch.autograd.grad(loss, bias)[0] for loss in losses])
    standard_error = found.std(0) / math.sqrt(30)
    assert ((found.mean(0) - expected).abs() <= 4 * standard_error + 1e-4).all()
    assert (expected.abs() > 5 * standard_error).any()
    assert torch.stack(losses).mean().item() == pytest.approx(exact.item(), rel=0.01)


def test_kl_weight_multiplies_the_kl_term_alone() -> None:
    batch = digit_batch(16)
    losses = [make("vae", kl_weight=weight).phases()[0].loss(batch, Noise(0)) for weight in (0.0, 1.0, 2.5)]
    for weight, loss in zip((0.0, 1.0, 2.5), losses, strict=True):
        torch.testing.assert_close(loss.total.detach(), loss.terms["nll_nats"] + weight * loss.terms["kl_nats"])
        assert loss.terms == losses[0].terms


@pytest.mark.parametrize(("epoch", "expected"), [(0, 0.0), (1, 0.5), (2, 1.0), (4, 2.0), (9, 2.0)])
def test_kl_weight_grows_over_the_warm_up(epoch: int, expected: float) -> None:
    model = Model(VAEConfig(kl_weight=2.0, kl_warmup_epochs=4), DIGITS)
    model.set_progress(Progress(step=epoch * 10, num_steps=100, steps_per_epoch=10))
    assert model.kl_weight.value.item() == pytest.approx(expected)
    assert not any(
        "kl_weight" in key for key in model.state_dict()
    )  # a function of progress, which a resumed run is told


def test_learned_sigma_goes_to_the_root_mean_square_error() -> None:
    """Its optimum in closed form (Rybkin et al. 2021, eq. 4), reached with the networks held still."""
    model, images = make("vae", likelihood="gaussian", hidden=16), digit_batch(64)["image"]
    assert isinstance(model, Model)
    with torch.no_grad():
        logits = model.decoder(model.encode(images))
    optimizer = torch.optim.Adam([model.likelihood.log_sigma], lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        model.likelihood.nll_nats(logits, images).mean().backward()
        optimizer.step()
    rmse = ((torch.tanh(logits / 2) - images) / 2).square().mean().sqrt()
    assert model.likelihood.log_sigma.exp().item() == pytest.approx(rmse.item(), rel=0.01)


def test_gaussian_elbo_is_a_density_so_it_shifts_with_sigma() -> None:
    """With a decoder that hits every pixel, ln p(x|z) = −D ln(σ √2π): the constant is there."""
    spec = DataSpec(1, 8, 8, 0)
    images = torch.zeros(1, *spec.shape)
    for sigma in (0.5, 0.01):
        model = Model(VAEConfig(likelihood="gaussian", sigma=sigma, hidden=4), spec)
        for p in (*model.encoder.parameters(), *model.decoder.parameters()):
            p.data.zero_()  # q = p(z), so no KL, and the mean is mid-grey
        expected = -64 * math.log(sigma * math.sqrt(2 * math.pi))
        assert model.elbo_nats(images, Noise(0)).item() == pytest.approx(expected, rel=1e-5)


def test_training_lowers_the_loss_on_digits() -> None:
    model = make("vae", hidden=32)
    steps = Steps(model)
    losses = [steps.all(digit_batch(64, step=step % 20), step)["elbo"] for step in range(60)]
    assert sum(losses[-10:]) / 10 < 0.75 * losses[0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"kl_weight": -1},
        {"estimator": "rloo"},
        {"kl_term": "none"},
        {"num_draws": 0},
        {"sigma": 0},
        {"sigma": "learnt"},
        {"likelihood": "poisson"},
        {"hidden": 0},
        {"dropout": 1},
    ],
)
def test_wrong_values_are_refused_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        VAEConfig.parse(wrong)


def test_names_its_own_config() -> None:
    model: type[GenerativeModel] = Model
    assert issubclass(model.Config, ModelConfig)
    assert model.Config().name == "vae"


def test_importance_loss_is_the_mean_weight_and_its_gradient_that_of_finite_differences() -> None:
    """The same noise on both sides of a difference: the gradient passes through draws and densities alike."""
    model = make("vae", hidden=8, latent=2, importance_samples=5).double()
    batch = {"image": digit_batch(4)["image"].double()}
    loss = model.phases()[0].loss

    def at(shift: float) -> float:
        with torch.no_grad():
            bias[0] += shift
            value = loss(batch, Noise(0)).total.item()
            bias[0] -= shift
        return value

    for bias in (model.encoder.head.bias, model.decoder.hidden[0].bias):
        (gradient,) = torch.autograd.grad(loss(batch, Noise(0)).total, bias)
        assert gradient[0].item() == pytest.approx((at(1e-3) - at(-1e-3)) / 2e-3, rel=1e-4)
    z = model.posterior(batch["image"]).rsample(5, Noise(0))
    q, log_p = model.posterior(batch["image"]), model.log_likelihood(batch["image"])(z)
    prior = Normal(0.0, 1.0).log_prob(z).sum(-1)
    density = Normal(q.mu, (0.5 * q.logvar).exp()).log_prob(z).sum(-1)
    expected = -(log_p + prior - density).exp().mean(0).log().mean()
    assert at(0.0) == pytest.approx(expected.item())


def test_the_loss_of_more_importance_samples_lies_nearer_to_the_exact_likelihood() -> None:
    """Of a linear-Gaussian VAE: above −ln p(x), and lower with each further sample."""
    images = linear_gaussian.images(300)
    exact = -linear_gaussian.exact_log_density(images).mean()
    losses = [
        torch.stack(
            [linear_gaussian.made(importance_samples=k).loss({"image": images}, Noise(i)).total for i in range(50)]
        )
        for k in (1, 2, 10, 100)
    ]
    means = [loss.mean().item() for loss in losses]
    assert means == sorted(means, reverse=True)
    assert exact < means[-1] < exact + 0.02
    assert means[0] > exact + 0.1


def test_binarized_pixels_are_drawn_anew_at_each_step_and_their_likelihood_is_a_probability() -> None:
    model, images = make("vae", hidden=8, binarized=True), digit_batch(8)["image"]
    seen = [model.seen(images, Noise(k)) for k in range(200)]
    assert all(set(x.unique().tolist()) == {-1.0, 1.0} for x in seen)
    mean = torch.stack(seen).mean(0)
    assert (mean - images).abs().max() < 4.5 / 200**0.5
    assert (mean[images == -1] == -1).all()
    assert model.loss({"image": images}, Noise(0)).total != model.loss({"image": images}, Noise(1)).total
    assert torch.equal(make("vae").seen(images, Noise(0)), images)


@pytest.mark.parametrize(
    "wrong",
    [
        {"estimator": "leave_one_out"},
        {"kl_term": "sampled"},
        {"kl_weight": 0.5},
        {"kl_warmup_epochs": 3},
        {"num_draws": 2},
    ],
)
def test_importance_samples_refuse_what_is_of_the_elbo(wrong: dict[str, object]) -> None:
    [key] = wrong
    with pytest.raises(UserError, match=rf"importance_samples=5 .*got {key}=.*; leave {key} out"):
        VAEConfig.parse({"importance_samples": 5, **wrong})
    VAEConfig.parse({"importance_samples": 1, **wrong})


def test_binarized_grey_of_a_gaussian_is_refused() -> None:
    with pytest.raises(UserError, match="binarized pixels are 0 or 1, got likelihood='gaussian'; set likelihood to"):
        VAEConfig.parse({"binarized": True, "likelihood": "gaussian"})
