"""What the loop does for a model that grows, and for phases that take turns.

A model of scalars, so that each update can be done by hand.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from genray.models.base import Batch, GenerativeModel, Loss, Phase, Progress
from genray.nn.noise import Noise
from genray.settings import ModelConfig, OptimizerConfig
from genray.train.distributed import Distributed
from genray.train.trainer import Trainer
from tests.train.common import experiment

RATE = 0.1
ADAM = OptimizerConfig(learning_rate=RATE)


class Weight(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor([value]))


class Growing(GenerativeModel):
    """`old` is pulled by a steady gradient; `new` takes part from step 3 on, where the optimizers may begin anew."""

    Config = ModelConfig

    def __init__(self, *, anew: bool, every: int = 1) -> None:
        nn.Module.__init__(self)
        self.net = nn.ModuleDict({"old": Weight(0.0), "new": Weight(0.0)})
        self.other = Weight(1.0)
        self.anew, self.every, self.grown = anew, every, False

    def phases(self) -> list[Phase]:
        return [Phase("net", ("net",), self.loss, ADAM), Phase("other", ("other",), self.other_loss, ADAM, self.every)]

    def loss(self, batch: Batch, noise: Noise) -> Loss:
        weights = [self.net["old"].value] + ([self.net["new"].value] if self.grown else [])
        return Loss(sum(weight.sum() for weight in weights), {})

    def other_loss(self, batch: Batch, noise: Noise) -> Loss:
        return Loss(self.other.value.sum(), {})

    def sample(self, n: int, noise: Noise, *, label: Tensor | None = None) -> Tensor:
        raise NotImplementedError

    def set_progress(self, progress: Progress) -> None:
        self.grown = progress.step >= 3

    def begins_anew(self, progress: Progress) -> bool:
        return self.anew and progress.step == 3


class FourSteps:
    steps_per_epoch = 4

    def __getitem__(self, step: int) -> Batch:
        return {}


def trained(model: Growing) -> dict[str, float]:
    trainer = Trainer(experiment(ema_decay=0.0), model, FourSteps(), Distributed.single())
    row = trainer.train_epoch()
    assert row["step"] == 4
    return {name: p.item() for name, p in model.named_parameters()} | {key: v for key, v in row.items() if "/" in key}


def test_a_part_that_takes_no_part_does_not_move() -> None:
    """Adam's step under a steady gradient is its rate: `old` made four, `new` one, after three with gradient 0."""
    values = trained(Growing(anew=True))
    assert values["net.old.value"] == pytest.approx(-4 * RATE, rel=1e-4)
    assert values["net.new.value"] == pytest.approx(-RATE, rel=1e-4)


def test_without_a_new_beginning_the_first_step_of_a_new_part_is_out_of_scale() -> None:
    """m̂/√v̂ of one gradient of 1 after three of 0, by Adam's own formulas: what `begins_anew` is for."""
    first_moment, second_moment = (1 - 0.9) / (1 - 0.9**4), (1 - 0.999) / (1 - 0.999**4)
    expected = -RATE * first_moment / second_moment**0.5
    assert trained(Growing(anew=False))["net.new.value"] == pytest.approx(expected, rel=1e-4)
    assert expected != pytest.approx(-RATE, rel=0.1)


def test_a_phase_has_its_turn_at_every_so_many_steps() -> None:
    assert trained(Growing(anew=False, every=2))["other.value"] == pytest.approx(1 - 2 * RATE, rel=1e-4)


def test_a_phase_that_had_no_turn_in_an_epoch_has_no_row() -> None:
    trainer = Trainer(experiment(ema_decay=0.0), Growing(anew=False, every=5), FourSteps(), Distributed.single())
    assert "train/other/loss" in trainer.train_epoch()
    row = trainer.train_epoch()  # steps 4 to 7, of which 5 would be the turn
    assert "train/other/loss" in row
    sparse = Trainer(experiment(ema_decay=0.0), Growing(anew=False, every=9), FourSteps(), Distributed.single())
    sparse.train_epoch()
    assert "train/other/loss" not in sparse.train_epoch()
