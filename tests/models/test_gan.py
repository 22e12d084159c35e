import math

import pytest
import torch
from torch import nn

from genray.errors import UserError
from genray.models.gan import GANConfig, Model
from genray.nn.noise import Noise
from tests.models.steps import DIGITS, Steps, digit_batch, make


def undecided(model: nn.Module) -> None:
    """A discriminator whose logit is 0 for every image: D = ½."""
    for p in model.discriminator.head.parameters():  # type: ignore[union-attr]
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
    on_real = model.discriminator(batch["image"]).sigmoid()  # type: ignore[operator]
    on_fake = model.discriminator(model.sample(16, Noise(3))).sigmoid()  # type: ignore[operator]
    discriminator, generator = (phase.loss(batch, Noise(3)).total for phase in model.phases())
    torch.testing.assert_close(discriminator, -on_real.log().mean() - (1 - on_fake).log().mean())
    torch.testing.assert_close(generator, -on_fake.log().mean())


def test_a_generator_step_raises_what_the_discriminator_says_of_samples() -> None:
    model, batch = make("gan", dropout=0.0), digit_batch(32)
    steps = Steps(model)
    discriminator, generator = model.phases()
    for _ in range(20):
        steps.phase(discriminator, batch, Noise(0))
    logits = [model.discriminator(model.sample(64, Noise(1))).mean().item()]  # type: ignore[operator]
    for _ in range(5):
        steps.phase(generator, batch, Noise(0))
        logits.append(model.discriminator(model.sample(64, Noise(1))).mean().item())  # type: ignore[operator]
    assert logits == sorted(logits)


def test_dropout_is_the_discriminators() -> None:
    model = Model(GANConfig(dropout=0.5), DIGITS)
    assert (model.discriminator.dropout, model.generator.dropout) == (0.5, 0.0)


@pytest.mark.parametrize("value", [-0.1, 0.5, 1])
def test_label_smoothing_stays_below_a_half(value: float) -> None:
    with pytest.raises(UserError, match="label_smoothing"):
        GANConfig.parse({"label_smoothing": value})
