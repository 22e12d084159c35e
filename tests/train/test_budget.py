"""Budgets in seconds and images: where a run ends, that it goes on where it was, and what schedules are told."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from genray import checkpoint
from genray.config import Experiment
from genray.data.spec import Dataset
from genray.models.base import Progress
from genray.nn.noise import Noise
from genray.runs import Row, Run, create_run, load
from genray.train import trainer
from genray.train.distributed import Distributed
from genray.train.loop import Outcome, train
from genray.train.pace import MOST_BEHIND, Pace, pace_on
from genray.train.trainer import make_trainer
from tests.train.common import experiment


def run_to_end(
    asked: Experiment, data: Dataset, path: Path, report: Callable[[Row], bool] = lambda row: True
) -> tuple[Run, Outcome]:
    run = create_run(path, asked, resume=True)
    single = Distributed.single()
    return run, train(asked, data.training_data, run, judge=None, report=report, distributed=single)


@pytest.fixture
def slow_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock of its own for the loop: each step takes a tenth of a second, and nothing else takes any."""
    done = 0
    update = trainer.PhaseRunner.update

    def counted(self: trainer.PhaseRunner, *args: Any) -> Tensor:
        nonlocal done
        done += 1
        return update(self, *args)

    monkeypatch.setattr(trainer.PhaseRunner, "update", counted)
    monkeypatch.setattr(trainer.time, "perf_counter", lambda: done / 10)


