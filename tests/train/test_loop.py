from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_leaves

from genray import checkpoint
from genray.config import Experiment
from genray.data.spec import Dataset
from genray.errors import Fault, UserError
from genray.evaluation.judge import make_judge
from genray.extractors.base import FeatureSet
from genray.models import vae
from genray.runs import Row, Run, create_run, load, open_run
from genray.train.distributed import Distributed
from genray.train.loop import Outcome, train
from genray.train.trainer import make_trainer
from tests.train.common import experiment


def run_to_end(asked: Experiment, data: Dataset, path: Path, stop_after: int | None = None) -> tuple[Run, Outcome]:
    """Trains; with `stop_after`, `report` asks to stop at that epoch."""
    run = create_run(path, asked, resume=True)

    def report(row: Row) -> bool:
        return stop_after is None or row["epoch"] < stop_after

    single = Distributed.single()
    return run, train(asked, data.training_data, run, judge=None, report=report, distributed=single)


def weights(run: Run) -> list[torch.Tensor]:
    state, _ = checkpoint.read(run.checkpoint_path)
    return [*state["model"].values(), *state["ema"].values()]


def losses(run: Run) -> list[Row]:
    return [{key: value for key, value in row.items() if key != "train_seconds"} for row in run.history]


def test_a_resumed_run_is_bitwise_the_undisturbed_one(digits: Dataset, tmp_path: Path) -> None:
    whole, _ = run_to_end(experiment(), digits, tmp_path / "whole")
    halted, outcome = run_to_end(experiment(), digits, tmp_path / "halted", stop_after=2)
    assert outcome.stopped
    assert halted.history[-1]["epoch"] == 2
    resumed, outcome = run_to_end(experiment(), digits, tmp_path / "halted")
    assert not outcome.stopped
    assert losses(resumed) == losses(whole)
    for a, b in zip(weights(resumed), weights(whole), strict=True):
        assert torch.equal(a, b)


def test_a_checkpoint_is_loaded_where_there_is_no_float64(digits: Dataset, tmp_path: Path) -> None:
    """As on Apple's MPS, where a run that was trained elsewhere may be sampled, scored and gone on with."""
    run, _ = run_to_end(experiment(), digits, tmp_path / "run")
    state, _ = checkpoint.read(run.checkpoint_path)
    tensors = [value for value in tree_leaves(state) if isinstance(value, torch.Tensor)]
    assert {value.dtype for value in tensors} == {torch.float32}


def test_rows_after_the_checkpoint_are_trained_again_not_doubled(digits: Dataset, tmp_path: Path) -> None:
    asked = experiment(epochs=3, evaluate_every=1, checkpoint_every=2)
    run, _ = run_to_end(asked, digits, tmp_path / "run", stop_after=2)
    with run.metrics_path.open("a") as file:  # a kill between the row of epoch 3 and its checkpoint
        file.write(json.dumps({"epoch": 3, "step": 0, "train_seconds": 0.0}) + '\n{"epoch": 4, "st')
    run_to_end(asked, digits, tmp_path / "run")
    assert [row["epoch"] for row in run.history] == [0, 1, 2, 3]
    assert run.history[-1]["step"] > 0


def test_a_finished_run_tells_its_last_row_again_and_trains_no_more(digits: Dataset, tmp_path: Path) -> None:
    asked = experiment()
    run, first = run_to_end(asked, digits, tmp_path / "run")
    before = run.checkpoint_path.read_bytes()
    told: list[Row] = []
    single = Distributed.single()
    train(
        asked,
        digits.training_data,
        run,
        judge=None,
        report=lambda row: told.append(row) is None,
        distributed=single,
    )
    assert told == [first.row]
    assert run.checkpoint_path.read_bytes() == before


def test_training_learns_and_reports_when_due(digits: Dataset, tmp_path: Path) -> None:
    asked = experiment(epochs=5, evaluate_every=2)
    run = create_run(tmp_path / "run", asked)
    told: list[Row] = []

    def report(row: Row) -> bool:
        told.append(row)
        return True

    train(asked, digits.training_data, run, judge=None, report=report, distributed=Distributed.single())
    assert [row["epoch"] for row in told] == [2, 4, 5]
    history = run.history
    assert [row["epoch"] for row in history] == [0, 1, 2, 3, 4, 5]
    assert history[-1]["train/elbo/loss"] < 0.9 * history[1]["train/elbo/loss"]


def test_a_loss_that_is_not_finite_ends_the_run_with_step_phase_and_terms(digits: Dataset, tmp_path: Path) -> None:
    asked = experiment(**{"optimizer.learning_rate": 1e12})
    run = create_run(tmp_path / "run", asked)
    with pytest.raises(Fault, match=r"not finite at step \d+ in phase 'elbo': loss=(nan|inf).*=.*; lower"):
        train(asked, digits.training_data, run, judge=None, report=lambda row: True, distributed=Distributed.single())
    assert not run.checkpoint_path.exists()


