import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Normal

from genray.data.spec import DataSpec
from genray.models.base import (
    Completes,
    CrossGenerates,
    HasConditionalLikelihood,
    HasDecoder,
    HasEncoder,
    HasJointLikelihood,
    HasLikelihood,
    Progress,
)
from genray.models.joint_vae import Model
from genray.nn.noise import Noise
from genray.nn.posteriors import DiagonalGaussian
from tests.models.steps import DIGITS, Steps, digit_batch, make, random_batch

VIEWS = ["image_label", "halves", "rotated", "recoloured"]
every_view = pytest.mark.parametrize("views", VIEWS)


def made(spec: DataSpec = DIGITS, **config: object) -> Model:
    model = make("joint_vae", spec, **config)
    assert isinstance(model, Model)
    return model


@torch.enable_grad()
def trained(**config: object) -> Model:
    """After a few steps on digits: no posterior is its prior any more."""
    model = made(hidden=16, **config)
    steps = Steps(model)
    for step in range(40):
        steps.all(digit_batch(32, step=step % 8), step)
    return model.requires_grad_(False)


# A digit and its label, one latent dimension: what bounds bound, by quadrature

GRID = torch.linspace(-12, 12, 8001)


@torch.no_grad()
def test_bounds_and_weights_against_quadrature() -> None:
    model, batch = trained(latent=1), digit_batch(5, step=100)
    z, prior = GRID[:, None], Normal(0.0, 1.0).log_prob(GRID)
    draws = 500
    many = {name: value.repeat_interleave(draws, 0) for name, value in batch.items()}
    joint, back = model.joint_elbo_nats(many, Noise(0)), model.conditional_elbo_nats(many, Noise(1), given=1)
    forth, alone = model.conditional_elbo_nats(many, Noise(2)), model.elbo_nats(many["image"], Noise(3))
    weighted = model.log_likelihoods_nats(batch, Noise(4), num_draws=5_000)
    for i in range(5):
        image, label = batch["image"][i], batch["label"][i]
        of_image = -model.likelihoods[1].nll_nats(model.decoders[1](z), image.expand(len(z), -1, -1, -1))
        of_label = Categorical(logits=model.decoders[0](z)).log_prob(label)
        x = model.pair({"image": image[None], "label": label[None]}, Noise(0))
        q_label, q_image = (log_density(model.encoders[k](x[k])) for k in range(2))
        integrals = [
            (joint, of_image + of_label + prior, log_density(model.joint_encoder(*x))),
            (alone, of_image + prior, q_image),
            (forth, of_image + q_label, log_density(model.joint_encoder(*x))),
            (back, of_label + q_image, log_density(model.joint_encoder(*x))),
        ]
        for k, (bound, log_joint, log_q) in enumerate(integrals):
            mine = bound[draws * i : draws * (i + 1)]
            exact = torch.trapezoid(log_q.exp() * (log_joint - log_q), GRID).item()
            assert mine.mean().item() == pytest.approx(exact, abs=4 * mine.std().item() / draws**0.5 + 1e-3), k
            assert exact < log_integral(log_joint)
        assert weighted[0][i].item() == pytest.approx(log_integral(of_image + of_label + prior), abs=0.05)
        assert weighted[1][i].item() == pytest.approx(log_integral(of_image + prior), abs=0.1)


def log_density(q: DiagonalGaussian) -> Tensor:
    return Normal(q.mu[0, 0], (0.5 * q.logvar[0, 0]).exp()).log_prob(GRID)


def log_integral(log_values: Tensor) -> float:
    return (log_values.max() + torch.trapezoid((log_values - log_values.max()).exp(), GRID).log()).item()


@every_view
def test_the_loss_is_the_joint_bound_and_how_far_the_encoders_are_apart(views: str) -> None:
    model, batch = trained(views=views), digit_batch(8)
    loss = model.loss(batch, Noise(0))
    bound = -model.joint_elbo_nats(batch, Noise(0)).mean()
    pair = model.pair(batch, Noise(0))
    q, alone = model.joint_encoder(*pair), [model.encoders[i](pair[i]) for i in range(2)]
    apart = sum(torch.distributions.kl_divergence(normal(q), normal(other)).sum(1).mean() for other in alone)
    torch.testing.assert_close(loss.total, bound + 0.1 * apart)


