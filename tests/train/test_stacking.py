"""What cannot be packed is refused, with the reason."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from genray.data.spec import Dataset
from genray.errors import UserError
from genray.models import vae
from genray.models.base import Batch, GenerativeModel, Loss
from genray.nn.noise import Noise
from genray.train import pack, stacking
from genray.train.draws import Draw
from genray.train.pack import Pack
from genray.train.trainer import Trainer
from tests.train.packs import Changes, member, together, vaes, weights

LOSS = vae.Model.loss


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model.hidden": 13}, "has model.hidden one for all, got 12 and, of member 1, 13"),
        ({"model.dropout": 0.0}, "has model.dropout 0 in all members or in none, got 0.2 and, of member 1, 0.0"),
        ({"model.sigma": 0.3}, "has model.sigma one for all, got 'learned' and, of member 1, 0.3"),
        ({"batch_size": 16}, "has batch_size one for all"),
        ({"epochs": 6}, "has epochs one for all"),
        ({"precision": "bfloat16"}, "has precision one for all"),
    ],
)
def test_runs_of_other_shapes_are_refused(changes: Changes, reason: str, digits: Dataset) -> None:
    with pytest.raises(UserError, match=f"^a pack {reason}"):
        Pack([*vaes(digits, 1), *vaes(digits, 1, **changes)])


def test_runs_that_share_no_clock_or_data_are_refused(digits: Dataset) -> None:
    with pytest.raises(UserError, match="takes a budget of epochs or images, got 3 s of training"):
        Pack(vaes(digits, epochs=None, budget={"seconds": 3}))
    first, second = vaes(digits, 2)
    second.batches._images = second.batches._images.flip(0)
    with pytest.raises(UserError, match="has one training split, got another one of member 1"):
        Pack([first, second])


def _writes(self: vae.Model, batch: Batch, noise: Noise) -> Loss:
    self.kl_weight.value.mul_(0.9)
    return LOSS(self, batch, noise)


def _orders(self: vae.Model, batch: Batch, noise: Noise) -> Loss:
    return LOSS(self, batch if self.config.dropout > 0.25 else {**batch}, noise)


def _hides(self: vae.Model, batch: Batch, noise: Noise) -> Loss:
    return LOSS(self, {"image": batch["image"] * self.hidden_from_sight[0]}, noise)


def _draws_itself(self: vae.Model, batch: Batch, noise: Noise) -> Loss:
    return LOSS(self, {"image": batch["image"] + torch.randn(())}, noise)


def _draws_apart(self: vae.Model, batch: Batch, noise: Noise) -> Loss:
    noise.uniform(self.hidden_from_sight[1])
    return LOSS(self, batch, noise)


@pytest.mark.parametrize(
    ("loss", "reason"),
    [
        (_writes, "it writes into a buffer of the model, which is for set_progress to do"),
        (_orders, "'>' not supported between instances of 'Number' and 'float'"),
        (_hides, "what member 1 gives there is another than what it gives alone"),
        (_draws_itself, "vmap: called random operation"),
        (_draws_apart, "members draw other noise"),
    ],
)
def test_a_loss_that_cannot_be_stacked_is_refused_with_the_reason(
    loss: Callable[..., Loss], reason: str, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vae.Model, "loss", loss)
    trainers = [member(digits, {"name": "vae", "dropout": p}, seed=int(10 * p)) for p in (0.2, 0.3)]
    for number, trainer in enumerate(trainers):
        trainer.model.hidden_from_sight = (1.0 + 0.1 * number, 1 + number)
    before = [w.clone() for trainer in trainers for w in weights(trainer)]
    with pytest.raises(UserError, match=r"needs losses that torch.func.vmap can stack, got .*vae, phase 'elbo': ") as e:
        Pack(trainers)
    assert reason in str(e.value)
    assert all(map(torch.equal, [w for trainer in trainers for w in weights(trainer)], before))


def test_a_newcomer_is_compared_with_one_of_those_that_were_compared_before(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all of them where it has a number of its own that they had in common."""
    compared: list[int] = []
    learn = stacking.learn

    def counted(trainers: list[Trainer], *given: Any) -> list[Draw]:
        compared.append(len(trainers))
        return learn(trainers, *given)

    monkeypatch.setattr(pack, "learn", counted)
    first, second, third, fourth, fifth = vaes(digits, 5)
    packed = Pack([first, second, third])
    packed.take_in(fourth)
    other = member(digits, {"name": "vae", "dropout": 0.3}, seed=5)
    packed.take_in(other)
    packed.leave(first)
    packed.take_in(fifth)
    assert compared == [3, 2, 5, 2]


def test_a_newcomer_that_gives_another_loss_is_refused_and_the_others_go_on(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vae.Model, "loss", _hides)
    expected, (first, second, third) = vaes(digits, 2), vaes(digits, 3)
    for trainer, hidden in zip([*expected, first, second, third], [1.0, 1.0, 1.0, 1.0, 1.1], strict=True):
        trainer.model.hidden_from_sight = (hidden, 1)
    packed = together([first, second], range(5))
    first.step = second.step = 5
    before = [w.clone() for w in weights(third)]
    with pytest.raises(UserError, match="what member 1 gives there is another than what it gives alone"):
        packed.take_in(third)
    assert all(map(torch.equal, weights(third), before))
    for step in range(5, 10):
        packed.train_step([step, step])
    together(expected, range(10))
    for a, b in zip([first, second], expected, strict=True):
        assert all(map(torch.equal, weights(a), weights(b)))


def test_a_model_that_does_not_say_what_it_branches_on_is_refused(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vae.Model, "branch", GenerativeModel.branch)
    with pytest.raises(UserError, match=r"one branch in all members, got None of genray\.models\.vae"):
        Pack(vaes(digits))