@pytest.mark.parametrize(
    ("images", "batch_size", "steps"), [(2_000, 64, 32), (1_152, 64, 18), (1, 64, 1), (2_000, 100, 20)]
)
def test_images_end_at_the_step_that_reaches_them(
    digits: Dataset, tmp_path: Path, images: int, batch_size: int, steps: int
) -> None:
    """ceil(images / batch size) steps, in whichever epoch that is."""
    asked = experiment(epochs=None, budget={"images": images}, batch_size=batch_size)
    run, outcome = run_to_end(asked, digits, tmp_path / "run")
    last = run.history[-1]
    per_epoch = len(digits.train) // batch_size
    assert (last["step"], last["epoch"]) == (steps, -(-steps // per_epoch))
    assert outcome.row == last
    assert not outcome.stopped
    assert asked.share_done(last) == 1


def test_images_that_fill_epochs_are_those_epochs(digits: Dataset, tmp_path: Path) -> None:
    """Bitwise the same run as the one that is given them as epochs."""
    by_epochs, _ = run_to_end(experiment(epochs=3), digits, tmp_path / "epochs")
    by_images, _ = run_to_end(experiment(epochs=None, budget={"images": 3 * 18 * 64}), digits, tmp_path / "images")
    states = [checkpoint.read(run.checkpoint_path)[0]["model"] for run in (by_epochs, by_images)]
    assert all(torch.equal(a, b) for a, b in zip(*(s.values() for s in states), strict=True))


def test_seconds_end_at_the_step_that_reaches_them(digits: Dataset, tmp_path: Path, slow_steps: None) -> None:
    run, outcome = run_to_end(experiment(epochs=None, budget={"seconds": 2.5}), digits, tmp_path / "run")
    last = run.history[-1]
    assert (last["step"], last["epoch"], last["train_seconds"]) == (25, 2, 2.5)  # 18 steps an epoch
    assert not outcome.stopped


def test_seconds_that_are_used_count_after_a_stop(digits: Dataset, tmp_path: Path, slow_steps: None) -> None:
    """Stopped after two epochs, 3.6 s: what is left of 5 s is 14 steps."""
    asked = experiment(epochs=None, budget={"seconds": 5.0})
    run, outcome = run_to_end(asked, digits, tmp_path / "run", lambda row: row["epoch"] < 2)
    assert outcome.stopped
    assert run.history[-1]["train_seconds"] == 3.6
    run, outcome = run_to_end(asked, digits, tmp_path / "run")
    assert (run.history[-1]["step"], run.history[-1]["train_seconds"]) == (50, 5.0)
    assert not outcome.stopped
    before = run.checkpoint_path.read_bytes()
    told: list[Row] = []
    run_to_end(asked, digits, tmp_path / "run", lambda row: told.append(row) is None)
    assert told == [outcome.row]  # it is used up: told again, trained no more
    assert run.checkpoint_path.read_bytes() == before
    assert load(run.path).sample(2, Noise(0)).isfinite().all()


def test_a_stopped_run_of_images_is_bitwise_the_undisturbed_one(digits: Dataset, tmp_path: Path) -> None:
    asked = experiment(epochs=None, budget={"images": 4_000})
    whole, _ = run_to_end(asked, digits, tmp_path / "whole")
    run_to_end(asked, digits, tmp_path / "halted", lambda row: row["epoch"] < 2)
    resumed, _ = run_to_end(asked, digits, tmp_path / "halted")
    assert resumed.history[-1]["step"] == 63
    states = [checkpoint.read(run.checkpoint_path)[0] for run in (whole, resumed)]
    for part in ("model", "ema"):
        assert all(torch.equal(a, b) for a, b in zip(*(s[part].values() for s in states), strict=True))


@pytest.fixture
def slow_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock of its own: the device takes a tenth of a second for each step, and launching one takes no time."""
    now, launched = 0, 0

    class Event:
        def record(self) -> None:
            nonlocal launched
            launched += 1
            self.done = launched

        def synchronize(self) -> None:
            nonlocal now
            now = max(now, self.done)

    end_epoch = trainer.Trainer.end_epoch

    def waits(self: trainer.Trainer) -> Row:
        nonlocal now
        now = launched
        return end_epoch(self)

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(trainer, "pace_on", lambda place: Pace())
    monkeypatch.setattr(trainer.Trainer, "end_epoch", waits)
    monkeypatch.setattr(trainer.time, "perf_counter", lambda: now / 10)


def test_seconds_are_held_where_a_device_is_slower_than_what_launches_its_steps(
    digits: Dataset, slow_device: None
) -> None:
    """In the midst of an epoch of 89 steps: to the step, and the few that were launched before it was known."""
    asked = experiment(epochs=None, budget={"seconds": 4.0}, batch_size=13)
    one, told = make_trainer(asked, digits.training_data, Distributed.single()), list[Progress]()
    one.model.set_progress = told.append
    row = one.train_epoch()
    assert one.finished
    assert (row["step"], row["train_seconds"]) == (40 + MOST_BEHIND, 4.0 + MOST_BEHIND / 10)
    for step, progress in enumerate(told):
        assert progress.spent == (pytest.approx(max(0, step - MOST_BEHIND) / 10), 4.0)


@pytest.mark.gpu
def test_the_device_is_never_more_than_a_few_steps_behind_on_cuda() -> None:
    """By events of the test's own, after products that take it far longer than their launch."""
    pace, done = pace_on(Distributed.single("cuda")), list[torch.cuda.Event]()
    assert pace is not None
    x = torch.eye(4096, device="cuda")
    for step in range(3 * MOST_BEHIND):
        for _ in range(10):
            x = x @ x
        done.append(torch.cuda.Event())
        done[-1].record()
        pace.keep()
        assert step < MOST_BEHIND or done[step - MOST_BEHIND].query()


def test_real_seconds_leave_evaluation_out(digits: Dataset, tmp_path: Path) -> None:
    """The first two reports take longer than the whole budget each, and do not end the run."""
    asked = experiment(epochs=None, budget={"seconds": 1.5}, evaluate_every=1)
    pauses = iter((1.6, 1.6))
    run, _ = run_to_end(asked, digits, tmp_path / "run", lambda row: time.sleep(next(pauses, 0.0)) is None)
    used = [row["train_seconds"] for row in run.history]
    assert len(used) > 2
    assert used[-2] < 1.5 <= used[-1]


def test_schedules_are_told_the_share_of_seconds(digits: Dataset, slow_steps: None) -> None:
    """40 steps of a tenth: as with 40 steps, the share is i / 40, so that growth comes at the same steps."""

    def told(asked: Experiment) -> list[Progress]:
        trainer = make_trainer(asked, digits.training_data, Distributed.single())
        seen: list[Progress] = []
        trainer.model.set_progress = seen.append
        while not trainer.finished:
            trainer.train_epoch()
        return seen

    by_steps = told(experiment(epochs=None, budget={"images": 40 * 64}))
    by_seconds = told(experiment(epochs=None, budget={"seconds": 4.0}))
    assert len(by_steps) == len(by_seconds) == 40
    for step, (one, other) in enumerate(zip(by_steps, by_seconds, strict=True)):
        assert one.spent == (step, 40)
        assert other.spent == (pytest.approx(step / 10), 4.0)
        assert (one.step, one.epoch) == (other.step, other.epoch)
    assert [p.spent_before[0] for p in by_seconds[1:]] == [p.spent[0] for p in by_seconds[:-1]]


def test_a_level_that_begins_between_stop_and_resumption_begins_anew(
    digits: Dataset, tmp_path: Path, slow_steps: None
) -> None:
    """The clock of the last step before a stop is kept: the level may change at the first one after it."""
    asked = experiment(epochs=None, budget={"seconds": 3.6}, checkpoint_every=1, evaluate_every=1)
    trainer = make_trainer(asked, digits.training_data, Distributed.single())
    trainer.train_epoch()
    resumed = make_trainer(asked, digits.training_data, Distributed.single())
    resumed.restore(trainer.state())
    told = resumed.meter.tell(18)
    assert told == trainer.meter.tell(18)
    assert (told.spent_before[0], told.spent[0]) == (pytest.approx(1.7), pytest.approx(1.8))
