"""Steps that are recorded and replayed are those that are run as they are."""

import pytest
import torch
from torch import Tensor

from genray import models
from genray.config import Experiment
from genray.data import datasets
from genray.data.spec import Dataset
from genray.models import vae
from genray.train import graphs, steps
from genray.train.distributed import Distributed
from genray.train.trainer import Trainer, make_trainer

CHANGES: list[dict[str, object]] = [
    {"name": "vae", "kl_warmup_epochs": 2.0, "dropout": 0.2},
    {"name": "vae", "binarized": True, "importance_samples": 3, "network": "conv"},
    {"name": "gan", "spectral_norm": True, "loss": "hinge"},
    {"name": "gan", "loss": "wgan_gp", "critic_steps": 3, "network": "conv"},
    *({"name": name} for name in models.names() if name not in ("vae", "gan")),
]
every_change = pytest.mark.parametrize("model", CHANGES, ids=lambda model: "-".join(map(str, model.values())))


def trainer_of(model: dict[str, object], data: Dataset, device: str = "cpu") -> Trainer:
    asked = {"dataset": "digits", "epochs": 5, "batch_size": 64, "model": {"hidden": 16} | model}
    return make_trainer(
        Experiment.parse(asked | {"optimizer": {"clip_norm": 5.0}}), data.training_data, Distributed.single(device)
    )


def trained(trainer: Trainer) -> tuple[list[dict[str, float]], list[Tensor]]:
    """Rows and weights after all epochs, the rate being lowered on the way."""
    rows = []
    while not trainer.finished:
        row = trainer.train_epoch()
        rows.append({key: value for key, value in row.items() if key.startswith("train/")})
        trainer.scale_learning_rates(0.9**trainer.epoch)
    return rows, [*trainer.model.state_dict().values(), *trainer.ema.evaluated().state_dict().values()]


class Recorder:
    """In the place of CUDA graphs: runs the update again, with what it is to read from fixed places."""

    def __init__(self) -> None:
        self.recorded, self.replayed = 0, 0

    def capture(self, update: graphs.Update, generators: object) -> graphs.Update:
        self.recorded += 1

        def replay() -> list[Tensor]:
            self.replayed += 1
            return update()

        return replay

    def renew(self) -> None:
        pass


@every_change
def test_what_a_step_reads_from_fixed_places_is_what_it_is_given(
    model: dict[str, object], digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = trained(trainer_of(model, digits))
    recorder = Recorder()
    monkeypatch.setattr(steps, "graphs_on", lambda place: recorder)
    found = trained(trainer_of(model, digits))
    assert found[0] == expected[0]
    assert all(map(torch.equal, found[1], expected[1]))
    num_steps = 5 * (len(digits.train) // 64)
    assert recorder.replayed + recorder.recorded * graphs.NUM_EAGER >= num_steps * 0.8  # progan has kinds of few steps
    assert recorder.recorded < num_steps / 4


def test_a_step_that_cannot_be_recorded_is_run_as_it_is(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = trained(trainer_of({"name": "vae"}, digits))

    class Refuses(Recorder):
        def capture(self, update: graphs.Update, generators: object) -> graphs.Update:
            raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(steps, "graphs_on", lambda place: Refuses())
    found = trained(trainer_of({"name": "vae"}, digits))
    assert found[0] == expected[0]
    assert all(map(torch.equal, found[1], expected[1]))


def test_a_model_that_does_not_say_what_it_branches_on_is_not_recorded(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    monkeypatch.setattr(steps, "graphs_on", lambda place: recorder)
    monkeypatch.delattr(vae.Model, "branch")
    trained(trainer_of({"name": "vae"}, digits))
    assert not recorder.recorded


@pytest.fixture
def reproducible(monkeypatch: pytest.MonkeyPatch) -> None:
    """cuDNN's faster convolutions add up in an order of their own each time."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)


@pytest.mark.gpu
@pytest.mark.usefixtures("reproducible")
@every_change
def test_a_replayed_step_gives_what_the_step_gives_on_cuda(
    model: dict[str, object], digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = trained(trainer_of(model, digits, "cuda"))
    monkeypatch.setattr(steps, "graphs_on", lambda place: None)
    expected = trained(trainer_of(model, digits, "cuda"))
    for a, b in zip(found[0], expected[0], strict=True):
        assert a == pytest.approx(b, rel=1e-4)
    for x, y in zip(found[1], expected[1], strict=True):
        torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-4)


@pytest.mark.gpu
def test_a_loss_that_waits_for_the_device_is_run_as_it_is(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = trained(trainer_of({"name": "vae"}, digits, "cuda"))
    loss = vae.Model.loss
    monkeypatch.setattr(
        vae.Model, "loss", lambda self, batch, noise: (batch["image"].sum().item(), loss(self, batch, noise))[1]
    )
    found = trained(trainer_of({"name": "vae"}, digits, "cuda"))
    for a, b in zip(found[0], expected[0], strict=True):
        assert a == pytest.approx(b, rel=1e-4)


@pytest.mark.gpu
def test_a_run_that_goes_on_is_the_undisturbed_one_on_cuda() -> None:
    data = datasets.load("digits")
    whole, begun, resumed = (trainer_of({"name": "gan"}, data, "cuda") for _ in range(3))
    rows = [whole.train_epoch() for _ in range(4)]
    for _ in range(2):
        begun.train_epoch()
    resumed.restore(begun.state())
    for row in rows[2:]:
        found = resumed.train_epoch()
        assert {k: v for k, v in found.items() if k != "train_seconds"} == pytest.approx(
            {k: v for k, v in row.items() if k != "train_seconds"}, rel=1e-4
        )
