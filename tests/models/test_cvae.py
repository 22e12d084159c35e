import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from genray.data.spec import DataSpec, Split
from genray.errors import UserError
from genray.models.base import Batch, Completes
from genray.models.cvae import Model
from genray.nn.noise import Noise
from tests.models.steps import DIGITS, Steps, digit_batch, make, random_batch

GRID = torch.linspace(-10, 10, 1001)
PARTS = ["top", "left", "box"]


def cvae(condition: str, spec: DataSpec = DIGITS, **config: object) -> Model:
    model = make("cvae", spec, condition=condition, **{"hidden": 16} | config)
    assert isinstance(model, Model)
    return model


def trained(condition: str, steps: int = 40, **config: object) -> Model:
    model = cvae(condition, **config)
    trainer = Steps(model)
    for step in range(steps):
        trainer.all(digit_batch(32, step=step % 40), step)
    return model


def log_density(model: Model, image: Tensor, logits: Tensor, hidden: Tensor | None) -> Tensor:
    """ln p(x₂|x₁, z) by torch's distributions, over hidden pixels alone; for each row of logits."""
    log_p = Normal(torch.sigmoid(logits), model.likelihood.log_sigma.exp()).log_prob((image + 1) / 2)
    return (log_p if hidden is None else log_p * hidden).flatten(1).sum(1)


def quadrature(model: Model, batch: Batch) -> tuple[float, float]:
    """ln p(x₂|x₁) = ln ∫ p(x₂|x₁, z) p(z) dz and the bound ∫ q(z|x₁, x₂) ln(p(x₂|x₁, z) p(z) / q) dz of one image."""
    with torch.no_grad():
        given = model.condition.give(batch, Noise("mask"), None)
        features = given.features.expand(len(GRID), -1)
        logits = model.decoder(torch.cat([GRID[:, None], features], 1))
        joint = log_density(model, batch["image"], logits, given.hidden) + Normal(0.0, 1.0).log_prob(GRID)
        mu, logvar = (value.squeeze() for value in model.infer(batch["image"], given))
    q = Normal(mu, (0.5 * logvar).exp())
    evidence = joint.max() + torch.trapezoid((joint - joint.max()).exp(), GRID).log()
    bound = torch.trapezoid(q.log_prob(GRID).exp() * (joint - q.log_prob(GRID)), GRID)
    return evidence.item(), bound.item()


@pytest.mark.parametrize("condition", ["label", "top", "left"])
def test_bound_is_its_integral_and_lies_below_ln_p_of_x2_given_x1(condition: str) -> None:
    model, batch = trained(condition, latent=1), digit_batch(5, step=100)
    with torch.no_grad():
        draws = torch.stack([model.conditional_elbo_nats(batch, Noise(k)) for k in range(300)])
    standard_error = draws.std(0) / math.sqrt(300)
    for i in range(5):
        evidence, bound = quadrature(model, {key: value[i : i + 1] for key, value in batch.items()})
        assert bound < evidence
        assert draws[:, i].mean().item() == pytest.approx(bound, abs=4 * standard_error[i].item() + 1e-3)


def test_p_of_x2_given_x1_depends_on_x1() -> None:
    """A label that is wrong makes an image less likely, by exact integration."""
    model, batch = trained("label", latent=1, hidden=32, steps=160), digit_batch(20, step=30)
    wrong = batch | {"label": (batch["label"] + 1) % 10}
    gains = [
        quadrature(model, {k: v[i : i + 1] for k, v in batch.items()})[0]
        - quadrature(model, {k: v[i : i + 1] for k, v in wrong.items()})[0]
        for i in range(20)
    ]
    assert sum(gain > 0 for gain in gains) >= 17


def test_given_x2_the_posterior_of_z_depends_on_x1() -> None:
    """The notes drop x₁ from q(z|x₁, x₂), as z is independent of it a priori; given x₂ it is not."""
    model, batch = trained("label"), digit_batch(8)
    wrong = batch | {"label": (batch["label"] + 1) % 10}
    mus = [model.infer(b["image"], model.condition.give(b, Noise(0), None))[0] for b in (batch, wrong)]
    assert (mus[0] - mus[1]).abs().mean() > 0.05


@pytest.mark.parametrize("condition", ["label", *PARTS])
def test_loss_is_the_negative_bound_where_the_weight_is_1(condition: str) -> None:
    model, batch = cvae(condition, kl_weight=1.0), digit_batch(16)
    torch.testing.assert_close(model.loss(batch, Noise(0)).total, -model.conditional_elbo_nats(batch, Noise(0)).mean())
    half = cvae(condition, kl_weight=0.5).loss(batch, Noise(0))
    torch.testing.assert_close(half.total.detach(), half.terms["nll_nats"] + 0.5 * half.terms["kl_nats"])


