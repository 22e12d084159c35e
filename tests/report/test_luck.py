"""The expected best of k trials against every possible choice of k, and what counts as a trial."""

from __future__ import annotations

import shutil
from itertools import pairwise, product
from pathlib import Path
from statistics import fmean

import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from genray.report import luck, trials
from genray.report.comparison import build
from genray.report.plots import styles
from genray.report.search import Objective, Search
from tests.report.fabricate import MODELS, collect, write_sweep


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("values", [[3.0], [2.0, 2.0, -1.0], [0.3, 5.0, 1.0, 2.5, 0.7]])
def test_is_the_mean_over_all_choices_with_replacement(values: list[float], mode: str) -> None:
    best = min if mode == "min" else max
    for k, found in enumerate(luck.expected_best(values, mode), start=1):
        assert found == pytest.approx(fmean(best(chosen) for chosen in product(values, repeat=k)))


def test_first_is_the_mean_and_no_trial_more_makes_it_worse() -> None:
    values = np.random.default_rng(0).lognormal(size=200)
    found = luck.expected_best(list(values), "min")
    assert found[0] == pytest.approx(values.mean())
    assert all(b <= a for a, b in pairwise(found))
    assert found[-1] >= values.min()


def search(*trials: FrozenTrial) -> Search:
    return Search("vae", Path(), (Objective("frechet", "min"),), trials, {})


def trial(state: TrialState, value: float | None = None, reported: float | None = None) -> FrozenTrial:
    reports = {5: reported} if reported is not None else {}
    return optuna.create_trial(state=state, value=value, intermediate_values=reports)


def test_failed_trials_count_as_the_worst_and_those_stopped_as_they_were() -> None:
    done = trial(TrialState.COMPLETE, 2.0, 3.0)
    stopped, failed = trial(TrialState.PRUNED, reported=8.0), trial(TrialState.FAIL, reported=1.0)
    unreported, running = trial(TrialState.PRUNED), trial(TrialState.RUNNING)
    found = luck.of_search(search(done, stopped, failed, unreported, running))
    assert found == pytest.approx(luck.expected_best([2.0, 8.0, 8.0, 8.0], "min"))
    assert luck.of_search(search(failed)) == []


def test_comparison_has_it_for_each_model(sweep: Path) -> None:
    collection = collect([sweep])
    found = build(collection)["expected_best"]
    assert [one["model"] for one in found] == list(collection.sweeps[0].searches)
    for one in found:
        assert (one["sweep"], one["metric"], one["mode"], len(one["values"])) == ("quickstart", "frechet", "min", 8)
        trials = collection.sweeps[0].searches[one["model"]].trials
        assert one["values"][-1] >= min(t.value for t in trials if t.state is TrialState.COMPLETE)


def test_two_sweeps_of_one_name_draw_their_own_trials(tmp_path: Path) -> None:
    a = write_sweep(tmp_path / "a", models=("vae",), seeds=1, trials=4)
    b = write_sweep(tmp_path / "b", seeds=1, trials=9)
    shutil.rmtree(b / "vae")  # whose finalists are still to come
    collection = collect([a, b])
    figures = trials.luck(collection, styles([group.label for group in collection.groups]), "")
    assert [[len(line["x"]) for line in figure["data"]] for figure in figures.values()] == [[4], [9] * len(MODELS)]
