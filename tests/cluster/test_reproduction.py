"""What docs/results.md says of determinism, on a real Ray: a recorded trial is done again, bit for bit, by its file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.trial import TrialState

import genray
from genray import checkpoint
from genray.cli import main
from genray.cluster import environment
from genray.cluster.sweep import sweep
from genray.runs import Row, Run, open_run
from genray.space import Sweep
from tests.cluster.test_conductor import trials

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]  # Ray and Tune warn of themselves

TREE: dict[str, Any] = {
    "experiment": {
        "dataset": "digits",
        "epochs": 4,
        "evaluate_every": 1,
        "metrics": ["frechet"],
        "resources": {"gpu": 0},
    },
    "models": ["vae"],
    "search": {
        "model.hidden": {"int": [16, 64]},
        "optimizer.learning_rate": {"loguniform": [5e-4, 4e-3]},
        "batch_size": {"choice": [32, 64]},
        "seed": {"int": [0, 9]},
    },
    "trials": 8,
    "optuna": {"sampler": "tpe", "seed": 1},
    "scheduler": {"asha": {"grace_epochs": 1, "reduction": 2}},
    "finalists": {"seeds": 1},
    "controls": False,
    "lanes": 2,
}


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    environment.prepare(None)
    from genray.cluster import resources

    with resources.connected(None, data_bytes=10_000_000, verbose=False):
        yield


def rows(run: Run) -> list[Row]:
    return [{key: value for key, value in row.items() if key != "train_seconds"} for row in run.history]


def again(run: Run, out: Path) -> Run:
    """By the command of docs/results.md."""
    config = str(run.path / "experiment.yaml")
    assert main(["train", run.experiment.model.name, "--config", config, "--out", str(out)]) == 0
    return open_run(out)


def assert_same_state(one: Run, other: Run) -> None:
    states = [checkpoint.read(run.checkpoint_path)[0] for run in (one, other)]
    for part in ("model", "ema"):
        assert states[0][part].keys() == states[1][part].keys()
        for name, value in states[0][part].items():
            assert torch.equal(value, states[1][part][name]), name


def test_each_trial_of_tpe_and_each_finalist_is_done_again_by_its_experiment(tmp_path: Path) -> None:
    out = tmp_path / "out"
    sweep(Sweep.parse(TREE), out=out)
    recorded = trials(out)
    assert {trial.state for trial in recorded} == {TrialState.COMPLETE, TrialState.PRUNED}
    assert len(recorded) == 8
    for trial in recorded:
        run = open_run(out / trial.user_attrs["run"])
        assert run.experiment == Sweep.parse(TREE).experiment_of("vae", trial.params)
        repeated = again(run, tmp_path / "again" / run.path.name)
        told = rows(run)
        assert len(told) == 5 or trial.state == TrialState.PRUNED
        assert rows(repeated)[: len(told)] == told
        for epoch, value in trial.intermediate_values.items():
            assert repeated.history[epoch]["validation/frechet"] == value
        if trial.state == TrialState.COMPLETE:
            assert_same_state(run, repeated)

    finalist = open_run(out / "vae" / "finalist_0")
    repeated = again(finalist, tmp_path / "again" / "finalist_0")
    assert_same_state(finalist, repeated)
    result = genray.evaluate(repeated.path)
    assert finalist.result is not None
    for key in ("metrics", "experiment", "fingerprint", "extractor", "floor", "test_reads"):
        assert result[key] == finalist.result[key], key


def test_a_random_search_is_the_same_on_one_lane_and_on_two(tmp_path: Path) -> None:
    tree = TREE | {"optuna": {"sampler": "random", "seed": 1}, "scheduler": None, "trials": 3}
    for lanes in (1, 2):
        sweep(Sweep.parse(tree | {"lanes": lanes}), out=tmp_path / str(lanes))
    for name in ("trial_0000", "trial_0001", "trial_0002", "finalist_0"):
        one, two = (open_run(tmp_path / lanes / "vae" / name) for lanes in ("1", "2"))
        assert one.experiment == two.experiment
        assert rows(one) == rows(two)
        assert_same_state(one, two)