@pytest.mark.parametrize("names", [("class_entropy", "elbo"), ("elbo",)])
def test_samples_that_are_not_finite_end_the_run_and_what_stands_is_logged(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    """Of the model's own scores too: a trial that was searched for its ELBO must not be found good."""
    monkeypatch.setattr(vae.Model, "sample", lambda self, n, noise, label=None: torch.full((n, 1, 8, 8), torch.nan))
    run = create_run(tmp_path / "run", experiment(metrics=list(names)))
    judge, data = make_judge(NoFeatures(), digits.validation, names), digits.training_data
    with pytest.raises(Fault, match=r"^samples must be finite, got 270 of 270 with NaN or infinity; lower"):
        train(run.experiment, data, run, judge=judge, report=lambda row: True, distributed=Distributed.single())
    [row] = run.history
    assert [key for key in row if key.startswith("validation/")] == ["validation/elbo"]
    assert not run.checkpoint_path.exists()


class NoFeatures:
    """In place of an extractor."""

    @property
    def classifier(self) -> NoFeatures:
        return self

    def features(self, images: object, device: object = "cpu") -> FeatureSet:
        return FeatureSet(np.zeros((len(images), 2), np.float32), np.full((len(images), 10), 0.1, np.float32))


def test_the_step_that_is_named_is_the_first_bad_one(digits: Dataset) -> None:
    trainer = make_trainer(experiment(), digits.training_data, Distributed.single())
    for step in range(7):
        trainer.train_step(step)
    with torch.no_grad():
        next(trainer.model.parameters()).fill_(torch.nan)
    for step in range(7, 12):
        trainer.train_step(step)
    with pytest.raises(Fault, match="at step 7 in phase 'elbo'"):
        trainer.phases[0].end_epoch(Distributed.single())


def test_gradient_clipping_bounds_what_an_sgd_like_step_sees(digits: Dataset) -> None:
    trainer = make_trainer(experiment(**{"optimizer.clip_norm": 1e-3}), digits.training_data, Distributed.single())
    trainer.train_step(0)
    [runner] = trainer.phases
    norm = torch.linalg.vector_norm(torch.cat([vector.grad for vector in runner.optimizer.param_groups[0]["params"]]))
    torch.testing.assert_close(norm, torch.tensor(1e-3), rtol=1e-3, atol=0)


def test_an_unknown_phase_is_refused_before_training(digits: Dataset) -> None:
    asked = experiment(**{"optimizer.phases": {"elbow": {"learning_rate": 1e-3}}})
    with pytest.raises(UserError, match="did you mean 'elbo'"):
        make_trainer(asked, digits.training_data, Distributed.single())


def test_a_run_loads_as_the_averaged_model(digits: Dataset, tmp_path: Path) -> None:
    asked = experiment(ema_decay=0.9)
    run, _ = run_to_end(asked, digits, tmp_path / "run")
    model = load(run.path)
    state, spec = checkpoint.read(run.checkpoint_path)
    assert spec == digits.spec
    for name, p in model.named_parameters():
        assert torch.equal(p, state["ema"][name])
        assert not p.requires_grad
    assert any(not torch.equal(state["ema"][name], state["model"][name]) for name in state["ema"])


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"not a checkpoint" * 99])
def test_a_damaged_checkpoint_is_named(damage: object, digits: Dataset, tmp_path: Path) -> None:
    run, _ = run_to_end(experiment(epochs=2), digits, tmp_path / "run")
    run.checkpoint_path.write_bytes(damage(run.checkpoint_path.read_bytes()))
    with pytest.raises(UserError, match=r"state\.pt cannot be read as a checkpoint .*; remove it") as caught:
        load(run.path)
    assert "\n" not in str(caught.value)


def test_folders_that_are_no_run_or_another_are_refused(tmp_path: Path) -> None:
    asked = experiment()
    create_run(tmp_path / "run", asked)
    with pytest.raises(UserError, match="holds a run already; go on with it by --resume"):
        create_run(tmp_path / "run", asked)
    with pytest.raises(UserError, match=r"differs in model\.hidden, seed"):
        create_run(tmp_path / "run", experiment(seed=5, **{"model.hidden": 17}), resume=True)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(UserError, match="is there and is not a run"):
        create_run(tmp_path / "thesis", asked, resume=True)
    with pytest.raises(UserError, match="cannot write the run to"):
        create_run(tmp_path / "thesis" / "chapter.txt" / "run", asked)
    with pytest.raises(UserError, match=r"holds no experiment\.yaml"):
        open_run(tmp_path / "thesis")
    with pytest.raises(UserError, match="is not a folder"):
        open_run(tmp_path / "nowhere")
