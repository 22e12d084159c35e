"""What a sweep will need: the arithmetic against sums by hand, and the whole on a real Ray."""

import json
import random
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from genray.cluster.measure import Cost, ModelCost, _nodes, _weight
from genray.cluster.schedule import Queue, resource_of_trials, wall_seconds
from genray.distributions import Choice, Integer, LogUniform, Uniform
from genray.space import Sweep

ASHA = {"asha": {"grace_epochs": 10, "reduction": 2}}


def sweep(**values: Any) -> Sweep:
    return Sweep.parse(
        {
            "experiment": {"dataset": "digits", "epochs": 40, "evaluate_every": 10, "checkpoint_every": 20},
            "models": ["vae"],
            "trials": 8,
            "finalists": {"seeds": 2},
        }
        | values
    )


def test_a_run_costs_its_steps_evaluations_and_checkpoints() -> None:
    cost = Cost(build=1.0, step=0.01, epoch=0.5, evaluation=2.0, checkpoint=0.25, steps_per_epoch=30)
    experiment = sweep().first_experiment("vae")
    assert cost.of(experiment, 40) == pytest.approx(1 + 40 * (30 * 0.01 + 0.5) + 5 * 2 + 2 * 0.25)
    assert cost.of(experiment, 10) == pytest.approx(1 + 10 * (30 * 0.01 + 0.5) + 2 * 2 + 1 * 0.25)


@pytest.mark.parametrize(
    ("budget", "epochs"),
    [({"seconds": 80}, 80 / (30 * 0.01 + 0.5)), ({"images": 128 * 45}, 1.5), ({"epochs": 7}, 7)],
)
def test_a_budget_makes_as_many_epochs_as_it_pays_for(budget: dict[str, int], epochs: float) -> None:
    """Of 30 steps of 10 ms and half a second each; 45 batches of 128 are one and a half."""
    cost = Cost(build=1.0, step=0.01, epoch=0.5, evaluation=2.0, checkpoint=0.25, steps_per_epoch=30)
    experiment = sweep(experiment={"dataset": "digits", "budget": budget}).first_experiment("vae")
    assert cost.epochs_of(experiment) == pytest.approx(epochs)


def test_early_stopping_of_a_budget_in_seconds_is_played_in_per_cent() -> None:
    """All reach the first rung at 20 %, a half each the next: 40 %, 80 %."""
    seconds = {"dataset": "digits", "budget": {"seconds": 80}}
    halving = {"asha": {"grace_percent": 20, "reduction": 2}}
    spent = resource_of_trials(sweep(experiment=seconds, scheduler=halving, trials=50))
    assert set(spent) <= {20, 40, 80, 100}
    assert np.mean([s > 20 for s in spent]) == pytest.approx(0.5, abs=0.12)
    assert resource_of_trials(sweep(experiment=seconds)) == [100]


@pytest.mark.parametrize(
    ("distribution", "draws"),
    [
        (Choice(choice=(19, 64, 128)), np.array([19, 64, 128])),
        (Uniform(uniform=(2.0, 8.0)), np.linspace(2, 8, 100_001)),
        (LogUniform(loguniform=(1.0, 16.0)), np.exp(np.linspace(0, np.log(16), 100_001))),
        (Integer(int=(10, 1000)), np.arange(10, 1001)),
    ],
)
def test_the_mean_over_a_range_is_that_of_many_draws(distribution: Any, draws: Any) -> None:
    """Of what grows with the square of a width; of the logarithm where the range is logarithmic."""
    function = (lambda v: np.log(v) ** 2) if isinstance(distribution, LogUniform) else (lambda v: 3.0 * v**2 + v)
    nodes = _nodes(distribution)
    assert sum(nodes.values()) == pytest.approx(1)
    assert sum(weight * function(value) for value, weight in nodes.items()) == pytest.approx(
        function(draws).mean(), rel=2e-3
    )


def test_where_the_mean_lies_between_the_cheapest_and_the_dearest() -> None:
    """Two keys that scale an epoch by 1, 2, 6 and by 1, 3: six products, whose mean is 6, of 1 to 18."""
    nodes = {"model.hidden": dict.fromkeys((1, 2, 3), 1 / 3), "batch_size": dict.fromkeys((1, 2), 1 / 2)}
    by_key = {"model.hidden": {1: 0.1, 2: 0.2, 3: 0.6}, "batch_size": {1: 0.1, 2: 0.3}}
    weight = _weight(nodes, by_key)
    assert 1 + weight * 17 == pytest.approx(np.mean([a * b for a in (1, 2, 6) for b in (1, 3)]))


def test_nothing_is_stopped_without_a_scheduler() -> None:
    assert resource_of_trials(sweep()) == [40]


