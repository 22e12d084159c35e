import math
from typing import get_args

import pytest
import torch
from torch import nn

from genray.nn import adversarial
from genray.nn.adversarial import adversarial_loss, gradient_penalty, r1_penalty
from genray.nn.noise import Noise


def draws(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def critic() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(2 * 3 * 3, 8), nn.Tanh(), nn.Linear(8, 1)).double()


def test_losses_written_out() -> None:
    """Against the papers' formulas, with probabilities for the logistic ones."""
    x = draws(9, 1)
    d = x.sigmoid()
    expected = {
        "nonsaturating": (-d.log().mean(), -(1 - d).log().mean(), -d.log().mean()),
        "minimax": (-d.log().mean(), -(1 - d).log().mean(), (1 - d).log().mean()),
        "wgan_gp": (-x.mean(), x.mean(), -x.mean()),
        "hinge": (torch.clamp(1 - x, min=0).mean(), torch.clamp(1 + x, min=0).mean(), -x.mean()),
    }
    assert set(expected) == set(get_args(adversarial.Name))
    for name, values in expected.items():
        loss = adversarial_loss(name)
        torch.testing.assert_close((loss.real(x), loss.fake(x), loss.generated(x)), values)


def test_which_games_are_zero_sum_and_which_push_a_generator_that_is_found_out() -> None:
    """At a logit of −9 the minimax loss has no slope left, which is why the non-saturating one is the default."""
    slopes = {}
    for name in get_args(adversarial.Name):
        logit = torch.tensor([[-9.0]], requires_grad=True)
        loss = adversarial_loss(name)
        zero_sum = bool(torch.isclose(loss.generated(logit), -loss.fake(logit)))
        assert zero_sum is (name in ("minimax", "wgan_gp"))
        slopes[name] = torch.autograd.grad(loss.generated(logit), logit)[0].item()
    assert slopes == {"minimax": pytest.approx(-math.exp(-9), rel=1e-3)} | dict.fromkeys(
        ("nonsaturating", "wgan_gp", "hinge"), pytest.approx(-1, abs=1e-3)
    )


def test_r1_and_its_gradient_are_those_of_autograd(critic: nn.Module) -> None:
    images, parameters = draws(6, 2, 3, 3).double(), list(critic.parameters())
    penalty = r1_penalty(critic, images)
    images.requires_grad_()
    [slopes] = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    expected = sum(slope.square().sum() for slope in slopes) / 6
    torch.testing.assert_close(penalty, expected)
    ours, theirs = (torch.autograd.grad(p, parameters[:-1]) for p in (penalty, expected))
    torch.testing.assert_close(ours, theirs)


def test_the_gradient_penalty_is_that_of_autograd(critic: nn.Module) -> None:
    critic, real, fake = critic.float(), draws(6, 2, 3, 3), draws(6, 2, 3, 3, seed=1)
    penalty = gradient_penalty(critic, real, fake, Noise(3))
    share = Noise(3).uniform(6, 1, 1, 1)
    between = (share * real + (1 - share) * fake).requires_grad_()
    [slopes] = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    expected = sum((slope.norm() - 1) ** 2 for slope in slopes) / 6
    torch.testing.assert_close(penalty, expected)
    weight = next(critic.parameters())
    ours, theirs = (torch.autograd.grad(p, weight)[0] for p in (penalty, expected))
    torch.testing.assert_close(ours, theirs)


def test_penalties_of_a_linear_critic_in_closed_form() -> None:
    """D(x) = w·x: R1 is ‖w‖², the gradient penalty (‖w‖ − 1)², anywhere."""
    w = draws(18)
    images = draws(5, 2, 3, 3)

    def critic(x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1) @ w[:, None]

    torch.testing.assert_close(r1_penalty(critic, images), w.square().sum())
    torch.testing.assert_close(gradient_penalty(critic, images, -images, Noise(0)), (w.norm() - 1) ** 2)


def test_a_flat_critic_has_a_penalty_with_a_gradient() -> None:
    """The norm's slope at 0 is not a number, where it is not looked after."""
    critic = nn.Sequential(nn.Flatten(), nn.Linear(18, 1))
    for p in critic.parameters():
        p.data.zero_()
    penalty = gradient_penalty(critic, draws(5, 2, 3, 3), draws(5, 2, 3, 3, seed=1), Noise(0))
    assert penalty.item() == 1
    assert torch.autograd.grad(penalty, critic[1].weight)[0].isfinite().all()