def normal(q: DiagonalGaussian) -> Normal:
    return Normal(q.mu, (0.5 * q.logvar).exp())


# What every kind of views does


@pytest.mark.parametrize("network", ["mlp", "conv"])
@pytest.mark.parametrize("spec", [DataSpec(1, 17, 17, 3), DataSpec(3, 16, 16, 3), DataSpec(2, 17, 17, 3)], ids=str)
@every_view
def test_every_view_of_every_kind_of_image(views: str, spec: DataSpec, network: str) -> None:
    model, batch = made(spec, views=views, network=network, hidden=4), random_batch(spec, 4)
    protocols = CrossGenerates, Completes, HasEncoder, HasDecoder, HasLikelihood, HasConditionalLikelihood
    assert all(isinstance(model, protocol) for protocol in (*protocols, HasJointLikelihood))
    pair = model.pair(batch, Noise(0))
    for given in range(2):
        other = model.cross(pair[given], Noise(0), given=given)
        assert other.shape == pair[1 - given].shape
        assert model.conditional_elbo_nats(batch, Noise(0), given).isfinite().all()
    assert all(view.shape[0] == 4 and view.shape[1:] in (spec.shape, (3,)) for view in model.judged(pair))
    assert model.sample(4, Noise(0)).shape == batch["image"].shape
    assert model.reconstruct(batch["image"]).shape == batch["image"].shape
    assert model.elbo_nats(batch["image"], Noise(0)).isfinite().all()
    model.loss(batch, Noise(0)).total.backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


@pytest.mark.parametrize("config", [{"views": "recoloured"}, {"binarized": True}, {"views": "halves", "dropout": 0.3}])
def test_two_workers_give_the_loss_of_one(config: dict[str, object]) -> None:
    model, batch = made(hidden=16, **config), digit_batch(8)
    whole = model.loss(batch, Noise("ranks")).total
    halves = []
    for rank in range(2):
        part = {name: value[4 * rank : 4 * rank + 4] for name, value in batch.items()}
        halves.append(model.loss(part, Noise("ranks", rank=rank, world_size=2)).total)
    torch.testing.assert_close(sum(halves) / 2, whole, rtol=1e-5, atol=1e-6)


def test_binarized_pixels_are_drawn_anew_each_time() -> None:
    model, batch = made(binarized=True), digit_batch(8)
    first, again, other = (model.pair(batch, Noise(key))[1] for key in (0, 0, 1))
    assert set(first.unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_completion_keeps_the_given_half_and_does_not_look_at_the_other() -> None:
    model, images = trained(views="halves"), digit_batch(16)["image"]
    masks = model.masks(16, Noise(0))
    upper = torch.zeros(8, 8, dtype=torch.bool)
    upper[:4] = True
    assert all(torch.equal(mask[0], upper) or torch.equal(mask[0], ~upper) for mask in masks)
    assert len(masks.flatten(1).unique(dim=0)) == 2
    with torch.no_grad():
        completed = model.complete(images, masks, Noise(1))
        changed = model.complete(torch.where(masks, images, -images), masks, Noise(1))
        another = model.complete(images, masks, Noise(2))
    assert torch.equal(completed[masks], images[masks])
    assert torch.equal(completed, changed)
    assert not torch.equal(completed, another)


def test_a_label_asked_for_is_the_one_that_images_are_made_of() -> None:
    model = trained()
    labels = torch.tensor([7, 7, 3])
    made_of = model.cross(torch.eye(10)[labels], Noise(0), given=0)
    assert torch.equal(model.sample(3, Noise(0), label=labels), made_of)


def test_warm_up_raises_the_kl_weight_to_its_value() -> None:
    model = made(kl_weight=0.8, kl_warmup_epochs=4)
    for step, expected in ((0, 0.0), (10, 0.2), (40, 0.8), (90, 0.8)):
        model.set_progress(Progress(step, num_steps=100, steps_per_epoch=10))
        assert model.kl_weight.value.item() == pytest.approx(expected)