def test_halving_leaves_as_many_epochs_as_the_rule_does() -> None:
    """The rule by hand: at epochs 10 and 20 a trial goes on if it is in the better half of those that came so far."""
    draw = random.Random(1)

    def played(trials: int) -> list[int]:
        rungs: dict[int, list[float]] = {10: [], 20: []}
        return [_played(draw.random(), rungs) for _ in range(trials)]

    for trials in (8, 40):
        by_hand = np.mean([epochs for _ in range(2000 // trials) for epochs in played(trials)])
        found = np.mean(resource_of_trials(sweep(trials=trials, scheduler=ASHA)))
        assert found == pytest.approx(by_hand, rel=0.08)


def _played(score: float, rungs: dict[int, list[float]]) -> int:
    for epoch, scores in rungs.items():
        scores.append(score)
        if score > sorted(scores)[max(len(scores) // 2 - 1, 0)]:
            return epoch
    return 40


def test_the_median_rule_is_played_too() -> None:
    found = resource_of_trials(sweep(trials=30, scheduler={"median": {"grace_epochs": 10, "startup_trials": 4}}))
    assert 10 < np.mean(found) < 40


def test_lanes_take_runs_in_turn_and_finalists_wait_for_all_trials() -> None:
    one, other = Queue((3.0,) * 4, (5.0, 5.0)), Queue((1.0,) * 4, (2.0, 2.0))
    assert wall_seconds([one, other], 1) == 30
    assert wall_seconds([one], 2) == 3 + 3 + 5
    assert wall_seconds([one, other], 100) == 3 + 5
    lanes = [wall_seconds([one, other], n) for n in range(1, 8)]
    assert all(fewer >= more for fewer, more in pairwise(lanes))


COSTS = {
    "vae": [
        ModelCost(
            "vae",
            Cost(build=0.2, step=0.01, steps_per_epoch=10),
            Cost(build=0.2, step=0.03, steps_per_epoch=10),
            weight=0.25,
            began=0.0,
        )
    ]
}


def totals(space: Sweep, **prices: float) -> Any:
    from genray.cluster.estimate import Prices, _estimate

    dataset = SimpleNamespace(test=range(20), validation=range(10))
    return _estimate(space, COSTS, 2, 60.0, dataset, Prices(**prices))


@pytest.mark.ray  # imports it
@pytest.mark.parametrize(("pack", "finalists_on_a_lane"), [(1, 1), (2, 2), ("auto", 2)])
def test_totals_are_trials_and_finalists_times_seconds(pack: int | str, finalists_on_a_lane: int) -> None:
    from genray.cluster.estimate import OVERHEAD_S

    experiment = sweep().experiment | {"resources": {"cpu": 2, "gpu": 0.5}}
    found = totals(sweep(experiment=experiment, finalists={"seeds": 2, "pack": pack}), gpu=2.0, cpu=0.1)
    trial, dearest = OVERHEAD_S + 0.2 + 40 * 10 * 0.015, OVERHEAD_S + 0.2 + 40 * 10 * 0.03
    busy = (8 * trial + 2 * dearest) / 3600
    assert found.full.gpu_hours == pytest.approx(0.5 * busy)
    assert found.full.cpu_hours == pytest.approx(2 * busy)
    assert found.full.money == pytest.approx(2.0 * 0.5 * busy + 0.1 * 2 * busy)
    assert found.full.hours == pytest.approx((60 + 4 * trial + finalists_on_a_lane * dearest) / 3600)
    assert found.dearest.hours == pytest.approx((60 + 4 * dearest + finalists_on_a_lane * dearest) / 3600)
    assert any("finalists of a model train as one" in line for line in found.lines) == (finalists_on_a_lane > 1)
    assert found.likely is None
    assert totals(sweep()).full.money is None


@pytest.mark.ray
def test_early_stopping_makes_it_less_and_the_lines_say_so() -> None:
    found = totals(sweep(scheduler=ASHA))
    assert found.likely.hours < found.full.hours < found.dearest.hours
    assert any(line.startswith("early stopping makes it less") for line in found.lines)
    assert json.loads(found.to_json())["gpu_hours"] == 0


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray warns of itself
def test_an_estimate_of_a_real_sweep(
    capsys: pytest.CaptureFixture[str], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from genray.cli import main

    monkeypatch.setenv("GENRAY_CACHE", str(tmp_path))
    space = sweep(
        models=["vae", "gan"], search={"model.hidden": {"choice": [16, 512]}, "batch_size": {"choice": [32, 64]}}
    )
    (tmp_path / "space.yaml").write_text(space.to_yaml())
    assert main(["estimate", str(tmp_path / "space.yaml"), "--trials", "2", "--json", "--cpu-hour-price", "1"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert 0 < found["hours"] < 1
    assert found["gpu_hours"] == 0
    assert found["money"] == pytest.approx(found["cpu_hours"])
    assert found["dearest"]["cpu_hours"] > found["cpu_hours"] > 0
    assert [line.split(":")[0] for line in found["lines"][:2]] == ["vae", "gan"]


def test_wrong_input_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    from genray.cli import main

    assert main(["estimate", "search_spaces/quickstart.yaml", "--set", "trials=0"]) == 2
    assert main(["estimate", "nothing.yaml"]) == 2
    assert all(line.startswith("genray: ") for line in capsys.readouterr().err.splitlines())
