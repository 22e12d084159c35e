import math
import re
from typing import get_args

import pytest
import torch
from torch import nn

from genray.errors import UserError
from genray.models.gan import GANConfig, Model
from genray.nn.adversarial import Name
from genray.nn.noise import Noise
from tests.models.steps import DIGITS, Steps, digit_batch, make, updated_parameters


def undecided(model: nn.Module) -> None:
    """A discriminator whose logit is 0 for every image: D = ½."""
    for p in model.discriminator.head.parameters():
        p.data.zero_()


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_losses_of_an_undecided_discriminator(smoothing: float) -> None:
    """−V = ln 4 at D = ½ (Goodfellow et al. 2014, theorem 1), and −ln D = ln 2, whatever the smoothing."""
    model = make("gan", label_smoothing=smoothing)
    undecided(model)
    discriminator, generator = (phase.loss(digit_batch(8), Noise(0)).total.item() for phase in model.phases())
    assert discriminator == pytest.approx(math.log(4))
    assert generator == pytest.approx(math.log(2))


def test_losses_are_the_cross_entropies_of_the_paper() -> None:
    """Written out with probabilities, on real images and on what `sample` gives for the same noise."""
    model, batch = make("gan", dropout=0.0, label_smoothing=0.0), digit_batch(16)
    on_real = model.discriminator(batch["image"]).sigmoid()
    on_fake = model.discriminator(model.sample(16, Noise(3))).sigmoid()
    discriminator, generator = (phase.loss(batch, Noise(3)).total for phase in model.phases())
    torch.testing.assert_close(discriminator, -on_real.log().mean() - (1 - on_fake).log().mean())
    torch.testing.assert_close(generator, -on_fake.log().mean())


def test_a_generator_step_raises_what_the_discriminator_says_of_samples() -> None:
    model, batch = make("gan", dropout=0.0), digit_batch(32)
    steps = Steps(model)
    discriminator, generator = model.phases()
    for _ in range(20):
        steps.phase(discriminator, batch, Noise(0))
    logits = [model.discriminator(model.sample(64, Noise(1))).mean().item()]
    for _ in range(5):
        steps.phase(generator, batch, Noise(0))
        logits.append(model.discriminator(model.sample(64, Noise(1))).mean().item())
    assert logits == sorted(logits)


def test_dropout_is_the_discriminators() -> None:
    model = Model(GANConfig(dropout=0.5), DIGITS)
    assert (model.discriminator.dropout, model.generator.dropout) == (0.5, 0.0)


OPTIONS: list[dict[str, object]] = [
    *({"loss": loss} for loss in get_args(Name)),
    {"r1_weight": 10.0},
    {"loss": "hinge", "spectral_norm": True},
    {"packing": 3},
    {"minibatch_discrimination": 4},
    {"loss": "wgan_gp", "packing": 2, "minibatch_discrimination": 4, "spectral_norm": True, "critic_steps": 5},
]


@pytest.mark.parametrize("network", ["mlp", "conv"])
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(map(str, options.values())))
def test_every_option_moves_both_players_and_each_alone(options: dict[str, object], network: str) -> None:
    model, batch = make("gan", network=network, hidden=16, **options), digit_batch(9)
    steps, last_bias = Steps(model), list(dict(model.discriminator.named_parameters(prefix="discriminator")))[-1]
    for phase in model.phases():
        before = {name: p.clone() for name, p in model.named_parameters()}
        assert math.isfinite(steps.phase(phase, batch, Noise(0)))
        moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
        expected = updated_parameters(model, phase).keys()
        assert moved <= expected
        assert expected - moved <= {last_bias}  # a constant cancels between what real and generated images cost


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(map(str, options.values())))
def test_it_says_whether_it_looks_across_the_batch(options: dict[str, object]) -> None:
    """Two halves give the mean loss of the whole exactly where no image is compared with another."""
    model, batch = make("gan", hidden=16, **options), digit_batch(8)
    for phase in model.phases():
        halves = [
            phase.loss({"image": part}, Noise(0, rank=rank, world_size=2)).total
            for rank, part in enumerate(batch["image"].split(4))
        ]
        same = torch.isclose(sum(halves) / 2, phase.loss(batch, Noise(0)).total, rtol=1e-5)
        assert bool(same) is not model.looks_across_batch


def test_the_penalties_are_added_with_their_weights() -> None:
    batch = digit_batch(8)
    for plain, weighted, term, weight in (
        ({}, {"r1_weight": 3.0}, "r1", 1.5),
        ({"loss": "wgan_gp"}, {"loss": "wgan_gp", "penalty_weight": 4.0}, "penalty", 4.0 - 10.0),
    ):
        first, second = (make("gan", **options).phases()[0].loss(batch, Noise(0)) for options in (plain, weighted))
        assert second.terms[term] > 0
        torch.testing.assert_close(second.total - first.total, weight * second.terms[term], rtol=1e-4, atol=1e-5)


def test_a_spectral_discriminator_cannot_be_steeper_than_its_layers() -> None:
    """Each has Lipschitz constant 1, and LeakyReLU too. In the loop, vectors follow the weights by `set_progress`."""
    model = make("gan", hidden=32, spectral_norm=True, dropout=0.0, loss="hinge")
    steps = Steps(model)
    for step in range(30):
        steps.all(digit_batch(32, step=step), step)
    a, b = digit_batch(64)["image"].flatten(1), model.sample(64, Noise(0)).flatten(1)
    said = [model.discriminator(x.view(-1, 1, 8, 8)).flatten() for x in (a, b)]
    assert ((said[0] - said[1]).abs() <= 1.05 * (a - b).norm(dim=1)).all()


def test_the_generator_waits_for_the_critic() -> None:
    assert [phase.every for phase in make("gan", loss="wgan_gp", critic_steps=5).phases()] == [1, 5]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"loss": "hinge", "label_smoothing": 0.1}, "label_smoothing goes with a logistic loss, got loss='hinge'"),
        ({"loss": "hinge", "penalty_weight": 10}, "penalty_weight is that of wgan_gp, got loss='hinge'"),
        ({"loss": "wgan_gp", "r1_weight": 1}, "r1_weight draws the slope to 0 and wgan_gp to 1, got r1_weight=1"),
        ({"loss": "wasserstein"}, "'nonsaturating', 'minimax', 'wgan_gp' or 'hinge', got 'wasserstein'"),
        ({"packing": 0}, "greater than 0, got 0"),
    ],
)
def test_options_that_do_not_go_together_are_refused(config: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)):
        GANConfig.parse(config)


def test_label_smoothing_is_the_default_of_the_logistic_losses_alone() -> None:
    assert make("gan")._loss.real(torch.tensor([[50.0]])).item() == pytest.approx(0.1 * 50)
    assert make("gan", loss="hinge")._loss.real(torch.tensor([[50.0]])).item() == 0


@pytest.mark.parametrize("value", [-0.1, 0.5, 1])
def test_label_smoothing_stays_below_a_half(value: float) -> None:
    with pytest.raises(UserError, match="label_smoothing"):
        GANConfig.parse({"label_smoothing": value})