@pytest.mark.parametrize("condition", PARTS)
@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_completions_keep_what_is_given_and_know_nothing_of_what_is_not(condition: str, network: str) -> None:
    model, images = cvae(condition, network=network), digit_batch(6)["image"]
    assert isinstance(model, Completes)
    assert model.completes
    masks = model.masks(6, Noise("mask"))
    others = torch.where(masks, images, torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    drawn, again, second = (model.complete(x, masks, Noise(k)) for x, k in ((images, 0), (others, 0), (images, 1)))
    assert torch.equal(drawn, again)
    kept = masks.expand_as(images)
    assert torch.equal(drawn[kept], images[kept])
    assert not torch.equal(drawn, second)


@pytest.mark.parametrize("condition", PARTS)
def test_the_bound_is_of_hidden_pixels_alone(condition: str) -> None:
    """The decoder's biases at given pixels do not move it, those at hidden pixels do."""
    model, batch = cvae(condition), digit_batch(1)
    hidden = model.condition.give(batch, Noise(0), None).hidden
    assert hidden is not None
    bias = model.decoder.head[0].bias
    before = model.conditional_elbo_nats(batch, Noise(0))
    with torch.no_grad():
        bias += 5.0 * ~hidden.flatten()
        assert torch.equal(model.conditional_elbo_nats(batch, Noise(0)), before)
        bias += 0.1 * hidden.flatten()
        assert not torch.equal(model.conditional_elbo_nats(batch, Noise(0)), before)


def test_parts_are_halves_and_boxes() -> None:
    top, left, box = (cvae(condition).masks(200, Noise(0)).expand(200, 1, 8, 8) for condition in PARTS)
    assert torch.equal(top[3, 0, :, 0], torch.arange(8) < 4)
    assert torch.equal(left, top.transpose(2, 3))
    rows, columns = (~box[:, 0]).any(2).sum(1), (~box[:, 0]).any(1).sum(1)
    assert torch.equal((~box).sum((1, 2, 3)), rows * columns)
    assert set(rows.tolist()) == set(columns.tolist()) == {2, 3, 4, 5, 6}  # 30 to 70 % of 8


def test_samples_of_a_label_are_of_that_label_alone() -> None:
    model, noise = cvae("label"), Noise(0)
    sevens = model.sample(4, noise, label=torch.full((4,), 7))
    model.observe(Split(np.zeros((3, 1, 8, 8), np.uint8), np.full(3, 7)))
    z = Noise(0).normal(4, model.config.latent)
    one_hot = torch.eye(10)[7].expand(4, -1) * 10**0.5
    torch.testing.assert_close(sevens, torch.tanh(model.decoder(torch.cat([z, one_hot], 1)) / 2))
    assert model.takes_labels
    assert not model.samples_given


def test_labels_of_samples_are_as_frequent_as_in_the_training_split() -> None:
    model = cvae("label")
    model.observe(Split(np.zeros((1_000, 1, 8, 8), np.uint8), np.repeat([1, 4], [800, 200])))
    labels = model.condition.draw(20_000, Noise(0))["label"]
    assert set(labels.tolist()) == {1, 4}
    assert (labels == 1).float().mean().item() == pytest.approx(0.8, abs=0.04)  # of 1,024 kept: 3 standard errors


@pytest.mark.parametrize("condition", PARTS)
def test_samples_of_parts_start_from_training_images_and_say_so(condition: str) -> None:
    model = cvae(condition)
    images = np.arange(64, dtype=np.uint8).reshape(1, 1, 8, 8)
    model.observe(Split(images))
    noise = Noise(0)
    samples = model.sample(5, noise)
    kept = (((samples + 1) * 127.5 - torch.tensor(images)).abs() < 1e-3).float().mean((1, 2, 3))
    assert (kept >= 0.4).all()
    assert "training images" in model.samples_given
    assert not model.takes_labels


@pytest.mark.parametrize("condition", ["label", "box"])
def test_what_was_kept_of_the_training_split_is_loaded_back(condition: str) -> None:
    model, other = cvae(condition), cvae(condition, hidden=16)
    batch = random_batch(DIGITS, 50)
    model.observe(Split(np.random.default_rng(0).integers(0, 256, (50, 1, 8, 8), np.uint8), batch["label"].numpy()))
    assert not torch.equal(model.sample(8, Noise(0)), other.sample(8, Noise(0)))
    other.load_state_dict(model.state_dict())
    assert torch.equal(model.sample(8, Noise(0)), other.sample(8, Noise(0)))


@pytest.mark.parametrize("condition", PARTS)
def test_two_workers_give_the_loss_of_one(condition: str) -> None:
    """Masks are drawn for the whole batch, and sliced."""
    model, batch = cvae(condition, dropout=0.3), digit_batch(8)
    whole = model.loss(batch, Noise("ranks")).total
    halves = [
        model.loss({k: v[4 * rank : 4 * rank + 4] for k, v in batch.items()}, Noise("ranks", rank=rank, world_size=2))
        for rank in range(2)
    ]
    torch.testing.assert_close(sum(half.total for half in halves) / 2, whole, rtol=1e-5, atol=1e-6)


def test_a_label_needs_labels_and_a_part_needs_two_pixels() -> None:
    with pytest.raises(UserError, match="condition label needs a dataset with labels"):
        cvae("label", DataSpec(1, 8, 8, 0))
    with pytest.raises(UserError, match="condition top needs images of at least 2 x 2, got 1 x 9"):
        cvae("top", DataSpec(1, 1, 9, 0))
    with pytest.raises(UserError, match="condition"):
        cvae("bottom")
